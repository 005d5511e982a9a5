"""Parquet files as Hugging Face writes them: a column of image files or of nested lists of pixels, or a column per pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import compute, parquet

from trainer.bounds.plain import parse_json
from trainer.data.imageset import Source
from trainer.data.sources.arrays import as_classes, as_images
from trainer.data.sources.cache import Cache
from trainer.data.sources.decoding import Block, Undecoded
from trainer.data.sources.image import read_header, read_image
from trainer.data.sources.labels import numbered_classes
from trainer.data.sources.memory import refuse_if_too_large
from trainer.data.sources.named import listed, role
from trainer.data.sources.reading import UnlabelledError, readable
from trainer.data.sources.table import columns_of
from trainer.errors import DataError

KIND = "Parquet"
BATCH = 64  # rows; the largest image of each has 10 MB
MAX_SCHEMA = 10_000_000
"""Longest text, and largest number of entries, of the metadata of a file."""

Decoder = Callable[[pyarrow.RecordBatch, int], np.ndarray]
"""Returns the images of a batch, uint8 `[B, H, W, C]`, given the number of its first row."""


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
        columns, decode = _images(files[0].schema_arrow, what)
        first = next(files[0].iter_batches(1, columns=columns), None)
        if first is None:
            raise DataError(f"{what} has no rows; choose another file")
        height, width, channels = decode(first, 0).shape[1:]

    def blocks(_: str) -> Iterator[Block]:
        for path, file in zip(paths, files, strict=True):
            with readable(path, KIND):
                start = 0
                for batch in file.iter_batches(BATCH, columns=[*columns, label]):
                    images = decode(batch, start)
                    if images.shape[1:] != (height, width, channels):
                        raise DataError(f"{path}: images differ in size; write all of them in one size")
                    yield images, as_classes(batch.column(label).to_numpy(zero_copy_only=False), label)[0]
                    start += len(images)

    rows = sum(file.metadata.num_rows for file in files)
    undecoded = Undecoded({"train": rows}, (height, width, channels), blocks)
    status = [[str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    images, notices = Cache(cache, what, ["parquet", status]).load(lambda: undecoded)
    train = images["train"]
    classes = _class_names(files[0].schema_arrow, label) or numbered_classes(train.labels)
    return Source(what, train, None, classes, notices=notices)
