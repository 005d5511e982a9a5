"""Access to files in an untrusted folder, without following links."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path, PurePath
from typing import BinaryIO

from trainer.errors import InkwellError
from trainer.text import in_line

READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags that neither follow links nor block on pipes."""


def open_inside(root: Path, name: str | PurePath) -> BinaryIO:
    """Open a file in a folder for reading; no part of its path below the folder may be a link.

    Each part is opened relative to the one before it, so links that are created in the meantime are not followed
    either.

    Args:
        root: The folder, which may itself be reached through links.
        name: Path of the file relative to `root`.

    Raises:
        OSError: If the file is missing or cannot be read, or its path contains a link.
        ValueError: If `name` leads out of `root`, or is a folder, pipe or device.
    """
    parts = PurePath(name).parts
    if not parts or PurePath(name).is_absolute() or ".." in parts:
        raise ValueError(f"{in_line(name)} is not the path of a file in {root}")
    descriptor = _descend(root, parts)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{in_line(name)} is not a file")
    return os.fdopen(descriptor, "rb")


def _descend(root: Path, parts: tuple[str, ...]) -> int:
    """Return a descriptor of the file at `parts` in `root`."""
    if os.open not in os.supports_dir_fd:  # Windows, where only administrators create links
        path = root.resolve().joinpath(*parts)
        if path.resolve() != path:
            raise OSError(f"{path} is reached through a link")
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
    """Return all files in a folder of `root`, sorted, without links and files reached through links."""
    if (root / folder).is_symlink():
        return []
    found = [Path(place, name) for place, _, names in os.walk(root / folder) for name in names]
    return sorted(path for path in found if is_plain(path))


def is_plain(path: Path) -> bool:
    """Return True if a path is a regular file and not a link; parent folders are not checked."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def check_inside(root: Path, folders: Collection[str]) -> None:
    """Refuse a folder that contains links to the outside, or anything but files and folders.

    Args:
        root: The folder. Its files are checked, and everything in those of its folders that are given.
        folders: Names of folders in `root`.

    Raises:
        InkwellError: If there is such an entry; names the first.
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
                    "replace it with a copy of its target, or delete it"
                )


def _fault(path: Path, root: Path) -> str:
    """Return the fault of a path in `root`; empty if there is none, or if it was deleted in the meantime."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISLNK(mode):
        return "" if leads_inside(path, root) else "a link that leads out of it"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "neither a file nor a folder"


def leads_inside(path: Path, root: Path) -> bool:
    """Return True if a path is in `root` with all links resolved, or if its links are circular."""
    try:
        return path.resolve().is_relative_to(root.resolve())
    except RuntimeError:  # circular links
        return True
    except OSError:
        return False
