"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.console.sheet import csv_text
from trainer.files import write_atomic

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW, MANY = 15, 120
"""Up to `FEW` classes the matrix comes first, up to `MANY` it is on the page, folded; the table always has it."""
MOST_PAIRS = 20
LIGHTEST, STRONGEST = 0.1, 0.45
"""Part of the colour in a shaded cell; text on the strongest still has the contrast of WCAG AA."""


@dataclass(frozen=True)
class Cell:
    """A cell of the matrix.

    Attributes:
        count: Number of images.
        shade: Part of the colour in its background, in [0, 1]; 0 where no image is.
    """

    count: int
    shade: float


@dataclass(frozen=True)
class Pair:
    """An error: images of one class read as another.

    Attributes:
        true: Their class.
        read: The class read.
        count: Number of images.
        share: Their part in the images of their class, in [0, 1].
    """

    true: str
    read: str
    count: int
    share: float


def write_confusion(counts: NDArray[Any], names: Sequence[str], path: Path) -> None:
    """Write a confusion matrix as CSV: one row per true class, one column per predicted one."""
    rows = ([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    write_atomic(path, csv_text([["true \\ predicted", *names], *rows]))


def shaded(counts: Sequence[Sequence[int]]) -> list[list[Cell]]:
    """Return the matrix with a shade per cell: on the diagonal by the share found, elsewhere up to the worst error.

    The shades of right and wrong are scales of their own, since on one a diagonal of 99 % hides every error. The root
    lifts rare errors out of the background: an error that happened is never as pale as one that did not.

    Args:
        counts: Images by true class (rows) and predicted class (columns), `[K, K]`.
    """
    totals = [sum(row) or 1 for row in counts]
    wrong = (n / totals[i] for i, row in enumerate(counts) for j, n in enumerate(row) if i != j)
    worst = max(wrong, default=0) or 1
    return [
        [Cell(n, _shade((n / totals[i]) ** 2 if i == j else (n / totals[i] / worst) ** 0.5)) for j, n in enumerate(row)]
        for i, row in enumerate(counts)
    ]


def pairs(counts: Sequence[Sequence[int]], per_class: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """Return the most frequent errors, at most `MOST_PAIRS`, the most frequent first.

    Args:
        counts: Images by true class (rows) and predicted class (columns), `[K, K]`.
        per_class: For each class its name, `class`.
    """
    names, totals = [scores["class"] for scores in per_class], [sum(row) for row in counts]
    errors = ((n, i, j) for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j)
    most = sorted(errors, key=lambda error: (-error[0], -error[0] / totals[error[1]]))[:MOST_PAIRS]
    return [Pair(names[i], names[j], n, n / totals[i]) for n, i, j in most]


def _shade(strength: float) -> float:
    return LIGHTEST + (STRONGEST - LIGHTEST) * strength if strength else 0.0
