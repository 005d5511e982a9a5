"""Arrays that are not copied but looked up on access, as rows of an array on disk or in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trainer.display.shown import Shown


class Mapped(Shown):
    """Rows of a large array: indexed like an array, reordered and split without copying a value.

    Args:
        values: `[M, …]` of any dtype, memory-mapped if it does not fit in memory.
        rows: int64 `[N]`, the position of each row in `values`; None selects all rows in order.
    """

    def __init__(self, values: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.values = np.asarray(values)  # indexing a numpy.memmap is several times slower
        self.rows = np.arange(len(values)) if rows is None else rows
        self.shape = (len(self.rows), *values.shape[1:])
        self.dtype = values.dtype
        self.ndim = len(self.shape)
        self.nbytes = math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.rows)

    def _line(self) -> str:
        return f"{len(self):,} rows of {'x'.join(map(str, self.shape[1:])) or 'numbers'}"

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read the rows at an index of the first axis: an integer, a slice, or an array of integers or booleans."""
        return self.values[self.rows[index]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def at(self, indices: np.ndarray) -> Mapped:
        """Return the rows at `indices`, int `[K]`, in that order, without reading them."""
        return Mapped(self.values, self.rows[indices])

    def with_channel(self) -> Mapped:
        """Return the same rows with a last axis of length 1, without reading them."""
        return Mapped(self.values[..., None], self.rows)
