"""What an export is made of and compared with: a trained model, and what it says of real images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer.display.shown import Shown
from trainer.evaluation import log_softmax
from trainer.export.format import Served
from trainer.export.images import real_images
from trainer.text import count, in_line

if TYPE_CHECKING:
    from trainer.runs.trained import Trained

SHOWN, COMPARED = 200, 1000
"""Real images that a format may learn from, and others on which its exports are compared."""


@dataclass(frozen=True, repr=False)
class Original(Shown):
    """A trained model with real images, and its probabilities for them.

    Attributes:
        served: The model as formats get it, with images of which they may learn.
        data: What the images are.
        images: Others, uint8 `[N, H, W, C]`.
        probabilities: What the trainer says of them: calibrated, float64 `[N, K]`.
    """

    served: Served
    data: str
    images: np.ndarray
    probabilities: np.ndarray

    def _line(self) -> str:
        return f"{self.served!r} on {count(len(self.images), 'image')} of {in_line(self.data)}"

    @classmethod
    def of(cls, trained: Trained) -> Original:
        """Return a trained model with images of its own data, or MNIST's where these are gone.

        Raises:
            UsageError: If the model gives no probabilities.
        """
        data, images = real_images(trained, SHOWN + COMPARED)
        return cls.on(trained, data, images[:SHOWN], images[SHOWN:])

    @classmethod
    def on(cls, trained: Trained, data: str, shown: np.ndarray, images: np.ndarray) -> Original:
        """Return a trained model with images that are given; see `of`."""
        from trainer.evaluator import Evaluator

        served = Served.of(trained, shown)
        logits = Evaluator(trained.model).predict(images)
        return cls(served, data, images, np.exp(log_softmax(logits / trained.temperature)))
