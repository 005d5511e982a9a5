"""Random augmentation of a batch of images, each change a pure function of the images and a seed.

| strength | shift | rotation | zoom | shear | elastic | erasing | brightness, contrast |
|---|---|---|---|---|---|---|---|
| `none` | - | - | - | - | - | - | - |
| `light` | ±7 % | ±10° | 0.9 to 1.1 | ±0.1 | - | - | - |
| `strong` | ±10 % | ±15° | 0.85 to 1.15 | ±0.2 | about 1 px | p 0.25, 15 to 35 % of a side | ±0.1, 0.7 to 1.3 |

All changes but elastic distortion are drawn uniformly, once per image. Shifts are shares of the side. Elastic
displacements are drawn from a normal distribution on a 5 x 5 grid, with a standard deviation of 1.1 pixels for a side
of 28, and interpolated, which leaves 0.8 to 1.15. Pixels uncovered by a shift are 0. Every value can be set
separately; see `trainer.data.augmentation.strength.Strength`.
"""

from __future__ import annotations

import tensorflow as tf

from trainer.data.augmentation.degrade import degrade
from trainer.data.augmentation.geometry import thicken, warp
from trainer.data.augmentation.strength import Strength


def augment(images: tf.Tensor, seed: tf.Tensor, strength: Strength | None) -> tf.Tensor:
    """Return augmented images, identical for the same seed.

    Args:
        images: `[B, H, W, C]`, uint8 or float32 from 0 to 1; all sizes must be known if `strength` is given.
        seed: int64 `[2]`.
        strength: Ranges of the changes; None only scales the images.

    Returns:
        float32 `[B, H, W, C]` in [0, 1].
    """
    scaled = tf.cast(images, tf.float32)
    if images.dtype == tf.uint8:
        scaled = scaled / 255.0
    if strength is None:
        return scaled
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 6))
    if strength.shift or strength.rotation or strength.zoom or strength.shear or strength.elastic:
        scaled = warp(scaled, seeds[0], seeds[1], strength)
    if strength.thickness:
        scaled = thicken(scaled, seeds[4], strength.thickness)
    if strength.erasing:
        scaled = _erase(scaled, seeds[2], strength.erasing)
    if strength.brightness or strength.contrast:
        scaled = _tone(scaled, seeds[3], strength)
    if strength.degraded:
        scaled = degrade(scaled, seeds[5], strength.degraded)
    return scaled


@tf.function(jit_compile=True, autograph=False)
def _erase(images: tf.Tensor, seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Set a rectangle to 0 in a share of the images (after Zhong et al. 2017, arXiv 1708.04896)."""
    batch, height, width, _ = images.shape
    chance, tall, wide, top, left = tf.unstack(tf.random.stateless_uniform([batch, 5], seed), axis=1)
    tall, wide = 0.15 + 0.2 * tall, 0.15 + 0.2 * wide

    def inside(extent: int, start: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        position = (tf.range(extent, dtype=tf.float32) + 0.5) / extent
        begin = (start * (1 - size))[:, None]
        return (position >= begin) & (position < begin + size[:, None])

    rectangle = inside(height, top, tall)[:, :, None] & inside(width, left, wide)[:, None, :]
    erased = rectangle & (chance < probability)[:, None, None]
    return tf.where(erased[..., None], 0.0, images)


@tf.function(jit_compile=True, autograph=False)
def _tone(images: tf.Tensor, seed: tf.Tensor, strength: Strength) -> tf.Tensor:
    draws = tf.random.stateless_uniform([images.shape[0], 2], seed, -1.0, 1.0)[:, :, None, None, None]
    return tf.clip_by_value(
        images * (1 + strength.contrast * draws[:, 0]) + strength.brightness * draws[:, 1], 0.0, 1.0
    )
