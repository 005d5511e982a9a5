"""Batch-normalisation statistics measured over unaugmented images instead of averaged during training.

The moving averages of training come from augmented batches and from earlier weights, neither of which occur in
evaluation. Measured statistics match the current weights and the evaluated images ("precise batch normalisation":
Wu and Johnson 2021, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3). Training does not use them, so it
is unaffected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from trainer.data.pipeline import EvaluationRows
from trainer.kernels.keras_private import all_layers
from trainer.kernels.substitution import substituted

Found = dict[keras.layers.Layer, list[tuple[tf.Tensor, tf.Tensor]]]
"""Mean and variance of each layer's inputs, one pair per call, each float32 `[C]`."""


def measured_layers(model: keras.Model) -> list[layers.BatchNormalization]:
    """Return the batch-normalisation layers of a model whose statistics change in training."""
    found = (layer for layer in all_layers(model) if isinstance(layer, layers.BatchNormalization))
    return [layer for layer in found if layer.trainable]


class BatchStatistics:
    """Statistics of a model's batch-normalisation layers over given images.

    Args:
        model: A built model.
        images: Images as in evaluation: scaled, not augmented.
    """

    def __init__(self, model: keras.Model, images: EvaluationRows) -> None:
        self.layers = measured_layers(model)
        self.model, self.images = model, images
        self._next = tf.function(self._of_next, autograph=False)

    def measure(self) -> None:
        """Set each layer's moving mean and variance to those of its inputs over all images.

        Each batch is normalised with its own statistics, as in training; everything else runs as in evaluation.
        """
        batches = iter(self.images.batches())
        found = [self._next(batches) for _ in range(self.images.steps)]
        sizes = np.array([float(size) for size, _ in found])
        for number, layer in enumerate(self.layers):
            means, variances = (np.array([of[number][k] for _, of in found], np.float64) for k in (0, 1))
            mean = np.average(means, 0, sizes)
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(np.average(variances + (means - mean) ** 2, 0, sizes))

    def _of_next(self, batches: Any) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]]]:
        """Return the number of images in the next batch, and the mean and variance of each layer's inputs."""
        inputs = batches.get_next()[0]
        found: Found = {layer: [] for layer in self.layers}
        with substituted(_by_itself(found)):
            self.model(inputs, training=False)
        return tf.shape(tf.nest.flatten(inputs)[0])[0], [_together(found[layer]) for layer in self.layers]


def _by_itself(found: Found) -> Mapping[keras.layers.Layer, Callable[..., Any]]:
    """Return calls that normalise a batch with its own statistics and add these to `found`."""
    return {layer: partial(_normalised, layer, calls) for layer, calls in found.items()}


def _normalised(
    layer: layers.BatchNormalization,
    calls: list[tuple[tf.Tensor, tf.Tensor]],
    inputs: tf.Tensor,
    training: bool | None = None,
    mask: Any = None,
) -> tf.Tensor:
    inputs, axis = ops.cast(inputs, "float32"), layer.axis % len(inputs.shape)
    mean, variance = ops.moments(inputs, axes=[k for k in range(len(inputs.shape)) if k != axis])
    calls.append((mean, variance))
    normal = ops.batch_normalization(inputs, mean, variance, axis, layer.beta, layer.gamma, layer.epsilon)
    return ops.cast(normal, layer.compute_dtype)


def _together(calls: list[tuple[tf.Tensor, tf.Tensor]]) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the mean and variance over all calls of a layer, which a model may call more than once."""
    means, variances = (tf.stack(each) for each in zip(*calls, strict=True))
    mean = tf.reduce_mean(means, 0)
    return mean, tf.reduce_mean(variances + (means - mean) ** 2, 0)
