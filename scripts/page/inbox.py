"""The inbox: pictures with the label that a person gave them, kept for retraining as `<inbox>/<label>/<sha256>.png`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.errors import InkwellError, UsageError
from trainer.files import sweep, write_atomic

MAX_SIDE = 1600
"""Pixels of the longer side of a kept picture; larger photos are scaled down."""


def tidy(inbox: Path) -> None:
    """Delete what a killed server left half-written in the inbox, which need not exist."""
    for folder in inbox.glob("*/"):
        sweep(folder)


def keep(inbox: Path, label: str, picture: np.ndarray, class_names: Sequence[str]) -> Path:
    """Write a picture into the inbox; the file is either whole or not there, and the same picture is one file.

    Args:
        inbox: The folder; made if it is missing.
        label: One of `class_names`.
        picture: uint8 `[H, W, 3]`.
        class_names: Names of the model's classes.

    Returns:
        The file. Its name is the SHA-256 of its content.

    Raises:
        UsageError: If the label is none of the classes, or cannot be a folder's name.
        InkwellError: If the file cannot be written.
    """
    if label not in class_names:
        raise UsageError(f"{label[:40]!r} is none of the classes: {', '.join(class_names)}")
    if label in (".", "..") or set(label) & set("/\\\0"):
        raise UsageError(f"the class {label!r} cannot be the name of a folder")
    content = as_png(picture)
    path = inbox / label / f"{hashlib.sha256(content).hexdigest()}.png"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise InkwellError(f"{path.parent} cannot be written to: {error.strerror}") from error
    return path


def as_png(picture: np.ndarray) -> bytes:
    """Return a picture as a PNG file: nothing of its camera or place is left, and gray is stored as gray."""
    gray = bool((picture == picture[..., :1]).all())
    image = Image.fromarray(picture[..., 0] if gray else picture)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
