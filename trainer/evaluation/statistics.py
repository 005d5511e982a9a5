"""How sure one may be of a share, and of a difference between two models."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np

CONFIDENCE = 0.95
SIGNIFICANT = 0.05


def wilson_interval(successes: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the interval in which the true share lies with some confidence (Wilson 1927, the score interval).

    Unlike the normal approximation it stays within [0, 1] and is right near 100 %, where accuracies lie.

    Args:
        successes: From 0 to `total`.
        total: Number of trials; of none nothing is known, and the interval is [0, 1].
        confidence: Between 0 and 1.
    """
    if not total:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / total
    centre = share + z * z / (2 * total)
    reach = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


@dataclass(frozen=True)
class Share:
    """The share of images that are read right, with its 95 % interval by Wilson.

    Attributes:
        value: From 0 to 1.
        low: Lower end of the interval.
        high: Upper end of the interval.
        right: Number of images read right.
        images: Number of images.
    """

    value: float
    low: float
    high: float
    right: int
    images: int

    @classmethod
    def of(cls, right: np.ndarray) -> Self:
        """Return the share of True in `right`, bool `[N]`, N at least 1."""
        return cls.of_counts(int(right.sum()), len(right))

    @classmethod
    def of_counts(cls, hits: int, images: int) -> Self:
        """Return the share of `hits` in `images`, of which there is at least 1."""
        return cls(hits / images, *wilson_interval(hits, images), hits, images)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, for a file."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} % (95 %: {100 * self.low:.2f} % to {100 * self.high:.2f} %)"


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        images: Number of images.
        newly_right: Images that this model reads right and the other wrong.
        newly_wrong: Images that this model reads wrong and the other right.
    """

    images: int
    newly_right: int
    newly_wrong: int

    @property
    def points(self) -> float:
        """By how many percentage points this model's accuracy is higher."""
        return 100 * (self.newly_right - self.newly_wrong) / self.images

    @property
    def p(self) -> float:
        """How often chance alone gives a difference at least as large: McNemar's exact test, two-sided (1947).

        Images that both models read right, or both wrong, say nothing about which is better; the rest are tosses of a
        fair coin if neither is.
        """
        tosses, fewer = self.newly_right + self.newly_wrong, min(self.newly_right, self.newly_wrong)
        tail = sum(math.comb(tosses, k) for k in range(fewer + 1))
        return min(1.0, 2 * tail / 2**tosses)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, for a file."""
        return {**asdict(self), "points": self.points, "p": self.p}

    def sentence(self, other: str) -> str:
        """Say it in plain words; `other` is what the other model is called."""
        difference = f"{self.newly_right} newly right, {self.newly_wrong} newly wrong against {other}"
        if not self.newly_right and not self.newly_wrong:
            return f"both get the same of the {self.images:,} images right"
        if self.p >= SIGNIFICANT:
            verdict = "chance alone explains that, neither is shown to be better"
        else:
            verdict = f"this model is {'better' if self.points > 0 else 'worse'}, chance hardly explains it"
        return f"{difference}: {self.points:+.2f} points, p = {self.p:.2g} (McNemar, exact); {verdict}"


def compare(right: np.ndarray, other: np.ndarray) -> Comparison:
    """Compare two models image by image.

    Args:
        right: Whether this model reads each image right, bool `[N]`, N at least 1.
        other: The same of the other model, in the same order.
    """
    return Comparison(len(right), int((right & ~other).sum()), int((~right & other).sum()))
