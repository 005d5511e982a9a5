"""The images that a model is evaluated on and was trained on: how many they are, and how well it reads the others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.evaluation.statistics import Share

if TYPE_CHECKING:
    from trainer.data.imageset import ImageSet
    from trainer.data.seen import Seen


@dataclass(frozen=True)
class Overlap:
    """What a model had seen of the images that it was evaluated on.

    Attributes:
        images: Number of images.
        trained_on: How many of them the model was trained on.
        validated_on: How many of the others its weights were chosen by.
        others: Accuracy on the images that it was not trained on; None if there are none, or nothing was classified.
    """

    images: int
    trained_on: int
    validated_on: int
    others: Share | None

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers and the sentence, for a file."""
        return {**asdict(self), "sentence": self.sentence}

    @property
    def sentence(self) -> str:
        """The same in words, without a capital and a full stop."""
        if not self.trained_on:
            chosen = f"; {self.validated_on:,} of them chose the weights" if self.validated_on else ""
            return f"none of the {self.images:,} was trained on{chosen}"
        if self.trained_on == self.images:
            return f"all {self.images:,} were trained on: these numbers say nothing about new images"
        return f"{self.trained_on:,} of {self.images:,} were trained on; on the other {self._others()}"

    def _others(self) -> str:
        """Say what is known of the images that the model was not trained on."""
        rest = self.images - self.trained_on
        which = "which" if self.validated_on == rest else f"{self.validated_on:,} of which"
        chosen = f", {which} chose the weights" if self.validated_on else ""
        return f"{rest:,}{chosen}: {self.others or 'no accuracy is known'}"


def overlap(seen: Seen, images: ImageSet, right: np.ndarray | None) -> Overlap:
    """Return what a model has seen of some images.

    Args:
        seen: The images that it was trained and validated on.
        images: N images to evaluate on.
        right: True for each image that is read right, bool `[N]`; None if nothing was classified.
    """
    trained_on, validated_on = seen.marks(images)
    others = None if right is None or trained_on.all() else Share.of(right[~trained_on])
    return Overlap(len(images), int(trained_on.sum()), int(validated_on.sum()), others)
