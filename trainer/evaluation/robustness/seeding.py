"""Randomness that depends on an image's pixels only, not on its order or batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

Generators = Sequence[np.random.Generator]


def generators(name: str, images: np.ndarray) -> list[np.random.Generator]:
    """Return one random generator per image, seeded by its content and by `name`.

    Args:
        name: Purpose of the numbers; generators for different names are independent.
        images: uint8 `[N, H, W, C]`.
    """
    digests = (hashlib.blake2b(image.tobytes(), digest_size=16, person=name.encode()[:16]).digest() for image in images)
    return [np.random.default_rng(int.from_bytes(digest, "little")) for digest in digests]
