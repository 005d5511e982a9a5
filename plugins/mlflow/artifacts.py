"""The files of a run directory that are copied to MLflow: no links, nothing behind a link, nothing half-written."""

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
"""Prefix of the names of files that are being written, or that a killed process left behind."""
LARGEST = 256 * 2**20
"""Size of the largest file that is sent, in bytes."""


def artifacts(run_dir: Path) -> list[Path]:
    """Return the files to copy to MLflow, without links and files over 256 MiB."""
    return [path for path in _files(run_dir) if stamp_of(path)[0] <= LARGEST]


def too_large(run_dir: Path) -> list[str]:
    """Return the files that are skipped because of their size, as paths relative to the run directory."""
    return [path.relative_to(run_dir).as_posix() for path in _files(run_dir) if stamp_of(path)[0] > LARGEST]


def _files(run_dir: Path) -> list[Path]:
    own = [path for name in (CONFIG, HISTORY, RESULT) if is_plain(path := run_dir / name)]
    return own + [path for path in files_inside(run_dir, REPORT) if not path.name.startswith(PARTIAL)]


def stamp_of(path: Path) -> tuple[int, int]:
    """Return the size and modification time of a file; for a missing file, values that no file has."""
    try:
        found = path.lstat()
    except OSError:
        return -1, 0
    return found.st_size, found.st_mtime_ns


@contextmanager
def copied(path: Path, run_dir: Path) -> Iterator[Path]:
    """Copy a file for the duration of its upload, so that what is sent is what was checked.

    Passwords are removed from the configuration.

    Args:
        path: The file.
        run_dir: The run directory that contains it.

    Yields:
        A file with the same name.

    Raises:
        OSError: If it cannot be read or copied, or is behind a link.
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
