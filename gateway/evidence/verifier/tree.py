"""Merkle trees, RFC 6962."""

from __future__ import annotations

import hashlib
from typing import Dict, List, Sequence, Set

from gateway.evidence.verifier.fault import require


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256(b"").digest()
    level = list(hashes)
    while len(level) > 1:
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = above + level[len(above) * 2:]
    return level[0]


def prefix_roots(hashes: Sequence[bytes], sizes: Set[int]) -> Dict[int, bytes]:
    """Roots of the first so many, in one pass: subtrees that are whole wait, largest first, for one of their own size."""
    roots = {0: tree_root([])}
    whole: List[bytes] = []
    for size, hashed in enumerate(hashes, 1):
        whole.append(hashed)
        rest = size
        while rest % 2 == 0:
            right = whole.pop()
            whole.append(node_hash(whole.pop(), right))
            rest //= 2
        if size in sizes:
            root = whole[-1]
            for left in reversed(whole[:-1]):
                root = node_hash(left, root)
            roots[size] = root
    return roots


def root_from_path(hashed: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an audit path leads to, walking the same split as RFC 6962 section 2.1."""
    require(0 <= index < size, "a record's place is outside its segment")
    turns = []
    low, high = 0, size
    while high - low > 1:
        split = 1
        while split * 2 < high - low:
            split *= 2
        right = index - low >= split
        turns.append(right)
        low, high = (low + split, high) if right else (low, low + split)
    require(len(turns) == len(path), "an inclusion proof has the wrong length")
    for right, sibling in zip(reversed(turns), path):
        hashed = node_hash(sibling, hashed) if right else node_hash(hashed, sibling)
    return hashed
