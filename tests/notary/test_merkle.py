"""Trees and proofs, against published vectors and a second, recursive reading of RFC 6962."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.notary import merkle

# certificate-transparency-go, testdata of merkle/rfc6962: leaf inputs, and the root after each
LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def oracle(leaves: list[bytes]) -> bytes:
    """MTH, written as RFC 6962 section 2.1 does."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + oracle(leaves[:split]) + oracle(leaves[split:])).digest()


def leaves(count: int) -> list[bytes]:
    return [b"leaf %d" % i for i in range(count)]


def hashes(count: int) -> list[bytes]:
    return [merkle.leaf_hash(leaf) for leaf in leaves(count)]


def test_published_roots() -> None:
    tree = merkle.CompactRange()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        tree.append(merkle.leaf_hash(leaf))
        assert tree.root().hex() == root


def test_every_size_agrees_with_the_oracle() -> None:
    tree = merkle.CompactRange()
    for size in range(1, 301):
        tree.append(hashes(size)[-1])
        expected = oracle(leaves(size))
        assert tree.root() == expected == merkle.Levels(hashes(size)).root(), size


def test_a_copy_leaves_the_original_as_it_was() -> None:
    """An aborted transaction must not move the tree."""
    tree = merkle.CompactRange()
    tree.append(hashes(1)[0])
    before = tree.root()
    tree.copy().append(hashes(2)[1])
    assert (tree.size, tree.root()) == (1, before)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 64, 100])
def test_every_leaf_has_a_proof_and_no_other_place_does(size: int) -> None:
    all_hashes = hashes(size)
    root = merkle.root_of(all_hashes)
    for index in range(size):
        proof = merkle.inclusion_proof(all_hashes, index)
        assert merkle.verify_inclusion(all_hashes[index], index, size, proof, root)
        for wrong in {(index + 1) % size, size - 1 - index} - {index}:
            assert not merkle.verify_inclusion(all_hashes[index], wrong, size, proof, root)
        assert not merkle.verify_inclusion(all_hashes[index], index, size + 1, [*proof, root], root)
    assert not merkle.verify_inclusion(all_hashes[0], size, size, [], root)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 33])
def test_a_prefix_is_proved_consistent_and_a_fork_is_not(size: int) -> None:
    all_hashes = hashes(size)
    root = merkle.root_of(all_hashes)
    for old in range(1, size + 1):
        old_root = merkle.root_of(all_hashes[:old])
        proof = merkle.consistency_proof(all_hashes, old)
        assert merkle.verify_consistency(old, old_root, size, root, proof)
        assert not merkle.verify_consistency(old, sha256(old_root).digest(), size, root, proof)
        assert not merkle.verify_consistency(old, old_root, size, sha256(root).digest(), proof)
    with pytest.raises(ValueError):
        merkle.consistency_proof(all_hashes, size + 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=8), min_size=2, max_size=40), st.data())
def test_any_change_of_a_leaf_changes_the_root(data: list[bytes], draw: st.DataObject) -> None:
    index = draw.draw(st.integers(0, len(data) - 1))
    changed = [*data[:index], data[index] + b"!", *data[index + 1:]]
    roots = [merkle.root_of(map(merkle.leaf_hash, some)) for some in (data, changed)]
    assert roots[0] == oracle(data) and roots[0] != roots[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.data())
def test_a_damaged_proof_proves_nothing(size: int, draw: st.DataObject) -> None:
    all_hashes = hashes(size)
    index = draw.draw(st.integers(0, size - 1))
    proof, root = merkle.inclusion_proof(all_hashes, index), merkle.root_of(all_hashes)
    if proof:
        place = draw.draw(st.integers(0, len(proof) - 1))
        damaged = [*proof[:place], bytes(32), *proof[place + 1:]]
        assert not merkle.verify_inclusion(all_hashes[index], index, size, damaged, root)
        assert not merkle.verify_inclusion(all_hashes[index], index, size, proof[:-1], root)
    assert not merkle.verify_inclusion(all_hashes[index], index, size, [*proof, bytes(32)], root)
