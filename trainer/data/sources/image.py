"""Untrusted image files: decoded within limits, or refused with a reason."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainer.bounds.regular import read_bounded
from trainer.data.sources.depth import white_of
from trainer.data.sources.essence import essence
from trainer.errors import DataError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
"""Supported formats; Pillow knows many more, each of which would widen the attack surface for forged files."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
MAX_BYTES = 10_000_000
MAX_PIXELS = 25_000_000

GRAY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N")
TURNS = {
    **{2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM},
    **{5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE},
    **{8: Image.Transpose.ROTATE_90},
}
"""The transposition that turns an image upright, by its EXIF orientation."""
CHANGING_FILTERS = threading.Lock()  # warning filters are global, but several threads open images


@dataclass(frozen=True)
class Header:
    """The metadata of an image file, read without decoding the image.

    Attributes:
        height: Number of rows, after applying the EXIF orientation.
        width: Number of columns, after applying the EXIF orientation.
        gray: True if the file stores no colour; a colour image whose pixels happen to be gray does not count.
        deep: True if the file stores gray in 16 bits.
    """

    height: int
    width: int
    gray: bool
    deep: bool


Encoded = Path | bytes
"""An image file, or the content of one."""


def read_header(source: Encoded, name: str | None = None) -> Header:
    """Read the size and colour mode of an image without decoding it.

    Args:
        source: The image, as in `read_image`.
        name: Name of the image in errors; default: its path.

    Raises:
        DataError: If the image cannot be opened, is too large, or is none of `FORMATS`; names image and reason.
    """
    with _opened(source, name or _name(source)) as (image, orientation):
        height, width = image.height, image.width
        if orientation >= 5:
            height, width = width, height
        return Header(height, width, image.mode in GRAY_MODES, _is_deep(image))


def read_image(
    source: Encoded, channels: int, name: str | None = None, ground: str = "white", white: int | None = None
) -> np.ndarray:
    """Decode an image (the first frame of an animation) and turn it upright according to its EXIF orientation.

    Transparent pixels take the colour of the background, 16-bit gray is scaled to 8 bits, and colour is converted to
    gray if one channel is requested.

    Args:
        source: A PNG, JPEG, BMP, GIF or WebP of at most 10 MB and 25 million pixels.
        channels: 1 for gray or 3 for RGB.
        name: Name of the image in errors; default: its path.
        ground: Background of transparent pixels, `white` or `black`.
        white: White in 16-bit gray, such as 1,023 if only 10 bits are used; default: that of the smallest usual depth
            that holds the image's values.

    Returns:
        uint8 `[H, W, channels]`.

    Raises:
        DataError: If the image cannot be decoded or is too large; names image and reason.
    """
    with _opened(source, name or _name(source)) as (image, orientation):
        image.load()  # raises for truncated files, which verify() does not detect
        upright = image.transpose(TURNS[orientation]) if orientation in TURNS else image
        if _is_deep(upright):
            gray = _scaled(upright, ground, white)
            return np.repeat(gray[..., np.newaxis], channels, axis=2)
        flat = _on_ground(upright, ground).convert("L" if channels == 1 else "RGB")
        return np.array(flat, np.uint8).reshape(flat.height, flat.width, channels)


def _name(source: Encoded) -> str:
    return str(source) if isinstance(source, Path) else "image"


def largest_value(path: Path) -> int:
    """Return the largest value of an image in 16-bit gray, from 0 to 65,535; 0 if it cannot be decoded."""
    try:
        with _opened(path, str(path)) as (image, _):
            return int(_deep_values(image)[0].max())
    except DataError:
        return 0


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I;16")


def _deep_values(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return 16-bit gray as uint32 `[H, W]`, 0 where it is transparent, and True there."""
    values = np.asarray(image).astype(np.uint32)
    transparent = values == image.info.get("transparency", -1)
    return np.where(transparent, 0, values), transparent


def _scaled(image: Image.Image, ground: str, white: int | None) -> np.ndarray:
    """Return 16-bit gray as uint8 `[H, W]`; Pillow would clip it."""
    values, transparent = _deep_values(image)
    white = white or white_of(int(values.max()))
    values = np.where(transparent, white if ground == "white" else 0, values)
    return ((np.minimum(values, white) * 255 + white // 2) // white).astype(np.uint8)


def _on_ground(image: Image.Image, ground: str) -> Image.Image:
    """Return the image on an opaque background; plain conversion would turn transparent pixels black."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, ground), rgba)


@contextmanager
def _opened(source: Encoded, name: str) -> Iterator[tuple[Image.Image, int]]:
    """Open an image within limits, with its EXIF orientation; any error of the decoder becomes a `DataError`."""
    try:
        content, orientation = essence(_content(source))
        with CHANGING_FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            opened = Image.open(io.BytesIO(content), formats=FORMATS)
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width}x{image.height}, more than {MAX_PIXELS // 1_000_000} million pixels")
            yield image, orientation
    except UnidentifiedImageError as error:
        raise DataError(f"{name}: not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image") from error
    except Exception as error:  # decoders raise arbitrary exceptions for forged files
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise DataError(f"{name}: {str(reason).splitlines()[0]}") from error


def _content(source: Encoded) -> bytes:
    """Return the content of an image file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is too large, or not a regular file.
    """
    if (size := len(source) if isinstance(source, bytes) else source.stat().st_size) > MAX_BYTES:
        raise ValueError(f"{size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f} MB")
    return source if isinstance(source, bytes) else read_bounded(source, MAX_BYTES)
