"""Substitution of layers' calls while the training step is traced; the model itself is not modified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from trainer.errors import UsageError
from trainer.kernels.convolution import conv_block
from trainer.kernels.keras_private import is_called_twice

EACH_IMAGE = {
    *(layers.InputLayer, layers.Conv2D, layers.Dense, layers.MaxPooling2D, layers.AveragePooling2D, layers.Flatten),
    *(layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, layers.Activation, layers.ReLU, layers.LeakyReLU),
    *(layers.Reshape, layers.ZeroPadding2D, layers.Rescaling),
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum),
}
"""Deterministic layers that treat each image independently: a batch may be computed in parts."""

WHOLE_BATCH = {
    *(layers.BatchNormalization, layers.Dropout, layers.SpatialDropout2D, layers.GaussianNoise),
    *(layers.LayerNormalization, layers.Concatenate),
}
"""Layers that may combine images or are random: a batch is computed as a whole, unless `_is_separable` knows better."""

WIDEST = 128
"""Largest product of channels and filters that gains: 96 was faster, 2,048 slower, nothing in between was measured."""


@dataclass(frozen=True)
class Substitution:
    """Replacements for the calls of layers.

    Attributes:
        calls: The function that each layer computes instead of its own call.
        separable: True if a batch may be computed in parts.
        wide: Names of convolutions that are faster without substitution.
    """

    calls: Mapping[keras.layers.Layer, Callable[[tf.Tensor], tf.Tensor]]
    separable: bool
    wide: Sequence[str]


def substitution(model: keras.Model) -> Substitution:
    """Return replacements for the model's convolutions, each together with the pooling that follows it.

    All convolutions must be eligible, since XLA's own are slow on a CPU.

    Raises:
        UsageError: If a layer is not supported; the message names it.
    """
    _check(model)
    convolutions = [layer for layer in model.layers if type(layer) is layers.Conv2D]
    pools = {id(layer.input): layer for layer in model.layers if _is_plain_pool(layer)}
    read = Counter(id(tensor) for layer in model.layers for tensor in keras.tree.flatten(layer.input))
    read.update(id(tensor) for tensor in keras.tree.flatten(model.outputs))
    calls: dict[keras.layers.Layer, Callable[[tf.Tensor], tf.Tensor]] = {}
    for conv in convolutions:
        pool = pools.get(id(conv.output))
        if pool is not None and read[id(conv.output)] == 1 and _can_join(conv, pool):
            calls[conv] = tf.identity
            calls[pool] = _block(conv, pool=True)
        else:
            calls[conv] = _block(conv, pool=False)
    wide = [conv.name for conv in convolutions if conv.input.shape[-1] * conv.filters > WIDEST]
    return Substitution(calls, all(map(_is_separable, model.layers)), wide)


def _check(model: keras.Model) -> None:
    """Refuse a model with any operation that is not known to give the same result.

    Raises:
        UsageError: If there is one; the message names the first.
    """
    if not hasattr(model, "operations"):
        raise _refusal("it is not a functional model")
    for operation in model.operations:
        obstacle = _obstacle(operation)
        if obstacle:
            raise _refusal(f"layer {operation.name!r} ({type(operation).__name__}) {obstacle}")
    if not any(type(layer) is layers.Conv2D for layer in model.layers):
        raise _refusal("it has no convolution")


def _refusal(reason: str) -> UsageError:
    return UsageError(f"cannot use kernels 'blocks' for this model: {reason}; kernels 'keras' can train it")


def _obstacle(layer: Any) -> str:
    """Return the reason why an operation of a functional model is not supported; empty if it is."""
    if isinstance(layer, keras.Model):
        return "is a nested model"
    if type(layer) not in EACH_IMAGE | WHOLE_BATCH:
        return "is of an unsupported type"
    if is_called_twice(layer):
        return "is called more than once"
    return _convolution_obstacle(layer) if type(layer) is layers.Conv2D else ""


def _convolution_obstacle(conv: layers.Conv2D) -> str:
    """Return the reason why `conv_block` cannot replace a convolution; empty if it can."""
    checks = [
        (conv.data_format == "channels_last", "has its channels first"),
        (set(conv.strides) == {1}, f"has strides of {tuple(conv.strides)}"),
        (set(conv.dilation_rate) == {1}, f"has a dilation rate of {tuple(conv.dilation_rate)}"),
        (conv.groups == 1, f"has {conv.groups} groups"),
        (len(set(conv.kernel_size)) == 1, f"has a non-square kernel of {tuple(conv.kernel_size)}"),
        (_is_relu(conv) or _is_linear(conv), "has an activation that is neither relu nor linear"),
        (conv.compute_dtype == conv.variable_dtype == "float32", f"computes in {conv.compute_dtype}, not in float32"),
        (conv.activity_regularizer is None, "has an activity regulariser"),
        (not getattr(conv, "lora_enabled", False), "is adapted by LoRA"),
        (getattr(conv, "quantization_mode", None) is None, "is quantised"),
        (None not in conv.input.shape[1:], "takes images of any size"),
    ]
    return next((obstacle for fine, obstacle in checks if not fine), "")


def _is_relu(layer: keras.layers.Layer) -> bool:
    return layer.activation is keras.activations.relu


def _is_linear(layer: keras.layers.Layer) -> bool:
    return layer.activation is keras.activations.linear


def _is_plain_pool(layer: keras.layers.Layer) -> bool:
    """Return True if a layer is 2 x 2 max pooling and nothing else."""
    return (
        type(layer) is layers.MaxPooling2D
        and tuple(layer.pool_size) == tuple(layer.strides) == (2, 2)
        and layer.data_format == "channels_last"
        and layer.compute_dtype == "float32"
        and layer.activity_regularizer is None
    )


def _can_join(conv: layers.Conv2D, pool: layers.MaxPooling2D) -> bool:
    """Return True if the pooling can be merged with the convolution before it."""
    even = all(side % 2 == 0 for side in conv.output.shape[1:3])
    return conv.kernel_size[0] % 2 == 1 and (pool.padding == "valid" or even)


def _is_separable(layer: keras.layers.Layer) -> bool:
    """Return True if a layer treats each image independently and adds no penalty that depends on the batch."""
    activation = getattr(layer, "activation", None)
    known = activation is None or getattr(activation, "__module__", "").startswith("keras.")
    alone = type(layer) in EACH_IMAGE or (type(layer) is layers.Concatenate and layer.axis % len(layer.output.shape))
    return bool(alone) and known and layer.activity_regularizer is None


def _block(conv: layers.Conv2D, pool: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the call that replaces that of the pooling, or of the convolution if there is no pooling."""

    def call(inputs: tf.Tensor) -> tf.Tensor:
        kernel, bias = (None if v is None else tf.convert_to_tensor(v) for v in (conv.kernel, conv.bias))
        return conv_block(inputs, kernel, bias, padding=conv.padding, pool=pool, relu=_is_relu(conv))

    return call


@contextmanager
def substituted(calls: Mapping[keras.layers.Layer, Callable[..., tf.Tensor]]) -> Iterator[None]:
    """Replace the calls of layers by `calls` inside the context."""
    for layer, call in calls.items():
        object.__setattr__(layer, "call", call)  # bypasses Keras, which would track the attribute
    try:
        yield
    finally:
        for layer in calls:
            object.__delattr__(layer, "call")
