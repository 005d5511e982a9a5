"""The original of an export: a trained model, and its probabilities for real images."""

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
"""Number of real images for calibrating a format, and of others for comparing its exports."""


@dataclass(frozen=True, repr=False)
class Original(Shown):
    """A trained model with real images, and its probabilities for them.

    Attributes:
        served: The model as passed to formats, with example images.
        data: Description of the images.
        images: Images for the comparison, different from the examples, uint8 `[N, H, W, C]`.
        probabilities: The trainer's calibrated probabilities for them, float64 `[N, K]`.
    """

    served: Served
    data: str
    images: np.ndarray
    probabilities: np.ndarray

    def _line(self) -> str:
        return f"{self.served!r} on {count(len(self.images), 'image')} of {in_line(self.data)}"

    @classmethod
    def of(cls, trained: Trained) -> Original:
        """Return a trained model with images of its own data, or of MNIST if these are missing.

        Raises:
            UsageError: If the model has no probabilities.
        """
        trained.check_classifies("export")
        data, images = real_images(trained, SHOWN + COMPARED)
        return cls.on(trained, data, images[:SHOWN], images[SHOWN:])

    @classmethod
    def on(cls, trained: Trained, data: str, shown: np.ndarray, images: np.ndarray) -> Original:
        """Return a trained model with the given images; see `of`."""
        from trainer.evaluator import Evaluator
        from trainer.tasks.classification import logits_of

        served = Served.of(trained, shown)
        logits = np.asarray(logits_of(trained.model, Evaluator(trained.model).predict(images)))
        return cls(served, data, images, np.exp(log_softmax(logits / trained.temperature)))
