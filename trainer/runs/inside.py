"""Files inside a folder that others may have made: nothing is read or listed through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path, PurePath
from typing import BinaryIO

from trainer.errors import InkwellError
from trainer.text import in_line

READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags that neither follow a link nor wait for the other end of a pipe."""


def open_inside(root: Path, name: str | PurePath) -> BinaryIO:
    """Open a file below a folder for reading; no part of its path below the folder may be a link.

    Each part is opened from the one before it, so that a link that is put there meanwhile is not followed either.

    Args:
        root: The folder; may itself be reached through links.
        name: Path of the file below `root`.

    Raises:
        OSError: If the file is missing or cannot be read, or its path has a link in it.
        ValueError: If `name` leads out of `root`, or is not a file, but a folder, pipe or device.
    """
    parts = PurePath(name).parts
    if not parts or PurePath(name).is_absolute() or ".." in parts:
        raise ValueError(f"{in_line(name)} is not the path of a file below {root}")
    descriptor = _descend(root, parts)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{in_line(name)} is not a file")
    return os.fdopen(descriptor, "rb")


def _descend(root: Path, parts: tuple[str, ...]) -> int:
    """Return a descriptor of what lies at `parts` below `root`."""
    if os.open not in os.supports_dir_fd:  # Windows, where only administrators make links
        path = root.resolve().joinpath(*parts)
        if path.resolve() != path:
            raise OSError(f"{path} lies behind a link")
        return os.open(path, READ)
    descriptor = os.open(root, os.O_RDONLY)
    for part in parts:
        above = descriptor
        try:
            descriptor = os.open(part, READ, dir_fd=above)
        finally:
            os.close(above)
    return descriptor


def files_inside(root: Path, folder: str) -> list[Path]:
    """Return the files below a folder of `root`, sorted; links, and what lies behind them, are left out."""
    if (root / folder).is_symlink():
        return []
    found = [Path(place, name) for place, _, names in os.walk(root / folder) for name in names]
    return sorted(path for path in found if is_plain(path))


def is_plain(path: Path) -> bool:
    """Return True if a path is a file and no link; the folders above it are not looked at."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def check_inside(root: Path, folders: Collection[str]) -> None:
    """Refuse a folder in which anything is a link out of it, or is neither file nor folder.

    Args:
        root: The folder. Its files are looked at, and everything below those of its folders that are given.
        folders: Names of folders in `root`.

    Raises:
        InkwellError: With the name of the first one found.
    """
    for place, below, files in os.walk(root):
        if Path(place) == root:
            below[:] = [name for name in below if name in folders]
        for name in (*below, *files):
            path = Path(place, name)
            fault = _fault(path, root)
            if fault:
                raise InkwellError(
                    f"cannot read {in_line(root)}: {in_line(path.relative_to(root))} is {fault}; "
                    "replace it with a copy of what you want there, or delete it"
                )


def _fault(path: Path, root: Path) -> str:
    """Return the fault of a path below `root`; empty if it has none, or was deleted meanwhile."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISLNK(mode):
        return "" if leads_inside(path, root) else "a link that leads out of it"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "neither a file nor a folder"


def leads_inside(path: Path, root: Path) -> bool:
    """Return True if a path lies in `root` once all links are followed, or if they lead in a circle."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except RuntimeError:  # a circle
        return True
    except OSError:
        return False
