"""Files: read up to a limit; written aside, synced and renamed, so that they are either whole or not there."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainer.bounds.plain import parse_json
from trainer.bounds.regular import read_bounded
from trainer.errors import InkwellError, UsageError
from trainer.text import first_line, unseen

MAX_JSON = 64 * 2**20
"""Limit in bytes of a JSON file that is read: what is longer is none of ours."""
ABANDONED_SECONDS = 3600.0
"""Age of a half-written file that nobody writes any more, even if a process has the id of the one that did."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the table in a JSON file of at most 64 MiB, within the bounds of `trainer.bounds.plain`.

    Raises:
        InkwellError: If it is missing, damaged or out of bounds.
    """
    try:
        values = parse_json(read_bounded(path, MAX_JSON))
    except (OSError, ValueError) as error:
        raise InkwellError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise InkwellError(f"{path} is damaged: it holds no table")
    return values


def check_new(path: Path, what: str, hint: str) -> None:
    """Refuse a folder that exists, or that cannot be made; makes nothing.

    Args:
        path: The folder.
        what: How messages call it.
        hint: What to do instead.

    Raises:
        UsageError: If it exists, or lies where no folder can be.
        InkwellError: If the folder that it would lie in may not be written to, such as on a read-only disk.
    """
    try:
        taken = path.exists() or path.is_symlink()
        parent = next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise UsageError(f"{what} {path} cannot be made: {error.strerror}; {hint}") from error
    if taken:
        raise UsageError(f"{what} {path} exists; {hint}")
    if not parent.is_dir():
        raise UsageError(f"{what} {path} cannot be made: {parent} is not a folder; {hint}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InkwellError(f"{what} {path} cannot be made: {parent} cannot be written to; {hint}")


def check_folder(path: Path, what: str, hint: str) -> None:
    """Refuse a folder to write into that is none, may not be written to or cannot be made; makes nothing.

    Args:
        path: The folder.
        what: What messages call it.
        hint: What to do instead.

    Raises:
        UsageError: If something else is there, or no folder can be.
        InkwellError: If it may not be written to, such as on a read-only disk.
    """
    try:
        there, taken = path.is_dir(), path.exists()
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise UsageError(f"{what} {path} cannot be made: {error.strerror}; {hint}") from error
    if not taken:
        check_new(path, what, hint)
    elif not there:
        raise UsageError(f"{what} {path} is not a folder; {hint}")
    elif not os.access(path, os.W_OK | os.X_OK):
        raise InkwellError(f"{what} {path} cannot be written to; {hint}")


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def aside(path: Path) -> Path:
    """Return where this process writes what is to be `path` once it is whole; see `sweep`."""
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


def sweep(folder: Path, name: str | None = None) -> None:
    """Delete what processes that are gone have left half-written in a folder; to be called before anything is written.

    Args:
        folder: The folder; need not exist.
        name: The name of what was being written; default: whatever it was.
    """
    with suppress(OSError):  # a folder that may not be looked into or written to: then they stay
        for path in folder.iterdir():
            left = re.fullmatch(r"\.tmp-(\d{1,9})-(.+)", path.name, re.DOTALL)
            if left and name in (None, left[2]) and _is_left(path, int(left[1])):
                delete(path)


def _is_left(path: Path, pid: int) -> bool:
    """Return whether nobody writes a file any more: not its process, nor one that has got the same id since."""
    import psutil

    return pid == os.getpid() or not psutil.pid_exists(pid) or time.time() - path.lstat().st_mtime > ABANDONED_SECONDS


def delete(path: Path) -> None:
    """Delete a file, a link, or a folder with all that is in it.

    Raises:
        OSError: If it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_atomic(path: Path, content: str | bytes) -> None:
    r"""Replace `path` by a file with `content` in one step; on failure the old file is intact.

    Text is written as UTF-8; what no UTF-8 has, such as a byte of a file's name, becomes visible: `\udce9`.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    draft = aside(path)
    try:
        write_synced(draft, _encoded(content) if isinstance(content, str) else content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def append(path: Path, text: str) -> None:
    """Append text to a file, as UTF-8, but never through a link to another.

    Raises:
        OSError: If the path is a link, the disk is full or the folder cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with open(path, "a", encoding="utf-8", opener=lambda name, _: os.open(name, flags, 0o666)) as file:
        file.write(text)


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a temporary folder that is deleted afterwards.

    Raises:
        InkwellError: If there is no folder for temporary files.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="inkwell-")
    except OSError as error:
        raise InkwellError(
            f"cannot make a temporary folder: {error.strerror or first_line(error)}; "
            "set TMPDIR to a folder that can be written to and has room"
        ) from error
    with folder as name:
        yield Path(name)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk; does nothing where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def to_json(value: Any, indent: int | None = 2) -> str:
    """Return `value` as JSON text that ends in a newline.

    Numbers that are not finite become null, as JSON has none. Characters that are not seen are escaped, and so are the
    bytes of names that are not UTF-8.
    """
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return unseen(text, lambda character: json.dumps(character)[1:-1]) + "\n"


def to_json_line(value: Any) -> str:
    """Return `value` as one line of JSON in ASCII, which any terminal and pipe takes, without a newline at its end."""
    return json.dumps(_finite(value), allow_nan=False)


def flatten(values: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """Return nested mappings as one: `{"a": {"b": 1}}` as `{"a.b": 1}`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        inner = flatten(value, separator) if isinstance(value, Mapping) else None
        flat |= {key: value} if inner is None else {f"{key}{separator}{name}": leaf for name, leaf in inner.items()}
    return flat


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
