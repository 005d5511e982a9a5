"""Randomness that belongs to an image: the same for the same pixels, in whatever order and batch they come."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

Generators = Sequence[np.random.Generator]


def generators(name: str, images: np.ndarray) -> list[np.random.Generator]:
    """Return one generator of random numbers for each image, seeded by its content and by `name`.

    Args:
        name: What the numbers are for; others are independent.
        images: uint8 `[N, H, W, C]`.
    """
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16, person=name.encode()[:16]).digest() for image in images)
    return [np.random.default_rng(int.from_bytes(digest, "little")) for digest in digests]
