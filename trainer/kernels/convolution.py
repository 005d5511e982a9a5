"""Convolution, ReLU and 2 x 2 max pooling as one matrix product over blocks of output pixels, for XLA on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def conv_block(
    images: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor | None, *, padding: str, pool: bool, relu: bool
) -> tf.Tensor:
    """Return the result of Conv2D (stride 1), ReLU and MaxPooling2D(2, "valid"), up to rounding.

    A block of f x f output pixels (f is 2 with pooling, else 1) is one column of the product: its patch of
    (k + f - 1)² pixels times f² shifted copies of the layer's kernel. The maximum is taken over the copies, before
    bias and ReLU, which preserve order; its gradient flows to the first maximum, as in TensorFlow.

    Args:
        images: Floats `[N, H, W, C]`; only N may be unknown.
        kernel: `[k, k, C, O]` as in Keras; k is odd with pooling.
        bias: `[O]`, or None.
        padding: `same` or `valid`.
        pool: True to apply 2 x 2 max pooling; the last row or column of an odd size is dropped.
        relu: True to apply ReLU after the convolution.

    Returns:
        `[N, h, w, O]`, of the same dtype as the images.
    """
    block = _Block(images.shape[1:], kernel.shape, padding, f=2 if pool else 1)
    filters = kernel.shape[-1]

    @tf.custom_gradient
    def run(images: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        patches, matrix = block.patches(images), block.spread(kernel)
        copies = tf.reshape(tf.matmul(matrix, patches, transpose_a=True), (block.f**2, filters, *block.blocks, -1))
        top = tf.reduce_max(copies, 0)
        result = top + bias[:, None, None, None]
        result = tf.nn.relu(result) if relu else result

        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            inner = tf.transpose(upstream, (3, 1, 2, 0))
            inner = tf.where(result > 0, inner, tf.zeros_like(inner)) if relu else inner
            per_copy = _to_first_largest(inner, copies, top) if pool else inner
            per_copy = tf.reshape(per_copy, (block.f**2 * filters, -1))
            of_kernel = block.gather(tf.matmul(patches, per_copy, transpose_b=True))
            return block.overlap(tf.matmul(matrix, per_copy)), of_kernel, tf.reduce_sum(inner, (1, 2, 3))

        return tf.transpose(result, (3, 1, 2, 0)), gradients

    return run(images, kernel, tf.zeros([filters], images.dtype) if bias is None else bias)


def _to_first_largest(gradient: tf.Tensor, copies: tf.Tensor, top: tf.Tensor) -> tf.Tensor:
    """Return the gradient `[O, h, w, N]` of the maximum at the first copy that attains it and 0 elsewhere, `[4, …]`."""
    first = tf.where(copies[0] >= top, 0, tf.where(copies[1] >= top, 1, tf.where(copies[2] >= top, 2, 3)))
    here = first[None] == tf.reshape(tf.range(4), (4, 1, 1, 1, 1))
    return tf.where(here, gradient[None], tf.zeros_like(gradient)[None])


class _Block:
    """The shapes of a block, and the maps between images, kernels and the factors of the product.

    Tensors are batch-minor internally, `[C, H, W, N]`, so every slice copies whole rows of the batch. Transposes at
    the boundary between neighbouring blocks cancel.
    """

    def __init__(self, image: tuple[int, ...], kernel: tuple[int, ...], padding: str, f: int) -> None:
        (height, width, self.channels), (self.size, _, _, self.filters), self.f = image, kernel, f
        self.pad = ((self.size - 1) // 2, self.size // 2) if padding == "same" else (0, 0)
        self.image, self.span = (height, width), self.size + f - 1
        padded = [side + sum(self.pad) for side in self.image]
        self.blocks = [(side - self.size + 1) // f for side in padded]
        self.read = [f * count + self.size - 1 for count in self.blocks]
        self.unread = [side - read for side, read in zip(padded, self.read, strict=True)]
        self.places = [(i, j) for i in range(f) for j in range(f)]

    def patches(self, images: tf.Tensor) -> tf.Tensor:
        """Return the patches of all blocks as columns, `[span² C, h w N]`."""
        (rows, columns), (height, width), f = self.blocks, self.read, self.f
        z = tf.pad(tf.transpose(images, (3, 1, 2, 0)), ((0, 0), self.pad, self.pad, (0, 0)))[:, :height, :width]
        # Strided slices are taken as slices of a reshaped tensor, which XLA copies row by row.
        z = tf.reshape(z, (self.channels, height // f, f, width // f, f, -1))
        slices = [
            z[:, i // f : i // f + rows, i % f, j // f : j // f + columns, j % f]
            for i in range(self.span)
            for j in range(self.span)
        ]
        return tf.reshape(tf.concat(slices, 0), (self.span**2 * self.channels, -1))

    def spread(self, kernel: tf.Tensor) -> tf.Tensor:
        """Return the kernel's shifted copies side by side, `[span² C, f² O]`."""
        last = self.f - 1
        copies = [tf.pad(kernel, ((i, last - i), (j, last - j), (0, 0), (0, 0))) for i, j in self.places]
        return tf.reshape(tf.stack(copies, -2), (self.span**2 * self.channels, self.f**2 * self.filters))

    def gather(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return the gradient of the kernel from that of its copies (the transpose of `spread`)."""
        copies = tf.reshape(gradient, (self.span, self.span, self.channels, self.f**2, self.filters))
        size = self.size
        return tf.add_n([copies[i : i + size, j : j + size, :, p] for p, (i, j) in enumerate(self.places)])

    def overlap(self, patches: tf.Tensor) -> tf.Tensor:
        """Return the gradient of the images from that of their patches (the transpose of `patches`)."""
        f, channels, q = self.f, self.channels, self.span // self.f
        z = tf.reshape(patches, (q, f, q, f, channels, *self.blocks, -1))
        z = tf.transpose(z, (0, 2, 1, 3, 4, 5, 6, 7))  # major axes only: tf.stack would compile to scalar code
        shifts = [(i, j) for i in range(q) for j in range(q)]
        whole = ((0, 0), (0, 0), (0, 0))
        z = tf.add_n([tf.pad(z[i, j], (*whole, (i, q - 1 - i), (j, q - 1 - j), (0, 0))) for i, j in shifts])
        z = tf.reshape(tf.transpose(z, (2, 3, 0, 4, 1, 5)), (channels, *self.read, -1))
        z = tf.pad(z, ((0, 0), (0, self.unread[0]), (0, self.unread[1]), (0, 0)))
        (height, width), before = self.image, self.pad[0]
        return tf.transpose(z[:, before : before + height, before : before + width], (3, 1, 2, 0))
