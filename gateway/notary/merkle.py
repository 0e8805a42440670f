"""
Leaves to roots and proofs. Pure: no disk, no keys.

Source: RFC 6962 section 2.1 (hashing, audit paths, consistency proofs); the checks of
proofs follow RFC 9162 sections 2.1.3.2 and 2.1.4.2. The empty tree's root is SHA-256("").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.notary.kernel import climb, crown, digest, grown

EMPTY = digest(b"", b"")
_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(leaf: bytes) -> bytes:
    return digest(_LEAF, leaf)


def node_hash(left: bytes, right: bytes) -> bytes:
    return digest(_NODE + left, right)


class CompactRange:
    """The right edge of a growing tree: at most one hash per bit of its size."""

    __slots__ = ("size", "_peaks")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, hashed: bytes) -> None:
        """Add one leaf hash."""
        climb(self._peaks, self.size, hashed)
        self.size += 1

    def with_leaves(self, leaves: Sequence[bytes]) -> CompactRange:
        """Another one with these appended; this stays as it is, for when they cannot be stored."""
        other = CompactRange()
        other.size, other._peaks = self.size + len(leaves), grown(self._peaks, self.size, leaves)
        return other

    def root(self) -> bytes:
        return crown(self._peaks) if self._peaks else EMPTY

    def copy(self) -> CompactRange:
        """An independent one, so that an aborted transaction leaves the original as it was."""
        return self.with_leaves(())


def root_of(hashes: Iterable[bytes]) -> bytes:
    """The root over leaf hashes."""
    tree = CompactRange()
    for hashed in hashes:
        tree.append(hashed)
    return tree.root()


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index`, from the leaf upward."""
    return Levels(hashes).inclusion(index)


def consistency_proof(hashes: Sequence[bytes], old: int) -> list[bytes]:
    """What shows that the tree of the first `old` leaves is a prefix of this one."""
    if not 0 < old <= len(hashes):
        raise ValueError(f"no tree of {old} leaves in one of {len(hashes)}")
    return _subproof(hashes, old, whole=True)


def verify_inclusion(hashed: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `hashed` is leaf `index` of the tree of `size` leaves with that root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, hashed
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the old tree is a prefix of the new one (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new or not proof:
        return False
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


class Levels:
    """A whole tree in memory: every complete node, level by level, for building many proofs."""

    def __init__(self, hashes: Sequence[bytes]) -> None:
        self.levels: list[Sequence[bytes]] = [hashes]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            above = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            if len(below) & 1:
                above.append(below[-1])  # an odd last node is promoted: the same tree as RFC 6962's split
            self.levels.append(above)

    def root(self) -> bytes:
        return self.levels[-1][0] if self.levels[-1] else EMPTY

    def inclusion(self, index: int) -> list[bytes]:
        """The audit path of leaf `index`."""
        if not 0 <= index < len(self.levels[0]):
            raise ValueError(f"no leaf {index}")
        proof = []
        for level in self.levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                proof.append(level[sibling])
            index >>= 1
        return proof


def _subproof(hashes: Sequence[bytes], old: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962 section 2.1.2."""
    size = len(hashes)
    if old == size:
        return [] if whole else [root_of(hashes)]
    split = 1 << ((size - 1).bit_length() - 1)
    if old <= split:
        return [*_subproof(hashes[:split], old, whole=whole), root_of(hashes[split:])]
    return [*_subproof(hashes[split:], old - split, whole=False), root_of(hashes[:split])]
