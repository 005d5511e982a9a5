"""Files that are read whole, up to a limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of a regular file; nothing else is waited for, such as a pipe that nobody writes to.

    Args:
        path: The file.
        limit: Its greatest length in bytes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no regular file, or longer than `limit`; also if the system knows no such path.
    """
    # Opened without waiting, and looked at once it is open: by then, another file may have the name.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
            raise ValueError(f"{path.name} is not a file of at most {limit:,} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)
