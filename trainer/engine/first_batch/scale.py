"""Looks at the scale of inputs: 0 to 1 where 0 to 255 is meant, the reverse, and models that scale once more."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from trainer.engine.first_batch.reach import Reached
from trainer.errors import DataError, UsageError

SHRUNK = 1 / 40
"""Ratio of standard deviations below which a model is taken to scale its inputs from 0 to 255.

`Rescaling` makes it 1/255 or 1/127.5, a `Normalization` of MNIST's pixels 1/79, of ImageNet's about 1/58.
"""

BRIGHT = 127
"""Values above which numbers are taken for pixels; 0 to 16 is an ordinary range."""

FEW = 16
"""Number of rows below which their largest value means nothing."""

CHANNELS = (1, 3, 4)

STANDARDIZING = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.UnitNormalization,
)
"""Layers for which the scale of their inputs does not matter."""


def check_scale(name: str, values: np.ndarray, reached: Sequence[Reached], verb: str = "train") -> None:
    """Refuse an input whose scale is not the one that the model expects.

    Args:
        name: Name of the input.
        values: What the model receives, numbers `[N, …]`.
        reached: What reaches the first layers with weights from this input; nothing if that is unknown.
        verb: What cannot be done, for messages.

    Raises:
        DataError: If the values are too small or too large.
        UsageError: If the model scales what has been scaled already.
    """
    low, high = float(values.min()), float(values.max())
    if 0 <= low < high < 16.5 / 255 and len(values) >= FEW:
        _check_dark(name, values, high, verb)
    if low >= 0 and high > BRIGHT and are_images(values):
        _check_bright(name, values, high, reached, verb)
    if -4 < low < high < 4:
        _check_twice(name, values, reached, verb)


def are_images(values: np.ndarray) -> bool:
    """Return True if values `[N, H, W, C]` have the shape of images."""
    return values.ndim == 4 and values.shape[-1] in CHANNELS


def _check_dark(name: str, values: np.ndarray, high: float, verb: str) -> None:
    """Refuse inputs from 0 to 1 or 0 to 16 in uint8, and images that were divided by 255 twice."""
    steps = values.astype(np.float64) * 255
    if np.allclose(steps, np.rint(steps), atol=1e-3):
        white = round(high * 255)
        scaled = f"{name}.astype('float32')" + (f" / {white}" if white > 1 else "")
        reason, fix = f"go up to {white}, not 255", f"uint8 means 0 to 255: pass {scaled}"
    elif high <= 1.01 / 255 and are_images(values):
        reason, fix = f"go up to {high:.2g}", "they were divided by 255 twice: divide once"
    else:
        return
    raise DataError(f"cannot {verb}: the values of {name} {reason}, so all inputs are almost 0; {fix}")


def _check_bright(name: str, images: np.ndarray, high: float, reached: Sequence[Reached], verb: str) -> None:
    """Refuse pixels from 0 to 255, or of more bits, that no layer of the model scales."""
    unscaled = [
        each.layer.name
        for each in reached
        if not isinstance(each.layer, STANDARDIZING) and float(each.values.max()) > BRIGHT
    ]
    whole = bool((images == np.rint(images)).all())
    if unscaled and (whole or 200 < high <= 255.5):
        white = next(2**bits - 1 for bits in range(8, 65) if high < 2**bits - 0.5)
        uint8 = ", or pass uint8" if white == 255 else ""
        raise DataError(
            f"cannot {verb}: the values of {name} go up to {high:g}, and no layer scales them before {unscaled[0]!r}; "
            f"divide by {white:,}{uint8}"
        )


def _check_twice(name: str, values: np.ndarray, reached: Sequence[Reached], verb: str) -> None:
    """Refuse a model that scales from 0 to 255 what is scaled already."""
    for each in reached:
        pooled = each.values[0].size * 16 < values[0].size  # averages of many values differ less than the values
        shrunk = _spread(each.values) < SHRUNK * _spread(values[: len(each.values)])
        if each.path and shrunk and not pooled:
            raise UsageError(
                f"cannot {verb}: {name} is scaled already, to at most {float(values.max()):.3g}, and the model scales "
                f"it once more ({', '.join(each.path)}); remove the Rescaling layer, or pass floats from 0 to 255"
            )


def _spread(values: np.ndarray) -> float:
    """Return the standard deviation over rows, averaged over all other axes, whose channels may have other means."""
    return float(values.reshape(len(values), -1).std(axis=0).mean())
