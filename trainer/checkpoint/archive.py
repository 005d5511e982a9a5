"""Conversion between the arrays of a checkpoint and the bytes of `state.npz`, which may be forged."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.bounds.arrays import open_archive, read_array
from trainer.checkpoint.content import STATE
from trainer.errors import CheckpointError
from trainer.text import first_line

if TYPE_CHECKING:
    import numpy as np

NO_NPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
"""Dtypes that .npy does not support; they are stored as integers with the same bits."""


def pack(arrays: Sequence[Any]) -> bytes:
    """Return the content of `state.npz` for `arrays`, by position."""
    import numpy as np  # imported here to keep `--help` fast

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{f"{i:04d}": _plain(np.asarray(array)) for i, array in enumerate(arrays)})
    return buffer.getvalue()


def unpack(path: Path, content: bytes) -> list[np.ndarray]:
    """Return the arrays of `state.npz`, which never need more memory than `content`.

    Raises:
        CheckpointError: If the content is damaged, or is not what `pack` writes.
    """
    try:
        with open_archive(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if [member.filename for member in members] != [f"{i:04d}.npy" for i in range(len(members))]:
                raise ValueError("its members are not 0000.npy, 0001.npy and so on")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed")
            if sum(member.file_size for member in members) > len(content):
                raise ValueError("it declares more bytes than it contains")
            return [_array(archive, member) for member in members]
    except Exception as error:  # a forged file can make its parsers raise anything
        raise CheckpointError(f"cannot read checkpoint {path}: {STATE}: {first_line(error)}") from error


def typed(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the original of an array from `_plain`; any other array is returned unchanged."""
    if dtype not in NO_NPY:
        return array
    import ml_dtypes
    import numpy as np

    wanted = np.dtype(getattr(ml_dtypes, dtype))
    return array.view(wanted) if array.dtype == np.dtype(f"u{wanted.itemsize}") else array


def _plain(array: np.ndarray) -> np.ndarray:
    """Return an array in a dtype that .npy supports."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.name in NO_NPY else array


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Return an array of numbers.

    Raises:
        ValueError: If it contains anything else.
    """
    with archive.open(member) as stream:
        array = read_array(stream, member.file_size)
    if array.dtype.kind not in "biufc":
        raise ValueError("an array does not contain numbers")
    return array
