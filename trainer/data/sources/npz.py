"""An `.npz` file with the arrays `x_train` and `y_train` and, for a test split, `x_test` and `y_test`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from trainer.bounds.arrays import open_archive, read_array
from trainer.data.imageset import Source
from trainer.data.sources.arrays import Stored, source_of
from trainer.data.sources.named import role
from trainer.data.sources.reading import readable

KIND = ".npz"
MEMBER = ".npy"


def load_npz(path: Path) -> Source:
    """Read images and labels; see `trainer.data.sources.arrays` for their names and forms.

    Untrusted files are safe to read: nothing is unpickled, and no memory is allocated for data that the file cannot
    contain. The limits are those of `trainer.bounds.arrays`, and half of the available memory.

    Raises:
        DataError: If the file is damaged, or an array is missing or has the wrong shape, dtype, range or length.
    """
    with stored_arrays(path) as stored:
        return source_of(str(path), stored)


@contextmanager
def stored_arrays(path: Path) -> Iterator[dict[str, Stored]]:
    """Open a file; yield its arrays by name, to be read inside the context.

    Raises:
        DataError: If the file is damaged.
    """
    with readable(path, KIND), path.open("rb") as file, open_archive(file) as archive:
        yield dict(map(partial(_stored, path, archive), _arrays(archive)))


def _arrays(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return the members that are arrays.

    Raises:
        ValueError: If another member has the name of an array that is needed.
    """
    members = archive.infolist()
    if foreign := [member for member in members if not member.filename.endswith(MEMBER) and role(member.filename)]:
        raise ValueError(f"{foreign[0].filename} is not an array")
    return [member for member in members if member.filename.endswith(MEMBER)]


def _stored(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, Stored]:
    def read() -> np.ndarray:
        with readable(path, KIND), archive.open(member) as stream:
            return read_array(stream, member.file_size)

    return member.filename.removesuffix(MEMBER), Stored(member.file_size, read)
