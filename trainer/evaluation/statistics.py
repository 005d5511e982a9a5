"""Confidence intervals of shares, and the significance of differences between two models."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Self

import numpy as np

CONFIDENCE = 0.95
SIGNIFICANT = 0.05


def wilson_interval(successes: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the confidence interval of a share (Wilson 1927, the score interval).

    Unlike the normal approximation, it stays within [0, 1] and is accurate near 100 %, as accuracies often are.

    Args:
        successes: From 0 to `total`.
        total: Number of trials; without any, the interval is [0, 1].
        confidence: Confidence level, between 0 and 1.
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
    """The share of correctly classified images, with its 95 % Wilson interval.

    Attributes:
        value: From 0 to 1.
        low: Lower end of the interval.
        high: Upper end of the interval.
        right: Number of correctly classified images.
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
        """Return all numbers, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{100 * self.value:.2f} % (95 %: {100 * self.low:.2f} % to {100 * self.high:.2f} %)"


@dataclass(frozen=True)
class Comparison:
    """The comparison of two models on the same images.

    Attributes:
        images: Number of images.
        newly_right: Number of images that only this model classifies correctly.
        newly_wrong: Number of images that only the other model classifies correctly.
    """

    images: int
    newly_right: int
    newly_wrong: int

    @property
    def points(self) -> float:
        """The lead of this model's accuracy over the other's, in percentage points."""
        return 100 * (self.newly_right - self.newly_wrong) / self.images

    @property
    def p(self) -> float:
        """The p-value of McNemar's exact test, two-sided (1947).

        It is the probability of a difference at least as large by chance alone. Images on which both models are right,
        or both wrong, carry no information; if neither model is better, the others are tosses of a fair coin.
        """
        tosses, fewer = self.newly_right + self.newly_wrong, min(self.newly_right, self.newly_wrong)
        tail = sum(math.comb(tosses, k) for k in range(fewer + 1))
        return min(1.0, 2 * tail / 2**tosses)

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, ready for JSON."""
        return {**asdict(self), "points": self.points, "p": self.p}

    def sentence(self, other: str) -> str:
        """Return the comparison in words; `other` is the name of the other model."""
        difference = f"{self.newly_right} newly right, {self.newly_wrong} newly wrong compared with {other}"
        if not self.newly_right and not self.newly_wrong:
            return f"both models are right on the same of the {self.images:,} images"
        if self.p >= SIGNIFICANT:
            verdict = "the difference may be due to chance"
        else:
            verdict = f"this model is significantly {'better' if self.points > 0 else 'worse'}"
        return f"{difference}: {self.points:+.2f} points, p = {self.p:.2g} (exact McNemar test); {verdict}"


def compare(right: np.ndarray, other: np.ndarray) -> Comparison:
    """Compare two models image by image.

    Args:
        right: True for each image that this model classifies correctly, bool `[N]`, N at least 1.
        other: The same for the other model, in the same order.
    """
    return Comparison(len(right), int((right & ~other).sum()), int((~right & other).sum()))
