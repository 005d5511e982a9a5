"""The machine's peak: large float32 matrix products on all cores, with NumPy's library and with TensorFlow's."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from models.macs import multiply_accumulates

from ..nets import registered
from ..worker import Job, Turns

SIZE, QUICK = 2048, 256


def run(job: Job, turns: Turns) -> None:
    """Write the initial weights of all contenders to the job's file; then measure products, turn by turn."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = registered(dataclasses.replace(job, weights=""))
    np.savez(job.weights, **{f"{i:03d}": weight for i, weight in enumerate(model.get_weights())})
    turns.ready(params=model.count_params(), multiplications=multiply_accumulates(model))
    size = QUICK if job.extra["quick"] else SIZE
    left, right = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    a, b = tf.constant(left), tf.constant(right)
    rates: dict[str, float] = {}
    while True:
        turns.wait(**rates)
        rates = {
            "numpy": _rate(lambda: left @ right, size),
            "tensorflow": _rate(lambda: tf.matmul(a, b).numpy(), size),
        }


def _rate(multiply: Callable[[], Any], size: int) -> float:
    """Return the best of several rates in floating-point operations per second."""
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best
