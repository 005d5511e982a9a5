"""Arrays in `.npz` and `.npy` from outside: no pickle, and no more bytes than the file can hold."""

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
"""Arrays of an archive."""
MAX_DIRECTORY = 2**20
"""Bytes of an archive's table of contents, of which each member takes about 60."""
MAX_HEADER = 10_000
"""Bytes of an array's header, which has about 118; NumPy's own limit."""
MOST_SHRUNK = 1_040
"""How many times shorter Deflate can make a content: what declares more is forged."""

UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, SyntaxError, MemoryError, RecursionError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
)
"""What zipfile and NumPy raise for damaged and forged files."""


@contextmanager
def open_archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive of arrays whose members, unpacked, can be as long as they say.

    Args:
        file: The archive, which can be read at any place.

    Raises:
        ValueError: If it has more than `MAX_MEMBERS`, or one of them declares what it cannot hold.
        Exception: `UNREADABLE` for what else is wrong.
    """
    length = file.seek(0, io.SEEK_END)
    watched = _Watched(file)
    with zipfile.ZipFile(watched) as archive:  # as much of a file as zipfile needs
        watched.limit = None
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise ValueError(f"it has {len(members):,} members, more than {MAX_MEMBERS:,}")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others know no limit
                raise ValueError("it is compressed in another way than numpy.savez_compressed does")
            most = min(member.compress_size, length)
            most *= MOST_SHRUNK if member.compress_type == zipfile.ZIP_DEFLATED else 1
            if member.file_size > most:
                raise ValueError(f"a member declares {in_bytes(member.file_size)}, which this file cannot hold")
        yield archive


def read_array(stream: IO[bytes], size: int) -> np.ndarray:
    """Return the array in `.npy` content, not writable; memory is taken for no more than `size` bytes.

    Args:
        stream: The content.
        size: Its length in bytes.

    Raises:
        ValueError: If it holds objects or fields, or other than as many bytes as it declares.
        Exception: `UNREADABLE` for what else is wrong.
    """
    import numpy as np  # where it is used, since command lines import this module to ask for help

    start = stream.read(12)
    version, width = tuple(start[6:8]), 2 if start[6:7] == b"\x01" else 4
    if start[:6] != np.lib.format.MAGIC_PREFIX or version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError("an array is in none of the versions of the .npy format")
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
        raise ValueError("it holds pickled objects, which are not read because they could run code; save plain arrays")
    if dtype.kind == "V" or not dtype.itemsize:
        raise ValueError(f"an array is of the type {str(dtype)[:40]}; save plain arrays of numbers")
    if any(n < 0 for n in shape) or math.prod(shape) * dtype.itemsize != size - len(head):
        raise ValueError(f"an array declares the shape {_brief(shape)} of {dtype}, which is not what it holds")
    content = stream.read(size - len(head))
    if len(content) < size - len(head):
        raise EOFError("truncated")
    if stream.read(1):  # also makes zipfile compare its checksum
        raise ValueError("an array is longer than it declares")
    array = np.frombuffer(content, dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _brief(shape: tuple[int, ...]) -> str:
    said = "x".join(map(str, shape)) or "()"
    return said if len(said) <= 40 else f"{said[:39]}…"


class _Watched:
    """A file that zipfile reads its table of contents from, however long it is said to be, up to a limit."""

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
        """Leave the file to whoever opened it."""
