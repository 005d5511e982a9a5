"""The 15 corruptions of MNIST-C, reimplemented from their published definitions.

Mu and Gilmer 2019, "MNIST-C: A Robustness Benchmark for Computer Vision" (arXiv 1906.02337); definitions and severities
as in `corruptions.py` of github.com/google-research/mnist-c at bba57e4c. The random numbers differ, so images are of
the same kind as the published ones but not identical; each depends only on the corruption's name and the pixels.

A corruption takes images, float64 `[N, 28, 28, 1]` in [0, 1], and one random generator per image; its result is clipped
to [0, 1] and rounded to 256 levels here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainer.data.augmentation.strength import Strength
from trainer.evaluation.robustness import blur, clouds, geometry, marks, noise
from trainer.evaluation.robustness.seeding import Generators, generators

SHAPE = (28, 28, 1)


@dataclass(frozen=True)
class Corruption:
    """One way to corrupt images.

    Attributes:
        change: The function that corrupts images.
        severity: The severity, in words.
        like: Attributes of `trainer.data.augmentation.strength.Strength` whose changes resemble it.
    """

    change: Callable[[np.ndarray, Generators], np.ndarray]
    severity: str
    like: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name in MNIST-C."""
        return self.change.__name__

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return corrupted images, uint8, for `images`, uint8 `[N, 28, 28, 1]`; deterministic for each image."""
        worse = self.change(images / 255.0, generators(self.name, images))
        return np.rint(255 * np.clip(worse, 0, 1)).astype(np.uint8)

    def trained_for(self, strength: Strength | None) -> bool:
        """Return True if an augmentation produces images like these."""
        return strength is not None and any(getattr(strength, attribute) > 0 for attribute in self.like)


CORRUPTIONS = (
    Corruption(noise.shot_noise, "Poisson, 3 photons for white", ("degraded",)),
    Corruption(noise.impulse_noise, "17 % of the pixels", ("degraded",)),
    Corruption(blur.glass_blur, "sigma 0.7, by 1 pixel, 2 rounds", ("degraded",)),
    Corruption(blur.motion_blur, "radius 10, sigma 3, within 45 degrees", ("degraded",)),
    Corruption(geometry.shear, "0.4 either way", ("shear",)),
    Corruption(geometry.scale, "0.7 of the size", ("zoom",)),
    Corruption(geometry.rotate, "0.4 radians either way", ("rotation",)),
    Corruption(noise.brightness, "0.5 added", ("brightness", "contrast", "degraded")),
    Corruption(geometry.translate, "3 pixels on both axes", ("shift",)),
    Corruption(marks.stripe, "7 columns at either side", ("degraded", "erasing")),
    Corruption(clouds.fog, "density 3, roughness 1.4", ("degraded",)),
    Corruption(noise.spatter, "mud, level 4 of 5", ("erasing",)),
    Corruption(marks.dotted_line, "from side to side", ("degraded",)),
    Corruption(marks.zigzag, "from side to side", ("degraded",)),
    Corruption(marks.canny_edges, "sigma 1", ("degraded",)),
)
"""The corruptions in the order of the paper. Resemblance is interpreted broadly, so that `never seen` is strict."""
