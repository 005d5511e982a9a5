"""The inbox: pictures with the label that a person gave them, kept for retraining as `<inbox>/<label>/<sha256>.png`."""

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
"""Pixels of the longer side of a kept picture; larger photos are scaled down."""


class NotKept(InkwellError):  # noqa: N818, what happened
    """There is no place for a picture; the message says which limit it meets and what to do."""


class Kept(NamedTuple):
    """A kept picture.

    Attributes:
        path: The file. Its name is the SHA-256 of its content.
        is_new: False if the inbox had it already.
    """

    path: Path
    is_new: bool


def tidy(inbox: Path) -> None:
    """Delete what a killed server left half-written in the inbox, which need not exist."""
    for folder in inbox.glob("*/"):
        sweep(folder)


def keep(inbox: Path, label: str, picture: np.ndarray, class_names: Sequence[str]) -> Kept:
    """Write a picture into the inbox; the file is either whole or not there, and the same picture is one file.

    The inbox holds at most `limits.INBOX_FILES` of `limits.INBOX_BYTES` together, and leaves `limits.SPARED_BYTES` of
    its disk free. A picture that is there already meets no limit.

    Args:
        inbox: The folder; made if it is missing.
        label: One of `class_names`.
        picture: uint8 `[H, W, 3]`.
        class_names: Names of the model's classes.

    Raises:
        UsageError: If the label is none of the classes, or cannot be a folder's name.
        NotKept: If the inbox or the disk is full, or the file cannot be written.
    """
    if label not in class_names:
        raise UsageError(f"{label[:40]!r} is none of the classes: {', '.join(class_names)}")
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
    """Refuse a new file of `size` bytes if the inbox, or the disk that it lies on, is full.

    Raises:
        NotKept: If it is.
        OSError: If the inbox cannot be looked into.
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
        raise NotKept(f"cannot keep the picture: {in_bytes(free)} are free at {inbox}, {spared} stay so; make room")


def measure(folder: Path) -> tuple[int, int]:
    """Return how many files lie in a folder and those below, and their bytes; links are not followed."""
    sizes = [os.lstat(Path(place, name)).st_size for place, _, names in os.walk(folder) for name in names]
    return len(sizes), sum(sizes)


def as_png(picture: np.ndarray) -> bytes:
    """Return a picture as a PNG file: nothing of its camera or place is left, and gray is stored as gray."""
    gray = bool((picture == picture[..., :1]).all())
    image = Image.fromarray(picture[..., 0] if gray else picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
