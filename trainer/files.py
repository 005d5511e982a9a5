"""Files that are either whole or not there: written aside, synced, renamed."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, content: str) -> None:
    """Replace `path` by a file with `content`, UTF-8, in one step; on failure the old file is intact.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    aside = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        write_synced(aside, content.encode())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk; does nothing where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json(value: Any, indent: int | None = 2) -> str:
    """Return `value` as JSON text that ends in a newline; numbers that are not finite become null, as JSON has none."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
