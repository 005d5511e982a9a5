"""The cost of a forward pass in multiply-accumulates (MACs), read off the graph that TensorFlow runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def multiply_accumulates(model: keras.Model) -> int:
    """Return the multiply-accumulates of a forward pass for one image, in convolutions and matrix products.

    They are counted in the traced graph, so that attention, custom layers and a layer used three times count in full.
    Element-wise operations (activations, normalisation, pooling, biases) are left out, as is customary.

    Args:
        model: A built model with one input of known size.
    """
    import tensorflow as tf

    image = tf.TensorSpec((1, *model.input_shape[1:]), model.inputs[0].dtype)
    forward = tf.function(lambda images: model(images, training=False), autograph=False)
    operations = forward.get_concrete_function(image).graph.get_operations()
    return sum(PRODUCTS[operation.type](operation) for operation in operations if operation.type in PRODUCTS)


def _convolution(operation: Any) -> int:
    """Count one product per output and kernel weight of its channel: height, width and input channels."""
    *window, _ = operation.inputs[1].shape
    return operation.outputs[0].shape.num_elements() * math.prod(window)


def _depthwise(operation: Any) -> int:
    """Count one product per output and weight of a single-channel kernel."""
    height, width, *_ = operation.inputs[1].shape
    return operation.outputs[0].shape.num_elements() * height * width


def _product(transposed: str) -> Callable[[Any], int]:
    """Count one product per output and entry of the inner axis: the left matrix's last axis, or the one before it."""

    def count(operation: Any) -> int:
        inner = operation.inputs[0].shape[-2 if operation.get_attr(transposed) else -1]
        return operation.outputs[0].shape.num_elements() * inner

    return count


def _einsum(operation: Any) -> int:
    """Count one product per combination of the axes named left of the arrow."""
    terms = operation.get_attr("equation").decode().split("->")[0].split(",")
    axes = {
        axis: size
        for term, tensor in zip(terms, operation.inputs, strict=True)
        for axis, size in zip(term, tensor.shape, strict=True)
    }
    return math.prod(axes.values())


PRODUCTS: dict[str, Callable[[Any], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product("transpose_a"),
    "BatchMatMulV2": _product("adj_x"),
    "Einsum": _einsum,
}
"""Counting function of each operation, by TensorFlow's name."""
