"""Batch normalisation as TensorFlow's fused operation instead of Keras's separate ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from trainer.kernels.keras_private import all_layers

LEAST_EPSILON = 1.001e-5
"""Smallest epsilon that the fused operation accepts."""


def fused_normalisations(models: Iterable[keras.Model]) -> Mapping[keras.layers.Layer, Callable[..., Any]]:
    """Return faster replacements for the models' batch-normalisation layers in training, equal up to rounding.

    Keras computes the mean, the variance and the rest separately, each in its own pass over memory; the fused operation
    (`FusedBatchNormV3`) needs one pass forward and one backward. Layers that it cannot replace are omitted.
    """
    return {layer: _fused(layer) for model in models for layer in all_layers(model) if _can_be_fused(layer)}


def _can_be_fused(layer: Any) -> bool:
    return (
        type(layer) is layers.BatchNormalization
        and layer.built
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and layer.scale
        and layer.center
        and not layer.renorm
        and not layer.synchronized
        and layer.epsilon >= LEAST_EPSILON
        and layer.compute_dtype == layer.variable_dtype == "float32"
    )


def _fused(layer: layers.BatchNormalization) -> Callable[..., Any]:
    """Return the call that replaces the layer's own."""

    def call(inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        if not training or not layer.trainable or mask is not None:
            return layers.BatchNormalization.call(layer, inputs, training=training, mask=mask)
        gamma, beta = (tf.convert_to_tensor(variable) for variable in (layer.gamma, layer.beta))
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=gamma, offset=beta, mean=[], variance=[], epsilon=layer.epsilon, is_training=True
        )
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        variance *= (count - 1) / count  # the operation returns the unbiased variance, Keras keeps the biased one
        for kept, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            kept.assign(kept * layer.momentum + new * (1.0 - layer.momentum))
        return outputs

    return call
