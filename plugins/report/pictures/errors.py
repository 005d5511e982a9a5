"""The images that the model reads wrong, the most confident errors first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from trainer.evaluation.label_errors import doubted
from trainer.evaluation.predictions import Predictions
from trainer.files import write_atomic

MOST = 60
"""Errors whose images are shown."""
ACROSS = 10
"""Images in a row of the sprite."""


def error_rows(predictions: Predictions, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a record of each misclassified image, the most confident error first.

    Args:
        predictions: Outputs of the model for the images.
        names: Names of the classes.

    Returns:
        For each: its place `image` among the images evaluated; its class `true`, the class `read` and its
        `probability`, the `probability_of_true`; if the images are known, the `sha256` of its pixels, and True for
        `doubted` if people do not confirm its label (see `trainer.evaluation.label_errors`).
    """
    wrong, probabilities = predictions.errors(), predictions.probabilities()
    images = predictions.images
    doubts = doubted(images, predictions.labels) if images is not None and len(wrong) else None
    rows = []
    for i in wrong.tolist():
        true, read = int(predictions.labels[i]), int(predictions.predicted[i])
        row = {"image": i, "true": names[true], "read": names[read], "probability": float(probabilities[i, read])}
        row["probability_of_true"] = float(probabilities[i, true])
        if images is not None:
            row["sha256"] = hashlib.sha256(np.ascontiguousarray(images[i]).tobytes()).hexdigest()
            row["doubted"] = bool(doubts is not None and doubts[i])
        rows.append(row)
    return rows


def write_sprite(images: np.ndarray, path: Path) -> None:
    """Write images into one PNG, `ACROSS` in a row, so that a page carries one file instead of many.

    Args:
        images: uint8 `[M, H, W, C]` with 1 or 3 channels, at least one.
        path: The file to write.
    """
    from PIL import Image

    count, height, width, channels = images.shape
    down = -(-count // ACROSS)
    cells = np.zeros((down * ACROSS, height, width, channels), np.uint8)
    cells[:count] = images
    sheet = cells.reshape(down, ACROSS, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(down * height, ACROSS * width, channels)
    content = BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(content, "PNG", optimize=True)
    write_atomic(path, content.getvalue())  # which follows no link to somewhere else
