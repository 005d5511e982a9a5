"""Judges whether ink is a digit, with a small separate network: digit classifiers are confident about letters too.

It was trained on digits, MNIST's training images and drawn ones, against letters, scribbles, blots, pairs and pieces of
digits, and the remains of touching digits cut in the wrong place; `scripts/make_digitness.py` regenerates its weights.
It runs in NumPy, so that it works with every export.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

WEIGHTS = Path(__file__).with_name("digitness.npz")
SIDE = 28


def digitness(seen: np.ndarray) -> np.ndarray:
    """Return the probability that each image is one digit, float32 `[N]`.

    Args:
        seen: uint8 `[N, S, S, 1]`, framed.
    """
    weights = _weights()
    if seen.shape[1] != SIDE:
        images = [Image.fromarray(image[..., 0]).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in seen]
        seen = np.stack([np.asarray(image) for image in images])[..., np.newaxis]
    x = seen.astype(np.float32) / 255
    x = _convolved(x, weights["kernel1"], weights["bias1"])
    x = _convolved(x, weights["kernel2"], weights["bias2"])
    x = np.maximum(x.reshape(len(x), -1) @ weights["kernel3"] + weights["bias3"], 0)
    logit = (x @ weights["kernel4"] + weights["bias4"])[:, 0]
    return 1 / (1 + np.exp(-np.clip(logit, -30, 30)))


def _convolved(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return a convolution with stride 2 and no padding, followed by ReLU."""
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))[:, ::2, ::2]
    return np.maximum(np.einsum("nhwcij,ijco->nhwo", windows, kernel, optimize=True) + bias, 0)


@cache
def _weights() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays.files}
