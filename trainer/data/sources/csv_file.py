"""A CSV file with an image per row: a label and the pixels of a square gray image, as Kaggle hands out MNIST."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow
from pyarrow import csv as arrow

from trainer.data.imageset import Source
from trainer.data.sources.arrays import reshape_hint
from trainer.data.sources.cache import Cache
from trainer.data.sources.classes import numbered_source
from trainer.data.sources.decoding import Block, Undecoded
from trainer.data.sources.named import listed
from trainer.data.sources.reading import UnlabelledError, only, readable
from trainer.data.sources.table import Columns, columns_of, side_of, unnamed_columns
from trainer.errors import DataError
from trainer.text import in_bytes, in_line

MAX_COLUMNS = 70_000
"""Columns of an image of 256x256, with room for others; each takes 5 kB of memory while they are read."""
MAX_LINE = 1_000_000
"""Longest line in bytes."""
MAX_ROWS = 100_000_000
GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class _Layout:
    """The form of a file according to its first line and its length.

    Attributes:
        columns: The meaning of its columns.
        number: Number of columns.
        header: True if the first line names them.
        delimiter: The character between two cells.
        rows: Number of images, at most.
        names: Names of the columns for messages.
    """

    columns: Columns
    number: int
    header: bool
    delimiter: str
    rows: int
    names: tuple[str, ...]


def load_csv(paths: Sequence[Path], cache: Path) -> Source:
    """Read a table of pixels, plain or gzipped, with a header or without, from which the label comes first then.

    Cells are whole numbers, pixels from 0 to 255. The file is read in bounded memory; images that do not fit in memory
    are kept in the cache.

    Args:
        paths: The file.
        cache: The folder for images that do not fit in memory.

    Raises:
        UnlabelledError: If there is no column of labels.
        DataError: If a cell is no such number, a row too long or too short, the images are not square, or the file is
            damaged.
    """
    path = only(paths)
    with readable(path, "CSV"):
        layout = _layout(path)
    side = side_of(len(layout.columns.pixels))
    if side is None:
        raise DataError(f"{path}: {_unshaped(path, layout)}")
    if layout.columns.label is None:
        raise UnlabelledError(
            f"{path} has {side**2:,} columns of pixels and none of labels; training and evaluating need a column label"
        )
    status = path.stat()
    identity = ["csv", str(path.resolve()), status.st_size, status.st_mtime_ns]
    undecoded = Undecoded({"train": layout.rows}, (side, side, 1), lambda _: _blocks(path, layout, side))
    images, notices = Cache(cache, str(path), identity).load(lambda: undecoded)
    train = images["train"]
    unused = layout.columns.unused
    left = (f"{path}: columns that are not used: {listed(unused)}",) if unused else ()
    return numbered_source(str(path), train, None, (*left, *notices))


def _unshaped(path: Path, layout: _Layout) -> str:
    """Return what to do about images that are not square, or in colour."""
    pixels, label = layout.columns.pixels, layout.columns.label
    if label is None:
        return reshape_hint(len(pixels), "x")
    first, last = min(pixels), max(pixels) + 1
    return (
        f"{reshape_hint(len(pixels), 'x')}; save them as .npz: t = np.loadtxt({path.name!r}, 'uint8', "
        f"delimiter={layout.delimiter!r}, skiprows={int(layout.header)}); x, y = t[:, {first}:{last}], t[:, {label}]; "
        f"np.savez('{path.name.partition('.')[0]}.npz', x_train=x.reshape(…), y_train=y)"
    )


def _opened(path: Path) -> gzip.GzipFile | BinaryIO:
    with path.open("rb") as file:
        packed = file.read(2) == GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")


def _layout(path: Path) -> _Layout:
    """Look at the first line, and count all of them.

    Raises:
        ValueError: If the file is empty, or a line is too long.
    """
    with _opened(path) as stream:
        first = stream.readline(MAX_LINE + 1)
        if len(first) > MAX_LINE:
            raise ValueError(f"its first line has more than {in_bytes(MAX_LINE)}; write one image per line")
        text = first.decode("utf-8-sig", "replace").strip()
        if not text:
            raise ValueError("its first line is empty")
        lines, length = _measure(stream)
    delimiter = max(",;\t", key=text.count)
    cells = tuple(next(csv.reader([text], delimiter=delimiter)))
    if len(cells) > MAX_COLUMNS:
        raise ValueError(
            f"it has {len(cells):,} columns, more than {MAX_COLUMNS:,}; write images of this size as files"
        )
    header = not all(map(_is_number, cells))
    # Empty lines are no rows: a cell takes at least two bytes, with what comes after it.
    rows = min(lines, (length + 1) // (2 * len(cells))) + (not header)
    if not header:
        names = tuple(f"column {i + 1}" for i in range(len(cells)))
        return _Layout(unnamed_columns(len(cells)), len(cells), False, delimiter, rows, names)
    if not rows:
        raise ValueError("it has a header and no rows")
    return _Layout(columns_of(cells, str(path)), len(cells), True, delimiter, rows, cells)


def _measure(stream: gzip.GzipFile | BinaryIO) -> tuple[int, int]:
    """Return the number of lines and of bytes in the rest of a stream.

    Raises:
        ValueError: If there are too many, or one is too long to be read.
    """
    count, length, last = 0, 0, b"\n"
    while chunk := stream.read(MAX_LINE):
        found = chunk.count(b"\n")
        if not found and len(chunk) == MAX_LINE:
            raise ValueError(f"line {count + 2:,} has more than {in_bytes(MAX_LINE)}; write one image per line")
        count, length, last = count + found, length + len(chunk), chunk[-1:]
        if count > MAX_ROWS:
            raise ValueError(f"it has more than {MAX_ROWS:,} lines; use a part of it")
    return count + (last != b"\n"), length


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _blocks(path: Path, layout: _Layout, side: int) -> Iterator[Block]:
    """Yield the images block by block.

    Raises:
        DataError: If a cell or a row is wrong.
    """
    label, pixels = f"{layout.columns.label}", [str(i) for i in layout.columns.pixels]
    with _opened(path) as stream:
        found = 0
        try:
            for batch in _reader(stream, layout, label, pixels):
                images = np.stack([batch.column(name).to_numpy() for name in pixels], axis=1)
                yield images.reshape(-1, side, side, 1), batch.column(label).to_numpy()
                found += len(images)
        except pyarrow.ArrowInvalid as error:
            raise DataError(f"{path}: {_explained(str(error), layout)}") from error
        except (OSError, EOFError, zlib.error) as error:  # raised by gzip
            raise DataError(f"cannot read {path} as CSV: {error}; download the file again") from error
    if not found:
        raise DataError(f"{path} has no rows; choose another file")


def _reader(
    stream: gzip.GzipFile | BinaryIO, layout: _Layout, label: str, pixels: list[str]
) -> arrow.CSVStreamingReader:
    names = [str(i) for i in range(layout.number)]
    types = {label: pyarrow.int32(), **dict.fromkeys(pixels, pyarrow.uint8())}
    return arrow.open_csv(
        stream,
        read_options=arrow.ReadOptions(
            use_threads=False,  # errors then name the row
            column_names=names,
            skip_rows=int(layout.header),
            block_size=2 * MAX_LINE,  # a row must fit in a block
        ),
        parse_options=arrow.ParseOptions(delimiter=layout.delimiter),
        convert_options=arrow.ConvertOptions(column_types=types, include_columns=[label, *pixels], null_values=[]),
    )


def _explained(error: str, layout: _Layout) -> str:
    """Return an error of the parser in terms of the file, with the number of the line, from 1."""
    if found := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", error):
        return f"line {int(found[1]):,} has {found[3]} cells instead of {found[2]}; correct or remove it"
    if found := re.search(r"column #(\d+): Row #(\d+): .* invalid value '(.*)'", error, re.DOTALL):
        number, is_label = int(found[1]), int(found[1]) == layout.columns.label
        wanted = "a class number" if is_label else "a whole number from 0 to 255"
        cell = f"{in_line(layout.names[number])} is {in_line(found[3])!r}" if found[3] else "a cell is empty"
        return f"line {int(found[2]):,}: {cell}; {wanted} is needed"
    return in_line(error)
