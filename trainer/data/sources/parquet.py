"""Parquet files as Hugging Face writes them: a column of image files or of lists of pixels, or a column per pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute, parquet

from trainer.bounds.arrays import MOST_SHRUNK
from trainer.bounds.plain import parse_json
from trainer.data.imageset import Source
from trainer.data.sources.arrays import as_classes, as_images
from trainer.data.sources.cache import Cache
from trainer.data.sources.classes import numbered_source, without_empty_classes
from trainer.data.sources.decoding import Block, Undecoded
from trainer.data.sources.image import read_header, read_image
from trainer.data.sources.memory import refuse_if_too_large
from trainer.data.sources.named import listed, role
from trainer.data.sources.reading import UnlabelledError, readable
from trainer.data.sources.table import columns_of
from trainer.errors import DataError
from trainer.text import in_bytes

KIND = "Parquet"
FILES = 64  # image files per batch; each may have 10 MB
MAX_SCHEMA = 10_000_000
"""Longest text, and largest number of entries, of the metadata of a file."""


@dataclass(frozen=True)
class _Images:
    """The images of a table.

    Attributes:
        columns: The columns that hold them.
        decode: Returns those of a batch, uint8 `[B, H, W, C]`, given the number of its first row.
        length: Rows per batch.
    """

    columns: list[str]
    decode: Callable[[pyarrow.RecordBatch, int], np.ndarray]
    length: int = 4096


def load_parquet(paths: Sequence[Path], cache: Path) -> Source:
    """Read the images and labels of one or several files with the same columns.

    Args:
        paths: The files, in order.
        cache: The folder for images that do not fit in memory.

    Raises:
        UnlabelledError: If there is no column of labels.
        DataError: If a file is damaged, or its images are not of one size, or not uint8.
    """
    what = str(paths[0])
    with readable(paths[0], KIND):
        files = [_opened(path) for path in paths]
        names = files[0].schema_arrow.names
        label = _label(names, what)
        images = _images(files[0].schema_arrow, what)
        first = next(files[0].iter_batches(1, columns=images.columns), None)
        if first is None:
            raise DataError(f"{what} has no rows; choose another file")
        height, width, channels = images.decode(first, 0).shape[1:]

    def blocks(_: str) -> Iterator[Block]:
        for path, file in zip(paths, files, strict=True):
            with readable(path, KIND):
                start = 0
                for batch in file.iter_batches(images.length, columns=[*images.columns, label]):
                    decoded = images.decode(batch, start)
                    if decoded.shape[1:] != (height, width, channels):
                        raise DataError(f"{path}: images differ in size or colour; write all of them in one form")
                    yield decoded, as_classes(batch.column(label).to_numpy(zero_copy_only=False), label)[0]
                    start += len(decoded)

    rows = sum(file.metadata.num_rows for file in files)
    _refuse_if_forged(rows * height * width * channels, paths)
    undecoded = Undecoded({"train": rows}, (height, width, channels), blocks)
    status = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    found, notices = Cache(cache, what, ["parquet", status]).load(lambda: undecoded)
    train = found["train"]
    if named := _class_names(files[0].schema_arrow, label):
        return without_empty_classes(Source(what, train, None, named, notices=notices))
    return numbered_source(what, train, None, notices)


def _opened(path: Path) -> parquet.ParquetFile:
    """Open a file after checking that what it declares can be held in memory."""
    file = parquet.ParquetFile(
        path, thrift_string_size_limit=MAX_SCHEMA, thrift_container_size_limit=MAX_SCHEMA, pre_buffer=False
    )
    groups = (file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    refuse_if_too_large(max(groups, default=0), str(path))
    return file


def _refuse_if_forged(size: int, paths: Sequence[Path]) -> None:
    """Refuse more bytes of images than files of this length can hold, such as one row repeated a billion times."""
    length = sum(path.stat().st_size for path in paths)
    if size > length * MOST_SHRUNK:
        raise DataError(
            f"{paths[0]} declares {in_bytes(size)} of images but has only {in_bytes(length)}; do not use it"
        )


def _label(names: Sequence[str], what: str) -> str:
    """Return the name of the column of labels."""
    labels = [name for name in names if role(name) == ("train", "y")]
    if not labels:
        raise UnlabelledError(f"{what} has no column of labels (found: {listed(names)}); name it label")
    if len(labels) > 1:
        raise DataError(f"{what}: {listed(labels)} could all be the label; keep one of them")
    return labels[0]


def _images(schema: pyarrow.Schema, what: str) -> _Images:
    """Return the columns with the images, and how they are decoded."""
    named = [name for name in schema.names if role(name) == ("train", "x")]
    if len(named) == 1:
        (name,) = named
        kind = schema.field(name).type
        if pyarrow.types.is_struct(kind) and "bytes" in [kind.field(i).name for i in range(kind.num_fields)]:
            return _Images(
                named, lambda batch, start: _from_files(batch.column(name).field("bytes"), name, start), FILES
            )
        if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
            return _Images(named, lambda batch, start: _from_files(batch.column(name), name, start), FILES)
        if _is_list(kind):
            return _Images(named, lambda batch, _: _in_bytes(_nested(batch.column(name), name), name))
    if len(named) > 1:
        raise DataError(f"{what}: {listed(named)} could all be the images; keep one of them")
    pixels = [schema.names[i] for i in columns_of(schema.names, what).pixels]
    return _Images(pixels, lambda batch, _: _in_bytes(_side_by_side(batch, pixels), "the pixels"))


def _side_by_side(batch: pyarrow.RecordBatch, names: list[str]) -> np.ndarray:
    return np.stack([_plain(batch.column(name)) for name in names], axis=1)


def _from_files(column: pyarrow.Array, name: str, start: int) -> np.ndarray:
    """Decode the image files in a column; gray if the first is.

    Raises:
        ValueError: If one is missing, cannot be decoded, or has another size or other colours.
    """
    images: list[np.ndarray] = []
    channels = 0
    for row, content in enumerate(column.to_pylist(), start):
        where = f"row {row:,} of {name}"
        if content is None:
            raise ValueError(f"{where} has no image; images outside the file are not read")
        try:
            found = 1 if read_header(content, where).gray else 3
            channels = channels or found
            image = read_image(content, channels, where)
        except DataError as error:
            raise ValueError(str(error)) from error
        if found > channels or (images and image.shape != images[0].shape):
            kind = "in colour, unlike the others" if found > channels else "of another size than the others"
            raise ValueError(f"{where} is {kind}; write all images in one form")
        images.append(image)
    return np.stack(images)


def _is_list(kind: pyarrow.DataType) -> bool:
    return any(
        check(kind) for check in (pyarrow.types.is_list, pyarrow.types.is_large_list, pyarrow.types.is_fixed_size_list)
    )


def _nested(column: pyarrow.Array, name: str) -> np.ndarray:
    """Return nested lists of equal lengths as an array `[B, …]`."""
    shape = [len(column)]
    while _is_list(column.type):
        lengths = compute.unique(compute.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or lengths[0] is None:
            raise ValueError(f"{name} has images of different sizes; write all images in one size")
        shape.append(lengths[0])
        column = column.flatten()
    return _plain(column).reshape(shape)


def _plain(column: pyarrow.Array) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False)


def _in_bytes(values: np.ndarray, name: str) -> np.ndarray:
    images, _ = as_images(values, name, len(values))
    if images.dtype != np.uint8:
        raise ValueError(f"{name} is {values.dtype}; pixels in a table must be whole numbers from 0 to 255")
    return images


def _class_names(schema: pyarrow.Schema, label: str) -> tuple[str, ...]:
    """Return the names of the classes that Hugging Face keeps with the columns; empty if there are none."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):  # anything may stand there
        features: Any = parse_json(schema.metadata[b"huggingface"])["info"]["features"]
        return tuple(map(str, features[label]["names"]))
    return ()
