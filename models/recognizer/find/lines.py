"""Joins pieces of ink into digits, and digits into lines in reading order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from models.recognizer.find.pieces import Piece, belong, gap, joined, over_each_other

APART = 2.5
"""Distance, in digit heights, beyond which digits belong to different numbers."""


def lines_of(found: Iterable[Piece]) -> list[list[Piece]]:
    """Return the pieces that may be one digit or several touching ones, as lines in reading order."""
    pieces = _whole(list(found))
    if not pieces:
        return []
    height = typical_height(pieces)
    pieces = [piece for piece in pieces if piece.size > 0.35 * height]
    lines: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda piece: piece.left):
        near = [line for line in lines if _follows(line[-1], piece, height)]
        if near:
            min(near, key=lambda line: gap(line[-1], piece)).append(piece)
        else:
            lines.append([piece])
    return _in_reading_order(lines, height)


def typical_height(pieces: list[Piece]) -> float:
    """Return the typical height of digits: the mean over the pieces weighted by ink, so that dust does not count."""
    return float(np.average([piece.height for piece in pieces], weights=[piece.area for piece in pieces]))


def _whole(pieces: list[Piece]) -> list[Piece]:
    """Return pieces with the parts of each digit joined: small ones to the nearest, preferably one above or below."""
    if not pieces:
        return []
    height = typical_height(pieces)
    found: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: -piece.height):
        of_one = [other for other in found if _of_one(other, piece, height)]
        near = min(of_one, key=lambda p: (not over_each_other(p, piece), gap(p, piece)), default=None)
        if near is not None:
            found.remove(near)
        found.append(joined(near, piece) if near is not None else piece)
    return found


def _of_one(a: Piece, b: Piece, height: float) -> bool:
    """Return True if two pieces, the taller first, belong to one digit, given the `height` of digits."""
    if gap(a, b) > 0.25 * height:
        return False
    if over_each_other(a, b):
        return joined(a, b).height < 1.3 * height
    return b.height < 0.5 * height and belong(a, b)


def _follows(last: Piece, piece: Piece, height: float) -> bool:
    """Return True if a piece stands beside the last one of a line and is close enough."""
    overlap = min(last.bottom, piece.bottom) - max(last.top, piece.top)
    return overlap > 0.35 * min(last.height, piece.height) and piece.left - last.right < APART * height


def _in_reading_order(lines: list[list[Piece]], height: float) -> list[list[Piece]]:
    """Return lines from top to bottom, and from left to right within a row."""

    def middle(line: list[Piece]) -> float:
        return float(np.mean([(piece.top + piece.bottom) / 2 for piece in line]))

    rows: list[list[list[Piece]]] = []
    for line in sorted(lines, key=middle):
        if rows and middle(line) - middle(rows[-1][0]) < 0.5 * height:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line[0].left)]
