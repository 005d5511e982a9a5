"""The bit depth of 16-bit gray images: files of 16 bits often hold 10 or 12, and are black if read as 16."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

DEPTHS = (8, 10, 12, 14, 16)
"""Bit depths of cameras and scanners."""

SAMPLE = 64
"""Files that are looked at first; if they use all 16 bits, no other is read."""


def white_of(largest: int) -> int:
    """Return the value of white, 2ᵈ - 1, for the smallest bit depth d that holds a value from 0 to 65,535."""
    return next(2**depth - 1 for depth in DEPTHS if largest < 2**depth)


def common_white(paths: Sequence[Path], largest: Callable[[Path], int], pool: Executor) -> tuple[int, int]:
    """Return the value of white of a set of 16-bit files, and their largest value.

    Args:
        paths: The files, at least one.
        largest: Returns the largest value of a file.
        pool: Reads several at once.
    """
    some = paths[:: -(-len(paths) // SAMPLE)]
    found = _largest(some, largest, pool)
    if white_of(found) < 2 ** DEPTHS[-1] - 1 and len(some) < len(paths):
        found = _largest(paths, largest, pool)
    return white_of(found), found


def _largest(paths: Iterable[Path], largest: Callable[[Path], int], pool: Executor) -> int:
    return max(pool.map(largest, paths))
