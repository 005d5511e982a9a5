"""Images that stay where they are, on disk or in memory: rows of an array, looked up when they are asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trainer.display.shown import Shown
from trainer.text import count


class MappedImages(Shown):
    """What `ImageSet.images` is for a large set: indexed like an array, ordered and split without copying a pixel.

    Args:
        pixels: uint8 `[M, H, W, C]`, memory-mapped if they do not fit in memory.
        rows: int64 `[N]`: where in `pixels` each image lies; None takes all as they lie.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, pixels: np.ndarray, rows: np.ndarray | None = None) -> None:
        self.pixels = np.asarray(pixels)  # indexing numpy.memmap itself costs several times as much
        self.rows = np.arange(len(pixels)) if rows is None else rows
        self.shape = (len(self.rows), *pixels.shape[1:])
        self.ndim = len(self.shape)
        self.nbytes = math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.rows)

    def _line(self) -> str:
        return f"{count(len(self), 'image')} of {'x'.join(map(str, self.shape[1:]))}"

    def __getitem__(self, index: Any) -> np.ndarray:
        """Read the images at an index of the first axis: a number, a slice, or an array of either kind."""
        return self.pixels[self.rows[index]]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def at(self, indices: np.ndarray) -> MappedImages:
        """Return the images at `indices`, int `[K]`, in that order, none of them read."""
        return MappedImages(self.pixels, self.rows[indices])
