"""The overlap of evaluated and training images, and the accuracy on the images outside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer.data.imageset import ImageSet
from trainer.evaluation.statistics import Share

if TYPE_CHECKING:
    from trainer.data.rows import Rows
    from trainer.data.seen import Seen


@dataclass(frozen=True)
class Overlap:
    """The images that a model was evaluated on, divided into those used and not used for training.

    Attributes:
        images: Number of images.
        trained_on: Number of images that the model was trained on.
        validated_on: Number of the other images that it was validated on.
        others: Accuracy on the images that it was not trained on; None if there are none, or nothing was classified.
        unit: Plural of what is counted, `images` or `rows`.
    """

    images: int
    trained_on: int
    validated_on: int
    others: Share | None
    unit: str = "images"

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers and the sentence, ready for JSON."""
        numbers = {name: value for name, value in asdict(self).items() if name != "unit"}
        return {**numbers, "sentence": self.sentence}

    @property
    def sentence(self) -> str:
        """A summary in words, without initial capital and full stop."""
        if not self.trained_on:
            validated = f"; {self.validated_on:,} of them were used for validation" if self.validated_on else ""
            return f"none of the {self.images:,} {self.unit} was used for training{validated}"
        if self.trained_on == self.images:
            used = f"all {self.images:,} {self.unit} were used for training"
            return f"{used}: these numbers say nothing about new {self.unit}"
        return f"{self.trained_on:,} of {self.images:,} {self.unit} were used for training; {self._others()}"

    def _others(self) -> str:
        """Return the accuracy on the images that the model was not trained on, in words."""
        rest = self.images - self.trained_on
        which = "which" if self.validated_on == rest else f"{self.validated_on:,} of which"
        validated = f", {which} were used for validation" if self.validated_on else ""
        return f"accuracy on the other {rest:,}{validated}: {self.others or 'unknown'}"


def overlap(seen: Seen, images: Rows, right: np.ndarray | None) -> Overlap:
    """Return the overlap of evaluated images with those that a model has seen.

    Args:
        seen: The images that the model was trained and validated on.
        images: N images to evaluate on.
        right: True for each image that is classified correctly, bool `[N]`; None if nothing was classified.
    """
    trained_on, validated_on = seen.marks(images)
    others = None if right is None or trained_on.all() else Share.of(right[~trained_on])
    unit = "images" if isinstance(images, ImageSet) else "rows"
    return Overlap(len(images), int(trained_on.sum()), int(validated_on.sum()), others, unit)
