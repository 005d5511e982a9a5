"""The inbox: pictures labelled by users, kept for retraining as `<inbox>/<label>/<sha256>.png`."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from trainer.errors import InkwellError, UsageError
from trainer.files import sweep, write_atomic
from trainer.text import in_bytes

from . import limits

MAX_SIDE = 1600
"""Maximum longer side of a kept picture in pixels; larger photos are scaled down."""


class NotKept(InkwellError):  # noqa: N818, named after the outcome
    """A picture cannot be kept; the message names the limit and the remedy."""


class Kept(NamedTuple):
    """A kept picture.

    Attributes:
        path: The file, named after the SHA-256 hash of its content.
        is_new: False if the inbox already had it.
    """

    path: Path
    is_new: bool


def tidy(inbox: Path) -> None:
    """Delete files that a killed server left half-written in the inbox, which need not exist."""
    for folder in inbox.glob("*/"):
        sweep(folder)


def keep(inbox: Path, label: str, picture: np.ndarray, class_names: Sequence[str]) -> Kept:
    """Write a picture to the inbox, completely or not at all; identical pictures share one file.

    The inbox holds at most `limits.INBOX_FILES` files with `limits.INBOX_BYTES` in total, and leaves
    `limits.SPARED_BYTES` of its disk free. The limits do not apply to a picture that it already has.

    Args:
        inbox: The folder, created if missing.
        label: One of `class_names`.
        picture: uint8 `[H, W, 3]`.
        class_names: Names of the model's classes.

    Raises:
        UsageError: If the label is not one of the classes, or cannot be the name of a folder.
        NotKept: If the inbox or the disk is full, or the file cannot be written.
    """
    if label not in class_names:
        raise UsageError(f"{label[:40]!r} is not one of the classes: {', '.join(class_names)}")
    if label in (".", "..") or set(label) & set("/\\\0"):
        raise UsageError(f"the class {label!r} cannot be the name of a folder")
    content = as_png(picture)
    path = inbox / label / f"{hashlib.sha256(content).hexdigest()}.png"
    try:
        if path.is_file():
            return Kept(path, is_new=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        check_room(inbox, len(content))
        write_atomic(path, content)
    except OSError as error:
        raise NotKept(f"cannot keep the picture in {path.parent}: {error.strerror}; free or unlock the disk") from error
    return Kept(path, is_new=True)


def check_room(inbox: Path, size: int) -> None:
    """Refuse a new file of `size` bytes if the inbox or its disk is full.

    Raises:
        NotKept: If it is full.
        OSError: If the inbox cannot be read.
    """
    files, held = measure(inbox)
    free = shutil.disk_usage(inbox).free
    if files >= limits.INBOX_FILES:
        raise NotKept(f"cannot keep the picture: {inbox} holds {files:,} files, the limit; move some away")
    if held + size > limits.INBOX_BYTES:
        limit = in_bytes(limits.INBOX_BYTES)
        raise NotKept(f"cannot keep the picture: {inbox} holds {in_bytes(held)} of at most {limit}; move some away")
    if free - size < limits.SPARED_BYTES:
        spared = in_bytes(limits.SPARED_BYTES)
        raise NotKept(
            f"cannot keep the picture: {inbox} has {in_bytes(free)} free and must leave {spared}; free some space"
        )


def measure(folder: Path) -> tuple[int, int]:
    """Return the number of files in a folder and its subfolders, and their total size in bytes, ignoring links."""
    sizes = [os.lstat(Path(place, name)).st_size for place, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)


def as_png(picture: np.ndarray) -> bytes:
    """Return a picture as a PNG file without metadata such as camera or location; gray pictures are stored as gray."""
    gray = bool((picture == picture[..., :1]).all())
    image = Image.fromarray(picture[..., 0] if gray else picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
