"""The recipe of `race`, the same for all contenders."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

EPOCHS = 30
PEAK, WARM_UP = 4e-3, 0.05
"""The learning rate rises from a hundredth of the peak in a share of the steps, then falls to 0 as half a cosine."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is trained until when.

    Attributes:
        images: An .npz file with `x_` and `y_` of `train`, `val` and `test`, uint8.
        target: Validation accuracy at which training stops.
        batch_size: Images a batch.
        epochs: Epochs at most, over which the schedule goes.
        seed: Of initial weights, order and augmentation.
    """

    images: str
    target: float
    batch_size: int
    epochs: int
    seed: int

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(dataclasses.asdict(self))
