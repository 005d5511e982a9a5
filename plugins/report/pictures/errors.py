"""A sheet of the images that the model reads wrong, the most confident first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from plugins.report.pictures.style import DPI, GREEN, MUTED, ORANGE, heading
from trainer.evaluation.label_errors import doubted
from trainer.evaluation.predictions import Predictions
from trainer.text import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 60
ACROSS = 10
NARROWEST = 8
"""So many images have room for the heading."""
LONGEST_NAME = 9


def error_rows(predictions: Predictions, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is to be said of each image read wrong, the most confident first.

    Args:
        predictions: What the model made of the images.
        names: Names of the classes.

    Returns:
        For each: its place `image` among the images evaluated; its class `true`, the class `read` and its
        `probability`, the `probability_of_true`; of images that are known their
        `sha256`, and whether their label is `doubted` (see `trainer.evaluation.label_errors`).
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


def draw_errors(images: np.ndarray, rows: Sequence[dict[str, Any]], total: int, title: str = "") -> Figure:
    """Return a figure of the first images read wrong.

    Args:
        images: uint8 `[M, H, W, C]`, at least one, at most `MOST`.
        rows: Of each what `error_rows` says.
        total: How many images are read wrong.
        title: First line of the heading.
    """
    from matplotlib.figure import Figure

    across = min(ACROSS, max(NARROWEST, len(images)))
    down = -(-len(images) // across)
    figure = Figure(figsize=(0.98 * across + 0.2, 1.42 * down + 0.75), dpi=DPI, layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set_xlim(0, across)
    axis.set_ylim(1.45 * down, 0)
    for place, (image, row) in enumerate(zip(images, rows, strict=True)):
        _draw_error(axis, image, row, place % across, 1.45 * (place // across))
    told = f"{total:,} read wrong" if total == len(images) else f"{total:,} read wrong, the surest {len(images)}"
    note = "; * people do not confirm the label" if any(row.get("doubted") for row in rows) else ""
    heading(figure, shortened(title, 40), f"{told}: true class, class read, its probability{note}")
    return figure


def _draw_error(axis: Axes, image: np.ndarray, row: dict[str, Any], left: float, top: float) -> None:
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    extent = (left + 0.06, left + 0.94, top + 0.94, top + 0.06)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
    true, read = (shortened(row[key], LONGEST_NAME) for key in ("true", "read"))
    long = len(true) + len(read) > 7
    font: dict[str, Any] = {"fontsize": 6.5 if long else 9.5, "va": "top", "parse_math": False}
    doubt = "*" if row.get("doubted") else ""
    if long:
        axis.text(left + 0.5, top + 0.97, f"{true}{doubt}", color=GREEN, ha="center", **font)
        axis.text(left + 0.5, top + 1.11, read, color=ORANGE, ha="center", **font)
    else:
        axis.text(left + 0.44, top + 0.97, f"{true}{doubt}", color=GREEN, ha="right", **font)
        axis.text(left + 0.56, top + 0.97, read, color=ORANGE, ha="left", **font)
    share = f"{100 * row['probability']:.1f} %"
    axis.text(left + 0.5, top + (1.26 if long else 1.2), share, color=MUTED, fontsize=7, ha="center", va="top")
