"""Degraded images, as a camera, a scanner or bad paper produces them; one kind of degradation per image.

The kinds follow the families of MNIST-C (Mu and Gilmer 2019, arXiv 1906.02337) but are computed differently and with
random severity.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import tensorflow as tf

from trainer.data.augmentation.geometry import dilate, erode, interpolate

Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def degrade(images: tf.Tensor, seed: tf.Tensor, share: float) -> tf.Tensor:
    """Degrade a share of the images, the same number in each way.

    These are the first images of the batch, whose order is random; each kind is computed for its own images only.

    Args:
        images: float32 `[B, H, W, C]` in [0, 1], all sizes known.
        seed: int64 `[2]`.
        share: From 0 to 1.

    Returns:
        float32 `[B, H, W, C]` in [0, 1].
    """
    count = round(share * images.shape[0])
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, len(KINDS)))
    ends = [count * k // len(KINDS) for k in range(len(KINDS) + 1)]
    parts = [
        change(images[first:end], key)
        for change, key, first, end in zip(KINDS, seeds, ends, ends[1:], strict=False)
        if end > first
    ]
    return tf.clip_by_value(tf.concat([*parts, images[count:]], 0), 0.0, 1.0)


def _draw(images: tf.Tensor, seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Return `count` uniform draws in [0, 1) per image, each `[B, 1, 1, 1]`."""
    draws = tf.random.stateless_uniform([images.shape[0], count, 1, 1, 1], seed)
    return tf.unstack(draws, axis=1)


def _grid(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return rows and columns from -1 to 1, `[1, H, 1, 1]` and `[1, 1, W, 1]`."""
    height, width = images.shape[1:3]
    return tf.linspace(-1.0, 1.0, height)[None, :, None, None], tf.linspace(-1.0, 1.0, width)[None, None, :, None]


def noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Add Gaussian noise, or set single pixels to black or white."""
    normal, uniform, amounts = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    sigma, salted, sparse = _draw(images, amounts, 3)
    grainy = images + 0.35 * sigma * tf.random.stateless_normal(tf.shape(images), normal)
    dots = tf.random.stateless_uniform(tf.shape(images), uniform)
    share = 0.25 * sparse
    dotted = tf.where(dots < share / 2, 0.0, tf.where(dots > 1 - share / 2, 1.0, images))
    return tf.where(salted < 0.5, dotted, grainy)


def blur(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Blur each image along a random direction, or in all directions, over up to 9 pixels."""
    along, across, angle = _draw(images, seed, 3)
    side = 9
    place = tf.range(side, dtype=tf.float32) - side // 2
    rows, columns = place[None, :, None, None], place[None, None, :, None]
    angle = pi * angle
    forward = rows * tf.sin(angle) + columns * tf.cos(angle)
    sideways = rows * tf.cos(angle) - columns * tf.sin(angle)
    long, wide = 0.3 + 3.0 * along, 0.3 + 1.2 * across * across
    kernel = tf.exp(-0.5 * ((forward / long) ** 2 + (sideways / wide) ** 2))
    kernel /= tf.reduce_sum(kernel, (1, 2), keepdims=True)
    # Each image has its own kernel, so images take the place of channels.
    turned = tf.transpose(images, (3, 1, 2, 0))
    smeared = tf.nn.depthwise_conv2d(turned, tf.transpose(kernel, (1, 2, 0, 3)), (1, 1, 1, 1), "SAME")
    return tf.transpose(smeared, (3, 1, 2, 0))


def fog(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Overlay smooth clouds, which resemble uneven light and shadow, and reduce contrast."""
    coarse, fine, amounts = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
    batch, height, width, _ = images.shape
    clouds = interpolate(tf.random.stateless_uniform([batch, 3, 3], coarse), height, width)[..., None]
    wisps = interpolate(tf.random.stateless_uniform([batch, 8, 8], fine), height, width)[..., None]
    dense, rough, floor = _draw(images, amounts, 3)
    veil = floor * 0.5 + (1 - rough / 2) * clouds + rough / 2 * wisps
    return images * (1 - 0.5 * dense) + dense * veil


def bars(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Invert the part of the image beyond a line or between two parallel lines, or all of it."""
    angle, begin, width, level = _draw(images, seed, 4)
    rows, columns = _grid(images)
    angle = 2 * pi * angle
    distance = rows * tf.sin(angle) + columns * tf.cos(angle)
    start = 1.6 * begin - 0.9
    level = 0.5 + 0.5 * level
    inside = (distance > start) & (distance < start + 0.2 + 2.5 * width * width)
    return tf.where(inside, (0.5 + 0.5 * level) - images * level, images)


def lines(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw up to three thin strokes across the image, some of them dotted."""
    rows, columns = _grid(images)
    drawn = images
    for key in tf.unstack(tf.random.experimental.stateless_split(seed, 3)):
        angle, offset, strength, bend, rhythm = _draw(images, key, 5)
        angle = pi * angle
        along = columns * tf.cos(angle) + rows * tf.sin(angle)
        across = columns * tf.sin(angle) - rows * tf.cos(angle) + 1.4 * offset - 0.7 + 0.3 * bend * tf.sin(4 * along)
        stroke = tf.clip_by_value(1.5 - 14.0 * tf.abs(across), 0.0, 1.0)
        gaps = tf.where(rhythm < 0.5, tf.cast(tf.sin(12.0 * along) > -0.2, tf.float32), 1.0)
        drawn = tf.maximum(drawn, stroke * gaps * tf.where(strength < 0.4, 0.0, 0.4 + 0.6 * strength))
    return drawn


def outline(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Keep only the edges of the ink, with random thickness."""
    (mix,) = _draw(images, seed, 1)
    thick, thin = dilate(images) - images, images - erode(images)
    edges = tf.maximum(thick, thin) * mix + thick * (1 - mix)
    return tf.clip_by_value(1.5 * edges, 0.0, 1.0)


KINDS: tuple[Change, ...] = (noise, blur, fog, bars, lines, outline)
