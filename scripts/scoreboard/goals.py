"""The goal of each recipe, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """The goal of a recipe.

    Attributes:
        seconds: Maximum training time on two cores; None for no limit.
        accuracy: Minimum mean accuracy on the test images, in percent.
        data: The flags that name its data.
        robustness: Minimum mean accuracy under the 15 corruptions of MNIST-C, in percent; None if it is not measured.
        runs: The runs of other recipes, named `<recipe>-<seed>`, that it combines instead of being trained.
    """

    seconds: float | None
    accuracy: float
    data: str = "--data mnist"
    robustness: float | None = None
    runs: tuple[str, ...] = ()


GOALS: Mapping[str, Goal] = {
    "instant": Goal(10, 99.0),
    "fast": Goal(60, 99.40),
    "standard": Goal(300, 99.55),
    "strong": Goal(1200, 99.66, robustness=93.0),
    "best": Goal(2700, 99.70),
    "ensemble": Goal(None, 99.77, runs=("best-0", "best-1", "strong-1", "strong-2")),
    "tiny": Goal(600, 99.50),
    "lenet": Goal(300, 99.40),
    "small-data": Goal(300, 99.0, "--test-data mnist"),
}

ZOO = "zoo"
"""The name under which architectures are measured, each with the default recipe, `ZOO_EPOCHS` epochs and seed 0."""

ZOO_EPOCHS = 3
