"""An `.npy` file of images that grows block by block."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np


class ArrayFile:
    """Writes uint8 `[N, *shape]`, where N is known only at the end.

    Uses plain writes, not a memory map: on a full disk, a write raises, but a write to a map kills the process.

    Args:
        path: The file to write.
        shape: Shape of one image.

    Raises:
        OSError: If the file cannot be written; applies to all methods.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.shape, self.count, self.checksum = shape, 0, 0
        self._file = path.open("wb")
        self._write_header()

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:  # buffered data do not fit either; the first failure is already being raised
            if kind is None:
                raise

    def add(self, images: np.ndarray) -> None:
        """Append images, uint8 `[B, *shape]`."""
        content = np.ascontiguousarray(images)
        self._file.write(content.data)
        self.count += len(content)
        self.checksum = checksum(content, self.checksum)

    def complete(self) -> None:
        """Write the final number of images, and wait until everything is on disk."""
        self._file.seek(0)
        self._write_header()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write_header(self) -> None:
        # NumPy pads the header for any length of the first axis, so the final header fits in the same place.
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


def checksum(array: np.ndarray, before: int = 0) -> int:
    """Return the CRC-32 of an array's bytes, continuing from the checksum `before`."""
    return zlib.crc32(np.ascontiguousarray(array).data.cast("B"), before) if array.size else before
