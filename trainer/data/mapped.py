"""Images that are not copied but looked up on access, as rows of an array on disk or in memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trainer.display.shown import Shown
from trainer.text import count


class MappedImages(Shown):
    """The images of a large `ImageSet`: indexed like an array, reordered and split without copying a pixel.

    Args:
        pixels: uint8 `[M, H, W, C]`, memory-mapped if they do not fit in memory.
        rows: int64 `[N]`, the row of each image in `pixels`; None selects all rows in order.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, pixels: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.pixels = np.asarray(pixels)  # indexing a numpy.memmap is several times slower
        self.rows = np.arange(len(pixels)) if rows is None else rows
        self.shape = (len(self.rows), *pixels.shape[1:])
        self.ndim = len(self.shape)
        self.nbytes = math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def _line(self) -> str:
        return f"{count(len(self), 'image')} of {'x'.join(map(str, self.shape[1:]))}"

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read the images at an index of the first axis: an integer, a slice, or an array of integers or booleans."""
        return self.pixels[self.rows[index]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def at(self, indices: np.ndarray) -> MappedImages:
        """Return the images at `indices`, int `[K]`, in that order, without reading them."""
        return MappedImages(self.pixels, self.rows[indices])
