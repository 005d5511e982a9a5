"""Adam's update of a variable as one TensorFlow operation instead of Keras's many small ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from trainer.kernels.keras_private import adam_moments


@contextmanager
def fused_adam(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Trace each Adam or AdamW update as one operation (`ResourceApplyAdam`) inside the context.

    The formula is the same (Kingma and Ba 2014, arXiv 1412.6980, end of section 2), so results agree up to rounding.
    Keras's many small operations slow down narrow networks. Keras still handles weight decay, weight averages and
    everything else, as well as sparse gradients and optimizers that the operation cannot replace.

    Args:
        optimizer: A built optimizer with float32 variables; restored on exit.
    """
    if not _can_be_fused(optimizer):
        yield
        return
    stepwise, step = optimizer.update_step, tf.cast(optimizer.iterations + 1, tf.float32)
    powers = [tf.pow(tf.constant(beta, tf.float32), step) for beta in (optimizer.beta_1, optimizer.beta_2)]

    def update_step(gradient: Any, variable: Any, learning_rate: tf.Tensor) -> None:
        if isinstance(gradient, tf.IndexedSlices) or variable.dtype != tf.float32:
            return stepwise(gradient, variable, learning_rate)
        first, second = adam_moments(optimizer, variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.value.handle,
            v=second.value.handle,
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.cast(learning_rate, tf.float32),
            beta1=optimizer.beta_1,
            beta2=optimizer.beta_2,
            epsilon=optimizer.epsilon,
            grad=gradient,
        )

    object.__setattr__(optimizer, "update_step", update_step)  # bypasses Keras, which would track the attribute
    try:
        yield
    finally:
        object.__delattr__(optimizer, "update_step")


def _can_be_fused(optimizer: keras.optimizers.Optimizer) -> bool:
    return (
        type(optimizer) in (keras.optimizers.Adam, keras.optimizers.AdamW)
        and not optimizer.amsgrad
        and not optimizer.gradient_accumulation_steps  # the update would be traced in a separate branch
    )
