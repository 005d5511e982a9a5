"""The reliability diagram: how often the model is right where it says that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugins.report.pictures.panel import Panel
from plugins.report.pictures.scale import Scale

AS_TRAINED, CALIBRATED = "as they are", "calibrated"
"""The kinds of probabilities in `reliability.csv` and `evaluation.json`."""
KINDS = {AS_TRAINED: ("blue", "as trained"), CALIBRATED: ("orange", "with the temperature")}

Rows = Sequence[Mapping[str, Any]]


def reliability_charts(rows: Rows) -> list[Panel]:
    """Return a chart of accuracy over confidence, and one of how many images lie where.

    Args:
        rows: Bins of one or two kinds of `probabilities`; see `trainer.evaluation.calibration.reliability`.
    """
    kinds = {kind: [row for row in rows if row["probabilities"] == kind and row["images"]] for kind in KINDS}
    kinds = {kind: bins for kind, bins in kinds.items() if bins}
    return [_accuracy(kinds), _images(kinds)] if kinds else []


def _accuracy(kinds: Mapping[str, Rows]) -> Panel:
    share = Scale(0, 1, percent=True)
    about = "Reliability diagram: accuracy by confidence, with the diagonal on which both are equal."
    panel = Panel("accuracy", share, share, "confidence: the highest probability", about)
    panel.diagonal()
    panel.key([KINDS[kind] for kind in kinds])
    for kind, bins in kinds.items():
        colour, _ = KINDS[kind]
        for row in bins:
            panel.interval(row["confidence"], row["accuracy_low"], row["accuracy_high"], colour)
        panel.line([row["confidence"] for row in bins], [row["accuracy"] for row in bins], colour, dots=True)
    return panel


def _images(kinds: Mapping[str, Rows]) -> Panel:
    most = max(row["images"] for bins in kinds.values() for row in bins)
    counts = Scale(0.7, max(1.5 * most, 10.0), log=True)
    about = f"Bar chart, logarithmic: images by confidence, at most {most:,.0f} in a bin."
    panel = Panel(
        "images, logarithmic", Scale(0, 1, percent=True), counts, "confidence: the highest probability", about
    )
    for place, (kind, bins) in enumerate(kinds.items()):
        for row in bins:
            width = 0.8 * (row["high"] - row["low"]) / len(kinds)
            left = row["low"] + 0.1 * (row["high"] - row["low"]) + place * width
            panel.bar(left, left + width, row["images"], KINDS[kind][0])
    return panel
