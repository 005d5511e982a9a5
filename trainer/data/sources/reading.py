"""Common parts of the readers of files: damage reported in one line, and the file of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import DataError, InkwellError
from trainer.text import first_line, shortened


class UnlabelledError(DataError):
    """Images without labels, such as those of a competition's test set."""


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a parser raises for a damaged or forged file into one line.

    Args:
        path: The file.
        kind: Its format, such as `HDF5`.
    """
    try:
        yield
    except InkwellError:
        raise
    except MemoryError as error:
        raise DataError(f"cannot read {path} as {kind}: not enough memory; choose a smaller set") from error
    except Exception as error:  # parsers raise arbitrary exceptions for forged files
        reason = (isinstance(error, OSError) and error.strerror) or shortened(first_line(error))
        raise DataError(f"cannot read {path} as {kind}: {reason}") from error


def only(paths: Sequence[Path]) -> Path:
    """Return the one file of a split.

    Raises:
        DataError: If there are several.
    """
    if len(paths) > 1:
        raise DataError(f"{paths[0]} and {paths[1]} could both be the data of one split; give one of them as --data")
    return paths[0]
