"""LeNet-5 as published: sparse C3, trainable subsampling, scaled tanh, distances to fixed bitmaps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from models.sizes import check_size
from trainer.registry import models

CONNECTIONS: tuple[tuple[int, ...], ...] = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""The maps of S2 that each map of C3 sees (LeCun et al. 1998, table I)."""

BITMAPS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
.#####.  ...##..  .#####.  #######  ....##.  #######  ..####.  #######  .#####.  .#####.
##...##  ..###..  ##...##  .....##  ...###.  ##.....  .##....  ##...##  ##...##  ##...##
##...##  .####..  ##...##  ....##.  ..####.  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ...##..  .....##  ...##..  .##.##.  ######.  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  ....##.  ..####.  ##..##.  .....##  ######.  ....##.  .#####.  .######
##...##  ...##..  ...##..  .....##  #######  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  ..##...  .....##  ....##.  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  .##....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ....##.
.#####.  .######  #######  .#####.  ....##.  .#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""
"""Digits of 7 x 12 pixels, the targets of F6; drawn in the spirit of section II.B, not copied."""


@models.register("lenet5")
def lenet5(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Build LeNet-5 of LeCun et al. 1998: exactly 60,000 trainable parameters, 0.42 MMAC for images of 28 x 28 x 1.

    "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), section II.B, with the connection
    table I. Images are padded by 2 pixels and scaled to the paper's range (background -0.1, ink 1.175). The output is
    the negative squared distance of F6 to a fixed bitmap for each class, so that softmax cross-entropy is the paper's
    criterion (equation 9) without the constant for rejecting garbage.

    Args:
        input_shape: Height, width and channels, at least 12 x 12.
        num_classes: Number of classes, at most 10, one per bitmap.

    Returns:
        A model from images float32 `[N, H, W, C]` in [0, 1] to logits float32 `[N, num_classes]`.

    Raises:
        ValueError: If there are more than 10 classes or the images are too small.
    """
    if num_classes > len(_bitmaps()):
        raise ValueError(f"lenet5 has bitmaps for {len(_bitmaps())} classes, not {num_classes}; use lenet")
    check_size(input_shape, 12)
    images = keras.Input(input_shape, name="images")
    x = layers.ZeroPadding2D(2, name="frame")(images)
    x = layers.Rescaling(1.275, offset=-0.1, name="range")(x)
    x = layers.Conv2D(6, 5, kernel_initializer=_uniform(25 * input_shape[2]), name="c1")(x)
    x = Subsampling(name="s2")(Squash(name="c1_squash")(x))
    x = TableConv2D(CONNECTIONS, name="c3")(Squash(name="s2_squash")(x))
    x = Subsampling(name="s4")(Squash(name="c3_squash")(x))
    x = layers.Flatten(name="flatten")(Squash(name="s4_squash")(x))
    x = layers.Dense(120, kernel_initializer=_uniform(x.shape[-1]), name="c5")(x)
    x = layers.Dense(84, kernel_initializer=_uniform(120), name="f6")(Squash(name="c5_squash")(x))
    logits = BitmapDistance(num_classes, dtype="float32", name="logits")(Squash(name="f6_squash")(x))
    return keras.Model(images, logits, name="lenet5")


def _uniform(fan_in: int) -> keras.Initializer:
    """Return the initializer: uniform within ±2.4 / √fan-in.

    Appendix A of the paper says 2.4 / fan-in; karpathy/lecun1989-repro reads it with the root, and training agrees:
    98.52 % against 96.94 % of MNIST's validation images after 10 epochs (`fit.py --model lenet5 --data mnist`, seed 0).
    """
    return keras.initializers.RandomUniform(-2.4 / fan_in**0.5, 2.4 / fan_in**0.5)


def _bitmaps() -> np.ndarray:
    """Return the targets of F6, float32 `[10, 84]` of ±1, row by row."""
    rows = [line.split() for line in BITMAPS.split("\n") if line]
    ink = np.array([[[pixel == "#" for pixel in part] for part in row] for row in rows])
    return np.where(ink.transpose(1, 0, 2).reshape(ink.shape[1], -1), 1, -1).astype(np.float32)


@keras.saving.register_keras_serializable("inkwell")
class Squash(layers.Layer):
    """The paper's activation, 1.7159 tanh(2/3 a), for any shape (appendix A)."""

    def call(self, inputs: Any) -> Any:
        """Return `inputs` squashed into ±1.7159."""
        return 1.7159 * ops.tanh(inputs * (2 / 3))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return `input_shape`."""
        return input_shape


@keras.saving.register_keras_serializable("inkwell")
class Subsampling(layers.Layer):
    """Sum of 2 x 2 pixels times a coefficient plus a bias, both trained per map: `[N, H, W, C]` to half the size."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create coefficient and bias, `[C]` each."""
        self.coefficient = self.add_weight(shape=(input_shape[-1],), initializer=_uniform(4), name="coefficient")
        self.bias = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Return the scaled sums."""
        return 4.0 * ops.average_pool(inputs, 2, 2) * self.coefficient + self.bias


@keras.saving.register_keras_serializable("inkwell")
class TableConv2D(layers.Layer):
    """A 5 x 5 convolution whose output maps see only some of the input maps: `[N, H, W, 6]` to `[N, H-4, W-4, 16]`.

    Args:
        connections: The input maps that each output map sees, 0-based.
        kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, connections: tuple[tuple[int, ...], ...], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connections = tuple(tuple(inputs) for inputs in connections)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create one kernel of 25 weights per connection, and one bias per output map."""
        links = [(source, target) for target, sources in enumerate(self.connections) for source in sources]
        fans = np.array([len(self.connections[target]) * 25 for _, target in links], np.float32)
        self.links = np.array(links, np.int32)
        self.maps = int(input_shape[-1] or 0)
        uniform = keras.initializers.RandomUniform(-2.4, 2.4)
        self.kernels = self.add_weight(
            shape=(len(links), 25),
            name="kernels",
            initializer=lambda shape, dtype: uniform(shape, dtype) / np.sqrt(fans)[:, None],
        )
        self.bias = self.add_weight(shape=(len(self.connections),), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """Return the convolution; connections that are not in the table are zeros in a full kernel."""
        full = ops.scatter(self.links, self.kernels, (self.maps, len(self.connections), 25))
        kernel = ops.reshape(ops.transpose(full, (2, 0, 1)), (5, 5, self.maps, len(self.connections)))
        return ops.conv(inputs, kernel) + self.bias

    def get_config(self) -> dict[str, Any]:
        """Return the layer's configuration, including the table."""
        return {**super().get_config(), "connections": self.connections}


@keras.saving.register_keras_serializable("inkwell")
class BitmapDistance(layers.Layer):
    """Negative squared distances to fixed bitmaps: `[N, 84]` to `[N, classes]`; it has no trainable weights.

    Args:
        classes: Number of bitmaps, at most 10.
        kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes = classes
        self.bitmaps = _bitmaps()[:classes]

    def call(self, inputs: Any) -> Any:
        """Return one number per class, at most 0."""
        return -ops.sum(ops.square(inputs[:, None, :] - self.bitmaps), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the layer's configuration, including the number of classes."""
        return {**super().get_config(), "classes": self.classes}
