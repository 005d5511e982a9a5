"""Turns command-line arguments into pictures, and readings into lines of output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.recognizer.reading import Line, Reading
from trainer.console.sheet import csv_line
from trainer.data.sources.image import MAX_BYTES, SUFFIXES
from trainer.errors import DataError
from trainer.files import to_json_line
from trainer.text import printable

STDIN = Path("-")


def expanded(path: Path) -> list[Path]:
    """Return a file, or the images in a folder sorted by name.

    Raises:
        DataError: If a folder contains no image or cannot be read.
    """
    return _images_in(path) if path.is_dir() else [path]


def _images_in(folder: Path) -> list[Path]:
    try:
        # Folders are skipped, whatever their names: a link to its own folder would never end.
        images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.is_dir())
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}") from error
    if not images:
        raise DataError(f"cannot find an image in {folder}; supported: {', '.join(SUFFIXES)}")
    return images


def content(path: Path) -> Path | bytes:
    """Return a path unchanged, or the content of standard input for `-`, up to the size limit of an image.

    Raises:
        DataError: If standard input is closed.
    """
    if path != STDIN:
        return path
    if sys.stdin is None:
        raise DataError("cannot read standard input: it is closed; pipe a picture into it, or name a file")
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def named(label: str | None) -> int | str | None:
    """Return the name of a class, as an integer if it is a number of at most 15 digits."""
    is_number = label is not None and label.isascii() and label.isdecimal() and len(label) <= 15
    return int(label) if label is not None and is_number else label


def header(style: str, many: bool, class_names: Sequence[str]) -> str | None:
    """Return the header of an output format, if it has one."""
    if style != "csv":
        return None
    if many:
        return "file,line,number,probability,left,top,right,bottom"
    return csv_line(["file", "digit", "probability", "reason", *(f"p_{name}" for name in class_names)])


def one_line(style: str, file: str, reading: Reading) -> str:
    """Return the line for a picture of one digit, in the format `table`, `jsonl` or `csv`."""
    if style == "jsonl":
        record = {
            "file": file,
            "digit": named(reading.label),
            "probability": round(reading.probability, 6),
            "probabilities": _rounded(reading),
            "reason": reading.reason,
        }
        return to_json_line(record)
    if style == "csv":
        digit = "" if reading.label is None else reading.label
        return csv_line([file, digit, f"{reading.probability:.6f}", reading.reason or "", *_rounded(reading)])
    if reading.label is None:
        return f"{printable(file)}  -  {printable(reading.reason)}"
    return f"{printable(file)}  {printable(reading.label)}  {100 * reading.probability:.1f} %"


def many_lines(style: str, file: str, lines: Sequence[Line]) -> str:
    """Return the lines for a picture of numbers, in the format `table`, `jsonl` or `csv`."""
    if style == "jsonl":
        record = {"file": file, "numbers": [line.text for line in lines], "lines": [_record(line) for line in lines]}
        return to_json_line(record)
    if style == "csv":
        return "\n".join(
            csv_line([file, k, line.text, f"{_least(line):.6f}", *line.box]) for k, line in enumerate(lines, 1)
        )
    shown = printable(file)
    rows = [f"{shown}  {line.text}  {100 * _least(line):.1f} %  at {line.box[0]},{line.box[1]}" for line in lines]
    return "\n".join(rows) or f"{shown}  -  no digits"


def _least(line: Line) -> float:
    """Return the probability of the least certain digit of a line."""
    return min(digit.reading.probability for digit in line.digits)


def _record(line: Line) -> dict[str, Any]:
    digits = [
        {"digit": named(d.reading.label), "probability": round(d.reading.probability, 6), "box": d.box}
        for d in line.digits
    ]
    return {"number": line.text, "box": line.box, "digits": digits}


def _rounded(reading: Reading) -> list[float]:
    return [round(float(p), 6) for p in reading.probabilities]
