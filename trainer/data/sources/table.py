"""The columns of a table of pixels, such as Kaggle's `train.csv`: pixels, label, and others."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.data.sources.arrays import SMALLEST_SIDE
from trainer.data.sources.named import listed, role
from trainer.errors import DataError

PIXEL = re.compile(r"(?:pixels?|pix|px|p|x|features?|f|columns?|col|v)?[ _-]?\d+(?:[x_,-]\d+)?", re.IGNORECASE)
"""The name of a column of pixels: `pixel0`, `1x1`, `px_17`, `42`."""
IDS = ("", "id", "imageid", "image_id", "index", "unnamed: 0")
"""Names of columns that only count the rows."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their position, from 0.

    Attributes:
        pixels: Those with the pixels, row by row.
        label: The one with the class; None if the images have no labels.
        unused: Names of all others but those that count the rows.
    """

    pixels: tuple[int, ...]
    label: int | None
    unused: tuple[str, ...] = ()


def columns_of(names: Sequence[str], table: str) -> Columns:
    """Return what the columns of a table hold by their names.

    Args:
        names: The names.
        table: Name of the table, for messages.

    Raises:
        DataError: If there are no pixels, or several columns could be the label.
    """
    plain = [name.strip() for name in names]
    pixels = tuple(i for i, name in enumerate(plain) if PIXEL.fullmatch(name))
    if not pixels:
        raise DataError(
            f"{table}: no column of pixels, such as pixel0 (found: {listed(names)}); write one column per pixel"
        )
    known = set(pixels)
    others = [i for i, name in enumerate(plain) if i not in known and name.lower() not in IDS]
    labels = [i for i in others if role(plain[i]) == ("train", "y")] or others
    if len(labels) > 1:
        raise DataError(f"{table}: {listed(names[i] for i in labels)} could all be the label; name one of them label")
    label = labels[0] if labels else None
    return Columns(pixels, label, tuple(names[i] for i in others if i != label))


def unnamed_columns(number: int) -> Columns:
    """Return what the columns of a table without a header hold: the label first, unless all are a square of pixels."""
    if side_of(number) is not None:
        return Columns(tuple(range(number)), None)
    return Columns(tuple(range(1, number)), 0)


def side_of(pixels: int) -> int | None:
    """Return the side of a square image of so many pixels; None if there is none."""
    side = math.isqrt(pixels)
    return side if side**2 == pixels and side >= SMALLEST_SIDE else None
