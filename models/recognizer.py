"""Reads digits in image files with a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.data.image import read_image
from trainer.evaluation import log_softmax
from trainer.restore import Trained, load_trained


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    Attributes:
        name: Name of the most probable class.
        probability: Its probability, in [0, 1].
        probabilities: Those of all classes, float64 `[K]`, in the order of the model's classes.
    """

    name: str
    probability: float
    probabilities: np.ndarray


class Recognizer:
    """A trained model with what an image file needs before the model can see it.

    Args:
        trained: The model and the data it was trained on.
    """

    def __init__(self, trained: Trained) -> None:
        from trainer.trainer import Trainer

        self.trainer = Trainer(trained.model)
        height, width, channels = trained.data["input_shape"]
        self.size, self.channels = (width, height), channels
        self.class_names = tuple(trained.data["class_names"])

    @classmethod
    def load(cls, path: Path) -> Recognizer:
        """Load the model of a run directory or checkpoint; see `trainer.restore.load_trained`.

        Raises:
            UsageError: If `path` is neither.
            CheckpointError: If there is no checkpoint, or it is damaged.
        """
        return cls(load_trained(path))

    def prepare(self, path: Path) -> np.ndarray:
        """Return an image file as the model takes it, uint8 `[H, W, C]`.

        A gray image whose border is brighter than half is inverted, since the digits learnt are light on dark ground;
        then the image is scaled to the model's size.

        Raises:
            DataError: If the file cannot be decoded.
        """
        image = read_image(path, self.channels)
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        if self.channels == 1 and border.mean() > 127.5:
            image = 255 - image
        if image.shape[1::-1] == self.size:
            return image
        scaled = Image.fromarray(image[..., 0] if self.channels == 1 else image).resize(self.size, Image.Resampling.BOX)
        return np.asarray(scaled, np.uint8).reshape(*self.size[::-1], self.channels)

    def read(self, images: Sequence[np.ndarray]) -> list[Reading]:
        """Return one reading an image.

        Args:
            images: uint8 `[H, W, C]` each, as `prepare` returns them; at least one.
        """
        probabilities = np.exp(log_softmax(self.trainer.predict(np.stack(images))))
        best = probabilities.argmax(axis=1)
        return [Reading(self.class_names[k], float(p[k]), p) for k, p in zip(best, probabilities, strict=True)]
