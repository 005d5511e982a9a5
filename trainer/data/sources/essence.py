"""Reduction of an image file to its first frame, without texts, profiles, previews and animations.

These can make a decoder slow: a file of 10 MB can contain 800,000 chunks of text, or a thousand layers of the same
pixels, and decoders process each of them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

MAX_PARTS = 20_000
"""Chunks, segments or blocks of a file; a PNG of 10 MB has about 1,200."""
MAX_SCANS = 100
"""Scans of a progressive JPEG, which has about 10; decoding each takes as long as an ordinary JPEG."""

UPRIGHT = 1
"""The EXIF orientation of an image that is not rotated; 5 to 8 swap width and height."""


def essence(content: bytes) -> tuple[bytes, int]:
    """Return an image file reduced to its first frame, and its EXIF orientation, 1 to 8.

    Args:
        content: A PNG, JPEG, GIF or WebP, possibly truncated; any other content is returned unchanged.

    Raises:
        ValueError: If the file has more than `MAX_PARTS` parts, or a JPEG more than `MAX_SCANS` scans.
    """
    for start, parts in ((b"\x89PNG", _png), (b"\xff\xd8", _jpeg), (b"GIF8", _gif), (b"RIFF", _webp)):
        if content.startswith(start):
            kept, exif = [], b""
            for number, (part, is_exif) in enumerate(parts(content)):
                if number == MAX_PARTS:
                    raise ValueError(f"more than {MAX_PARTS:,} parts, such as chunks of text; save it again")
                if not is_exif:
                    kept.append(part)
                elif not exif:
                    exif = part
            whole = b"".join(kept)
            return (_sized(whole) if start == b"RIFF" else whole), orientation(exif)
    return content, UPRIGHT


Parts = Iterator[tuple[bytes, bool]]
"""Parts of a file in order, each with True for an EXIF block; a part that is dropped is empty."""

DROPPED = (b"", False)


def _png(content: bytes) -> Parts:
    yield content[:8], False
    at = 8
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            yield content[at:end], False
        else:
            yield (content[at + 8 : end - 4], True) if kind == b"eXIf" else DROPPED
        at = len(content) if kind == b"IEND" else end


_NEXT_MARKER = re.compile(rb"\xff[^\xff\x00\xd0-\xd7]")


def _jpeg(content: bytes) -> Parts:
    at, scans = 0, 0
    while found := _NEXT_MARKER.search(content, at):
        yield content[at : found.start()], False  # the pixel data after the header of a scan
        marker, start = content[found.end() - 1], found.end()
        if marker in (0x01, 0xD8, 0xD9):  # these have no length
            yield content[found.start() : start], False
            at = len(content) if marker == 0xD9 else start
            continue
        at = start + int.from_bytes(content[start : start + 2], "big")
        if marker == 0xDA and (scans := scans + 1) > MAX_SCANS:
            raise ValueError(f"more than {MAX_SCANS} scans; save it again")
        if marker == 0xE1 and content.startswith(b"Exif\0\0", start + 2):
            yield content[start + 8 : at], True
        elif marker == 0xFE or (0xE1 <= marker <= 0xEF and marker != 0xEE):  # 0xEE states the colour space
            yield DROPPED
        else:
            yield content[found.start() : at], False
    yield content[at:], False


def _gif(content: bytes) -> Parts:
    at = 13 + _palette(content[10:11])
    yield content[:at], False
    while content[at : at + 1] == b"\x21":
        end = _blocks(content, at + 2)
        yield (content[at:end], False) if content[at + 1 : at + 2] == b"\xf9" else DROPPED
        at = end
    end = _blocks(content, at + 11 + _palette(content[at + 9 : at + 10]))
    yield content[at:end] + b";", False


def _palette(flags: bytes) -> int:
    """Return the length of a GIF's colour table according to its flags."""
    return 3 << (flags[0] % 8 + 1) if flags and flags[0] & 0x80 else 0


def _blocks(content: bytes, at: int) -> int:
    """Return the end of a GIF's data blocks that start at `at`."""
    while at < len(content) and content[at]:
        at += 1 + content[at]
    return at + 1


def _webp(content: bytes) -> Parts:
    yield content[:12], False
    at = 12
    while at + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, at)
        end = at + 8 + length + length % 2
        if kind == b"EXIF":
            yield content[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"), True
        elif kind == b"VP8X" and end <= len(content):  # its flags announce the dropped parts
            yield content[at : at + 8] + bytes([content[at + 8] & ~0x2C & 0xFF]) + content[at + 9 : end], False
        else:
            yield DROPPED if kind in (b"XMP ", b"ICCP") else (content[at:end], False)
        at = end


def _sized(webp: bytes) -> bytes:
    """Return a WebP with the correct length in its header."""
    return webp[:4] + struct.pack("<I", max(0, len(webp) - 8)) + webp[8:]


def orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block, 1 to 8; 1 if it is missing."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for place in range(at + 2, at + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, place)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass
    return UPRIGHT
