"""The check that images are large enough for a model's layers."""

from __future__ import annotations


def check_size(input_shape: tuple[int, int, int], least: int) -> None:
    """Refuse images whose height or width is below `least` pixels.

    Args:
        input_shape: Height, width and channels.
        least: The smallest side at which every layer still has an input.

    Raises:
        ValueError: If they are too small; the message gives both sizes.
    """
    height, width, _ = input_shape
    if min(height, width) < least:
        raise ValueError(f"images of {height} x {width} pixels are too small; use at least {least} x {least}")
