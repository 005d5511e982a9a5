"""The predictions of a model for labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from trainer.display.shown import Shown
from trainer.evaluation.classification import log_softmax
from trainer.text import count

if TYPE_CHECKING:
    from trainer.data.mapped import Mapped


@dataclass(frozen=True, repr=False)
class Predictions(Shown):
    """The outputs of a classifier for labelled images.

    Attributes:
        logits: float32 `[N, K]`.
        labels: int `[N]`, 0-based.
        images: uint8 `[N, H, W, C]`; None if the data were streamed.
        temperature: Divisor of the logits for calibrated probabilities; None if it was not fitted.
    """

    logits: np.ndarray
    labels: np.ndarray
    images: np.ndarray | Mapped | None = None
    temperature: float | None = None

    def _line(self) -> str:
        return f"{count(len(self.labels), 'image')}, {100 * self.right.mean():.2f} % right"

    def _card(self) -> str:
        from trainer.display.html import card, note
        from trainer.display.picture import SHOWN, strip

        wrong = self.errors()
        if self.images is None or not len(wrong):
            return card(repr(self))
        images, seen = self.images, [(int(k), f"{self.labels[k]} read as {self.predicted[k]}") for k in wrong[:SHOWN]]
        return card(
            repr(self),
            note("misclassified, the most confident first"),
            strip((images[k], said) for k, said in seen),
        )

    @cached_property
    def predicted(self) -> np.ndarray:
        """The predicted class of each image, int `[N]`."""
        return self.logits.argmax(axis=1)

    @cached_property
    def right(self) -> np.ndarray:
        """True for each image whose predicted class is its label, bool `[N]`."""
        return self.predicted == self.labels

    def probabilities(self, calibrated: bool = True) -> np.ndarray:
        """Return probabilities, float64 `[N, K]`, from logits divided by the temperature, or from the raw logits."""
        scale = self.temperature if calibrated and self.temperature else 1.0
        return np.exp(log_softmax(self.logits / scale))

    def errors(self) -> np.ndarray:
        """Return the indices of misclassified images, int `[M]`, the most confident first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.probabilities()[wrong].max(axis=1), kind="stable")]
