"""What a builder says of images that its layers would leave nothing of."""

from __future__ import annotations


def check_size(input_shape: tuple[int, int, int], least: int) -> None:
    """Refuse images whose height or width is below `least` pixels.

    Args:
        input_shape: Height, width and channels.
        least: The smallest side of which every layer still has something to see.

    Raises:
        ValueError: With both sizes.
    """
    height, width, _ = input_shape
    if min(height, width) < least:
        raise ValueError(f"images of {height} x {width} pixels are too small, it needs at least {least} x {least}")
