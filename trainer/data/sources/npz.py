"""An `.npz` file with the arrays `x_train` and `y_train` and, for a test split, `x_test` and `y_test`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from trainer.bounds.arrays import UNREADABLE, open_archive, read_array
from trainer.data.imageset import Source
from trainer.data.sources.arrays import Stored, source_of
from trainer.data.sources.named import role
from trainer.errors import DataError
from trainer.text import first_line

SUFFIX = ".npy"


def load_npz(path: Path) -> Source:
    """Read images and labels; see `trainer.data.sources.arrays` for their names and forms.

    Untrusted files are safe to read: nothing is unpickled, and no memory is allocated for data that the file cannot
    contain. The limits are those of `trainer.bounds.arrays`, and half of the available memory.

    Raises:
        DataError: If the file is damaged, or an array is missing or has the wrong shape, dtype, range or length.
    """
    with _said(path), path.open("rb") as file, open_archive(file) as archive:
        return source_of(str(path), dict(map(partial(_stored, path, archive), _arrays(archive))))


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turn the damage of a file into one line."""
    try:
        yield
    except UNREADABLE as error:
        reason = (isinstance(error, OSError) and error.strerror) or first_line(error)
        raise DataError(f"cannot read {path} as .npz: {reason}") from error


def _arrays(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members that are arrays.

    Raises:
        ValueError: If another member has the name of an array that is needed.
    """
    members = archive.infolist()
    if foreign := [member for member in members if not member.filename.endswith(SUFFIX) and role(member.filename)]:
        raise ValueError(f"{foreign[0].filename} is not an array")
    return [member for member in members if member.filename.endswith(SUFFIX)]


def _stored(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, Stored]:
    def read() -> np.ndarray:
        with _said(path), archive.open(member) as stream:
            return read_array(stream, member.file_size)

    return member.filename.removesuffix(SUFFIX), Stored(member.file_size, read)
