"""The recipe of `race`, shared by all contenders."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

EPOCHS = 30
PEAK, WARM_UP = 4e-3, 0.05
"""Peak learning rate, and share of the steps in which it rises from a hundredth of it; then it decays by a cosine."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The training of each contender.

    Attributes:
        images: An .npz file with `x_` and `y_` of `train`, `val` and `test`, uint8.
        target: Validation accuracy at which training stops.
        batch_size: Training batch size.
        epochs: Maximum number of epochs, which is also the length of the schedule.
        seed: Seed of initial weights, shuffling and augmentation.
    """

    images: str
    target: float
    batch_size: int
    epochs: int
    seed: int

    def to_json(self) -> str:
        """Return the recipe as JSON."""
        return json.dumps(dataclasses.asdict(self))
