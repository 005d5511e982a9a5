"""Random changes of the shape of images: where their ink lies."""

from __future__ import annotations

from math import pi

import tensorflow as tf

from trainer.data.strength import Strength


def affine(images: tf.Tensor, seed: tf.Tensor, strength: Strength) -> tf.Tensor:
    """Rotate, scale, shear and shift about the centre with one matrix and one bilinear sampling an image."""
    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    limits = tf.constant(
        [strength.rotation * pi / 180, strength.zoom, strength.shear, strength.shift, strength.shift],
        tf.float32,
    )
    draws = tf.random.stateless_uniform([batch, 5], seed, -1.0, 1.0) * limits
    angle, zoom, shear, right, down = tf.unstack(draws, axis=1)
    cos, sin, scale = tf.cos(angle), tf.sin(angle), 1.0 / (1.0 + zoom)
    a, b = scale * cos, scale * (shear * cos - sin)
    c, d = scale * sin, scale * (shear * sin + cos)
    x0, y0 = tf.cast(width - 1, tf.float32) / 2, tf.cast(height - 1, tf.float32) / 2
    dx, dy = right * tf.cast(width, tf.float32), down * tf.cast(height, tf.float32)
    zero = tf.zeros_like(a)
    transforms = tf.stack(
        [a, b, x0 - a * (x0 + dx) - b * (y0 + dy), c, d, y0 - c * (x0 + dx) - d * (y0 + dy), zero, zero],
        axis=1,
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def elastic(images: tf.Tensor, seed: tf.Tensor, sigma: float) -> tf.Tensor:
    """Move every pixel by a smooth random field (after Simard et al. 2003, section 3; coarse grid, not a blur)."""
    batch, height, width = tf.shape(images)[0], tf.shape(images)[1], tf.shape(images)[2]
    coarse = tf.random.stateless_normal([batch, 5, 5, 2], seed, 0.0, sigma / 28)
    field = tf.image.resize(coarse, [height, width], method="bicubic")
    rows = tf.range(height, dtype=tf.float32)[None, :, None] + field[..., 0] * tf.cast(height, tf.float32)
    columns = tf.range(width, dtype=tf.float32)[None, None, :] + field[..., 1] * tf.cast(width, tf.float32)
    return _sample(images, rows, columns)


def _sample(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Return bilinear samples of `images` at float32 `[B, H, W]` coordinates; outside, the border is repeated."""
    batch, height, width, channels = tf.unstack(tf.shape(images))
    rows = tf.clip_by_value(rows, 0.0, tf.cast(height - 1, tf.float32))
    columns = tf.clip_by_value(columns, 0.0, tf.cast(width - 1, tf.float32))
    top, left = tf.floor(rows), tf.floor(columns)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    i, j = tf.cast(top, tf.int32), tf.cast(left, tf.int32)
    below, beside = tf.minimum(i + 1, height - 1), tf.minimum(j + 1, width - 1)
    flat = tf.reshape(images, [batch, height * width, channels])

    def pick(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        index = tf.reshape(row * width + column, [batch, height * width])
        return tf.reshape(tf.gather(flat, index, batch_dims=1), [batch, height, width, channels])

    upper = pick(i, j) * (1 - right) + pick(i, beside) * right
    lower = pick(below, j) * (1 - right) + pick(below, beside) * right
    return upper * (1 - down) + lower * down


def thicken(images: tf.Tensor, seed: tf.Tensor, limit: float) -> tf.Tensor:
    """Move every image a part of the way to its dilation or its erosion by 3 x 3: thicker or thinner strokes."""
    amount = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed, -limit, limit)
    thicker = tf.nn.max_pool2d(images, 3, 1, "SAME") - images
    thinner = images + tf.nn.max_pool2d(-images, 3, 1, "SAME")
    return images + tf.where(amount > 0, amount * thicker, amount * thinner)
