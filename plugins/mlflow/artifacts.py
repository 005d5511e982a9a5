"""The files of a run directory that MLflow gets a copy of; no link, nothing behind one, nothing half-written."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.runs.files import CONFIG, HISTORY, REPORT, RESULT
from trainer.runs.inside import files_inside, is_plain, open_inside
from trainer.runs.provenance import without_password

PARTIAL = ".tmp-"
"""Beginning of the names of files that are being written, or that a killed process left behind."""
LARGEST = 256 * 2**20
"""Bytes of the largest file that is sent."""


def artifacts(run_dir: Path) -> list[Path]:
    """Return the files that MLflow gets a copy of: no links, and none of more than 256 MiB."""
    return [path for path in _files(run_dir) if stamp_of(path)[0] <= LARGEST]


def too_large(run_dir: Path) -> list[str]:
    """Return the names of the files that are left out for their size, as paths below the run directory."""
    return [path.relative_to(run_dir).as_posix() for path in _files(run_dir) if stamp_of(path)[0] > LARGEST]


def _files(run_dir: Path) -> list[Path]:
    own = [path for name in (CONFIG, HISTORY, RESULT) if is_plain(path := run_dir / name)]
    return own + [path for path in files_inside(run_dir, REPORT) if not path.name.startswith(PARTIAL)]


def stamp_of(path: Path) -> tuple[int, int]:
    """Return size and time of change of a file; of one that is gone, such as no file has."""
    try:
        found = path.lstat()
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns


@contextmanager
def copied(path: Path, run_dir: Path) -> Iterator[Path]:
    """Make a copy of a file for the time of its upload, which then is of what was checked, whatever happens meanwhile.

    Of the configuration it has no passwords.

    Args:
        path: The file.
        run_dir: The run directory in which it lies.

    Yields:
        A file of the same name.

    Raises:
        OSError: If it cannot be read or copied, or lies behind a link.
        ValueError: If it is not a file.
    """
    name = path.relative_to(run_dir)
    with open_inside(run_dir, name) as file, tempfile.TemporaryDirectory(prefix="inkwell-") as scratch:
        copy = Path(scratch) / path.name
        if name == Path(CONFIG):
            copy.write_text(without_password(file.read().decode()), encoding="utf-8")
        else:
            with copy.open("wb") as other:
                shutil.copyfileobj(file, other)
        yield copy
