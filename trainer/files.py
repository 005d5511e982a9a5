"""Files: read up to a size limit; written to a temporary file, synced and renamed, so that none is ever incomplete."""

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
"""Size limit of a JSON file in bytes; Inkwell writes no larger ones."""
ABANDONED_SECONDS = 3600.0
"""Age after which an incomplete file counts as abandoned, even if its process id exists (it may have been reused)."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the table in a JSON file of at most 64 MiB, within the limits of `trainer.bounds.plain`.

    Raises:
        InkwellError: If it is missing or damaged, or exceeds a limit.
    """
    try:
        values = parse_json(read_bounded(path, MAX_JSON))
    except (OSError, ValueError) as error:
        raise InkwellError(f"cannot read {path}: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise InkwellError(f"{path} is damaged: it is not a table")
    return values


def check_new(path: Path, what: str, hint: str) -> None:
    """Check that a folder does not exist and can be created; create nothing.

    Args:
        path: The folder.
        what: Kind of folder, for messages.
        hint: Advice, for messages.

    Raises:
        UsageError: If it exists, or its path is invalid.
        InkwellError: If its parent folder is not writable, for example on a read-only disk.
    """
    try:
        taken = path.exists() or path.is_symlink()
        parent = next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:  # the name is too long, or the folder is not readable
        raise UsageError(f"cannot create {what} {path}: {error.strerror}; {hint}") from error
    if taken:
        raise UsageError(f"cannot create {what} {path}: it already exists; {hint}")
    if not parent.is_dir():
        raise UsageError(f"cannot create {what} {path}: {parent} is not a folder; {hint}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InkwellError(f"cannot create {what} {path}: {parent} is not writable; {hint}")


def check_folder(path: Path, what: str, hint: str) -> None:
    """Check that files can be written into a folder, which may have to be created; create nothing.

    Args:
        path: The folder.
        what: Kind of folder, for messages.
        hint: Advice, for messages.

    Raises:
        UsageError: If it is not a folder, or its path is invalid.
        InkwellError: If it, or its parent folder, is not writable, for example on a read-only disk.
    """
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:  # the name is too long, or the folder is not readable
        raise UsageError(f"cannot create {what} {path}: {error.strerror}; {hint}") from error
    if not exists:
        check_new(path, what, hint)
    elif not is_folder:
        raise UsageError(f"cannot write into {what} {path}: it is not a folder; {hint}")
    elif not os.access(path, os.W_OK | os.X_OK):
        raise InkwellError(f"cannot write into {what} {path}: it is not writable; {hint}")


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def aside(path: Path) -> Path:
    """Return the path to which this process writes `path` until it is complete; see `sweep`."""
    return path.with_name(f".tmp-{os.getpid()}-{path.name}")


def sweep(folder: Path, name: str | None = None) -> None:
    """Delete incomplete files that dead processes left in a folder; call it before writing there.

    Args:
        folder: The folder; need not exist.
        name: Name of the file or folder that was being written; default: any.
    """
    with suppress(OSError):  # the folder may not be readable or writable, in which case they stay
        for path in folder.iterdir():
            left = re.fullmatch(r"\.tmp-(\d{1,9})-(.+)", path.name, re.DOTALL)
            if left and name in (None, left[2]) and _is_left(path, int(left[1])):
                delete(path)


def _is_left(path: Path, pid: int) -> bool:
    """Return True if a file is abandoned: its process is dead, or the file too old for the process with its id."""
    import psutil

    return pid == os.getpid() or not psutil.pid_exists(pid) or time.time() - path.lstat().st_mtime > ABANDONED_SECONDS


def delete(path: Path) -> None:
    """Delete a file, a link, or a folder with its content.

    Raises:
        OSError: If it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_atomic(path: Path, content: str | bytes) -> None:
    r"""Replace `path` by a file with `content` atomically; on failure the old file is intact.

    Text is written as UTF-8; characters that it cannot encode, such as a byte of a file name, are escaped: `\udce9`.

    Raises:
        OSError: If the disk is full or the folder is not writable.
    """
    draft = aside(path)
    try:
        write_synced(draft, _encoded(content) if isinstance(content, str) else content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def append(path: Path, text: str) -> None:
    """Append text to a file as UTF-8, without following a link.

    Raises:
        OSError: If the path is a link, the disk is full or the folder is not writable.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with open(path, "a", encoding="utf-8", opener=lambda name, _: os.open(name, flags, 0o666)) as file:
        file.write(text)


@contextmanager
def scratch() -> Iterator[Path]:
    """Provide a temporary folder that is deleted on exit.

    Raises:
        InkwellError: If it cannot be created.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="inkwell-")
    except OSError as error:
        raise InkwellError(
            f"cannot create a temporary folder: {error.strerror or first_line(error)}; "
            "set TMPDIR to a writable folder with enough space"
        ) from error
    with folder as name:
        yield Path(name)


def sync_folder(folder: Path) -> None:
    """Wait until the entries of `folder` are on disk; does nothing on Windows, where folders cannot be opened."""
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

    Non-finite numbers, which JSON lacks, become null. Invisible characters and bytes that are not UTF-8 are escaped.
    """
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return unseen(text, lambda character: json.dumps(character)[1:-1]) + "\n"


def to_json_line(value: Any) -> str:
    """Return `value` as one line of ASCII JSON, safe for any terminal and pipe, without a trailing newline."""
    return json.dumps(_finite(value), allow_nan=False)


def flatten(values: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """Return nested mappings as a flat one: `{"a": {"b": 1}}` as `{"a.b": 1}`."""
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
