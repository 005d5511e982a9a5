"""Looks at numbers that no training survives: NaN, infinity, and weights that weigh nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from trainer.data.batch import Batch
from trainer.data.rows import named_leaves, row_bytes
from trainer.errors import DataError

BLOCK_BYTES = 16_000_000
"""Bytes that are looked at at a time."""


def check_finite(batch: Batch, where: str) -> None:
    """Refuse NaN and infinite values in inputs, labels and weights.

    Args:
        batch: Arrays `[N, …]`.
        where: What the rows belong to, such as `the first training batch`.

    Raises:
        DataError: If there are any; names the leaf and its first row, 0-based.
    """
    for name, leaf in named_leaves(batch).items():
        if leaf.dtype.kind != "f":
            continue
        length = max(1, BLOCK_BYTES // max(1, row_bytes(leaf)))
        for start in range(0, len(leaf), length):
            block = leaf[start : start + length]
            with np.errstate(over="ignore", invalid="ignore"):
                if np.isfinite(block.sum()):  # a sum of finite values may overflow, so the rest decides
                    continue
            broken = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
            if broken.any():
                raise DataError(
                    f"cannot train: {name} has NaN or infinite values in row {start + broken.argmax()} of {where} "
                    "(0-based), the first of such rows; leave them out, or replace the values"
                )


def check_weights(batch: Batch, where: str) -> None:
    """Refuse sample weights below 0, and those that are all 0.

    Args:
        batch: Arrays `[N, …]`.
        where: What the rows belong to.

    Raises:
        DataError: If there are any; names the leaf and its first row, 0-based.
    """
    for name, leaf in _weights(batch).items():
        weights = np.asarray(leaf).reshape(len(leaf), -1)
        if (negative := (weights < 0).any(axis=1)).any():
            raise DataError(
                f"cannot train: {name} is negative in row {negative.argmax()} of {where} (0-based); weights must be at "
                "least 0"
            )
        if not weights.any():
            raise DataError(f"cannot train: {name} is 0 in all rows of {where}; omit it, or give rows a weight")


def _weights(batch: Batch) -> dict[str, Any]:
    return {name: leaf for name, leaf in named_leaves(batch).items() if name.startswith("sample_weight")}
