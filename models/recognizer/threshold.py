"""The threshold below which a picture is refused, measured for a trained model when it is exported."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.recognizer.judge.rejection import THRESHOLD
from models.recognizer.judge.views import read_in_views
from models.recognizer.source import of_trained
from trainer.errors import InkwellError
from trainer.runs.trained import Trained

REFUSED = 0.01
"""Fraction of real digits that a measured threshold refuses."""

BATCH = 500
"""Number of images read at a time."""


def measured(trained: Trained) -> dict[str, Any]:
    """Return the threshold for a trained model, ready for JSON; empty if it does not read handwritten digits.

    It refuses 1 % of the run's validation images, if they are available, and is at most 0.1.
    """
    source = of_trained(trained)
    if not source.handwriting:
        return {}
    try:
        what, images, *_ = trained.images(None, None, "validation")
    except InkwellError:  # the data has moved or changed
        return {"threshold": THRESHOLD}
    pixels = np.asarray(images.images)
    batches = np.array_split(pixels, len(pixels) // BATCH + 1)
    worths = np.concatenate([read_in_views(batch, source.classify)[1] for batch in batches])
    threshold = min(THRESHOLD, float(np.quantile(worths, REFUSED)))
    return {"threshold": threshold, "measured": f"{what}: {len(pixels):,}"}
