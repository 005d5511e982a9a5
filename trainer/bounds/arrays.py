"""Untrusted `.npz` and `.npy` files: no pickle, and no more memory than the file can fill."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from trainer.text import in_bytes

if TYPE_CHECKING:
    import numpy as np

MAX_MEMBERS = 10_000
"""Largest number of arrays in an archive."""
MAX_DIRECTORY = 2**20
"""Largest table of contents of an archive in bytes; each member takes about 60."""
MAX_HEADER = 10_000
"""Largest header of an array in bytes (NumPy's own limit); it usually has about 118."""
MOST_SHRUNK = 1_040
"""Largest compression ratio that Deflate can reach; a file that declares more is forged."""

UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, SyntaxError, MemoryError, RecursionError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
)
"""Exceptions that zipfile and NumPy raise for damaged and forged files."""


@contextmanager
def open_archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive of arrays after checking that its members can be as large as they declare.

    Args:
        file: The archive, seekable.

    Raises:
        ValueError: If it has more than `MAX_MEMBERS` members, or one of them declares an impossible size.
        Exception: `UNREADABLE` for any other damage.
    """
    length = file.seek(0, io.SEEK_END)
    limited = _Limited(file)
    with zipfile.ZipFile(limited) as archive:  # implements as much of a file as zipfile needs
        limited.limit = None
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise ValueError(f"it has {len(members):,} members, more than {MAX_MEMBERS:,}")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # no limit is known for others
                raise ValueError("it uses a compression other than that of numpy.savez_compressed")
            most = min(member.compress_size, length)
            most *= MOST_SHRUNK if member.compress_type == zipfile.ZIP_DEFLATED else 1
            if member.file_size > most:
                raise ValueError(f"a member declares {in_bytes(member.file_size)}, more than this file can contain")
        yield archive


def read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """Return the array in `.npy` content, read-only; no more than `size` bytes of memory are allocated.

    Args:
        stream: The content.
        size: Length of the content in bytes.

    Raises:
        ValueError: If the array has objects or fields, or a size other than declared.
        Exception: `UNREADABLE` for any other damage.
    """
    import numpy as np  # imported here to keep `--help` fast

    start = stream.read(12)
    version, width = tuple(start[6:8]), 2 if start[6:7] == b"\x01" else 4
    if start[:6] != np.lib.format.MAGIC_PREFIX or version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError("an array has an unknown version of the .npy format")
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > MAX_HEADER:
        raise ValueError(f"the header of an array has {in_bytes(length)}, more than {in_bytes(MAX_HEADER)}")
    head = start + stream.read(8 + width + length - len(start))
    file = io.BytesIO(head)
    np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:
        raise ValueError("it contains pickled objects, which are not read as they could run code; save plain arrays")
    if dtype.kind == "V" or not dtype.itemsize:
        raise ValueError(f"an array has the dtype {str(dtype)[:40]}; save plain arrays of numbers")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != size - len(head):
        raise ValueError(f"an array declares {dtype} of shape {_brief(shape)}, which does not match its size")
    content = stream.read(size - len(head))
    if len(content) < size - len(head):
        raise EOFError("truncated")
    if stream.read(1):  # also makes zipfile verify its checksum
        raise ValueError("an array is longer than it declares")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _brief(shape: tuple[int, ...]) -> str:
    text = "x".join(map(str, shape)) or "()"
    return text if len(text) <= 40 else f"{text[:39]}…"


class _Limited:
    """A file whose reads are limited while zipfile reads a table of contents of whatever declared length."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.limit: int | None = MAX_DIRECTORY

    def read(self, size: int = -1) -> bytes:
        if self.limit is None:
            return self._file.read(size)
        content = self._file.read(self.limit + 1 if size < 0 else min(size, self.limit + 1))
        if len(content) > self.limit:
            raise ValueError(f"its table of contents is longer than {in_bytes(self.limit)}")
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file open; its owner closes it."""
