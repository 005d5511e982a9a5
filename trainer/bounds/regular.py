"""Regular files, read as a whole up to a size limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of a regular file, without ever blocking on anything else, such as a pipe.

    Args:
        path: The file.
        limit: Maximum length in bytes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not a regular file, is longer than `limit`, or has an invalid path.
    """
    # Opened without blocking and checked afterwards, because the name may refer to another file by then.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise ValueError(f"{path.name} is not a file of at most {limit:,} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)
