"""Groups of connected ink: pieces that form one digit, and pieces that stand beside or above each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models.recognizer.find.ink import Ink

SPECK = 0.02
"""Fraction of the largest piece's ink below which a piece is dust."""


@dataclass(frozen=True)
class Piece:
    """A group of connected ink.

    Attributes:
        top: First row.
        left: First column.
        bottom: Row after the last.
        right: Column after the last.
        labels: Numbers of its connected components.
        area: Number of ink pixels.
    """

    top: int
    left: int
    bottom: int
    right: int
    labels: tuple[int, ...]
    area: int

    @property
    def height(self) -> int:
        """Height of its box in rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Width of its box in columns."""
        return self.right - self.left

    @property
    def size(self) -> int:
        """Longer side of its box."""
        return max(self.height, self.width)


def pieces_of(mask: np.ndarray) -> tuple[list[Piece], np.ndarray]:
    """Return connected ink without dust, largest first, and the number of each pixel's component, `[h, w]`."""
    numbers, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(numbers.ravel())
    found = []
    for number, place in enumerate(ndimage.find_objects(numbers), 1):
        rows, columns = place
        found.append(Piece(rows.start, columns.start, rows.stop, columns.stop, (number,), int(areas[number])))
    found.sort(key=lambda piece: -piece.area)
    return [piece for piece in found if piece.area >= max(3, SPECK * found[0].area)], numbers


def gap(a: Piece, b: Piece) -> float:
    """Return the distance between the boxes of two pieces."""
    across = max(a.left - b.right, b.left - a.right, 0)
    down = max(a.top - b.bottom, b.top - a.bottom, 0)
    return float(np.hypot(across, down))


def joined(a: Piece, b: Piece) -> Piece:
    """Return two pieces merged into one."""
    return Piece(
        min(a.top, b.top),
        min(a.left, b.left),
        max(a.bottom, b.bottom),
        max(a.right, b.right),
        a.labels + b.labels,
        a.area + b.area,
    )


def belong(a: Piece, b: Piece) -> bool:
    """Return True if two pieces form one digit, such as the bar of a 5: close, and not two tall ones in a row."""
    size = max(a.size, b.size)
    if gap(a, b) > 0.25 * size:
        return False
    if min(a.height, b.height) < 0.45 * max(a.height, b.height):
        return True
    whole = joined(a, b)
    if over_each_other(a, b):
        return whole.height < 1.7 * whole.width
    return gap(a, b) < 0.1 * size and whole.width < 0.9 * whole.height and whole.height < 1.3 * max(a.height, b.height)


def over_each_other(a: Piece, b: Piece) -> bool:
    """Return True if one of two pieces lies above the other."""
    return min(a.right, b.right) - max(a.left, b.left) > 0.5 * min(a.width, b.width)


def one_digit(ink: Ink) -> tuple[Piece | None, list[Piece], np.ndarray]:
    """Return the piece most likely to be the digit, other ink as large as digits, and the components' numbers."""
    found, numbers = pieces_of(ink.mask)
    if not found:
        return None, [], numbers
    inside = [p for p in found if not _touches(p, ink.mask.shape) and p.area > 0.1 * found[0].area]
    candidates = inside or found  # ink at the border may be the table or another line
    main, rest = candidates[0], [p for p in found if p is not candidates[0]]
    grown = True
    while grown:
        grown = False
        for piece in rest:
            if belong(main, piece):
                main, grown = joined(main, piece), True
                rest.remove(piece)
                break
    others = [p for p in rest if p in candidates and p.size > 0.5 * main.size and p.area > 0.2 * main.area]
    return main, others, numbers


def _touches(piece: Piece, shape: tuple[int, ...]) -> bool:
    return piece.top == 0 or piece.left == 0 or piece.bottom == shape[0] or piece.right == shape[1]


def ink_of(ink: Ink, numbers: np.ndarray, piece: Piece) -> tuple[np.ndarray, tuple[int, int]]:
    """Return a piece's ink alone, cropped with a little paper around it, and the row and column of its corner."""
    top, left = max(0, piece.top - 2), max(0, piece.left - 2)
    place = np.s_[top : piece.bottom + 2, left : piece.right + 2]
    own = np.isin(numbers[place], piece.labels)
    soft = ndimage.binary_dilation(own, np.ones((3, 3)), 2) & (own | (numbers[place] == 0))
    return np.where(soft, ink.amount[place], 0), (top, left)
