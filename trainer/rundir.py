"""The run directory: the truth about a run, which trackers mirror.

runs/<name>/
  config.toml     the resolved configuration, written before step 0
  run.json        status, process, host, and what plugins noted
  history.jsonl   one JSON object a line: epochs and validations
  checkpoints/    see `trainer.checkpoint`
  report/         pictures and tables
  error.log       tracebacks of plugins that failed, if any did
  result.json     written last: a run without it is not done
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.checkpoint import Checkpoints
from trainer.errors import InkwellError, UsageError
from trainer.files import to_json, write_atomic
from trainer.run import Run, process_facts

CONFIG, RUN, HISTORY, RESULT, ERRORS = "config.toml", "run.json", "history.jsonl", "result.json", "error.log"
ANOTHER = "choose another with --run-dir"


def default_name(model: str, now: float | None = None) -> str:
    """Return `<model>-<date>-<time>`, the name of a run that was given none; local time."""
    return f"{model}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"


def check_free(path: Path) -> None:
    """Refuse a run directory that exists, or that cannot be made; makes nothing.

    Raises:
        UsageError: With what to do instead.
        InkwellError: If the folder may not be written to, such as on a read-only disk.
    """
    try:
        taken = path.exists() or path.is_symlink()
        parent = next(folder for folder in path.absolute().parents if folder.exists())
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise UsageError(f"run directory {path} cannot be made: {error.strerror}; {ANOTHER}") from error
    if taken:
        raise UsageError(f"run directory {path} exists; {ANOTHER}")
    if not parent.is_dir():
        raise UsageError(f"run directory {path} cannot be made: {parent} is not a folder; {ANOTHER}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InkwellError(f"run directory {path} cannot be made: {parent} cannot be written to; {ANOTHER}")


class RunDirectory:
    """Writes the files of one run.

    Args:
        path: The directory, new or empty.

    Raises:
        UsageError: If the directory exists, or lies under something that is not a folder.
        InkwellError: If it cannot be made (a read-only or full disk).
    """

    def __init__(self, path: Path) -> None:
        check_free(path)
        self.path = path.absolute()
        self.checkpoints = Checkpoints(self.path / "checkpoints")
        self._facts: dict[str, Any] = {}
        self._unwritten = ""
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise InkwellError(f"run directory {path} cannot be made: {error.strerror}") from error

    def start(self, run: Run, config: str) -> None:
        """Write `config.toml` and `run.json`; on failure the directory is removed again.

        Raises:
            InkwellError: If the disk is full or read-only.
        """
        self._facts = {"name": run.name, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **process_facts()}
        try:
            write_atomic(self.path / CONFIG, config)
            (self.path / HISTORY).touch()
            self.update(run)
        except OSError as error:
            shutil.rmtree(self.path, ignore_errors=True)
            raise InkwellError(f"run directory {self.path} cannot be written: {error.strerror}") from error

    def update(self, run: Run) -> None:
        """Write `run.json` as `run` stands now.

        Raises:
            OSError: If it cannot be written; the old file is intact.
        """
        state = {"status": run.status, "stop_reason": run.stop_reason}
        write_atomic(self.path / RUN, to_json({**self._facts, **state, **run.notes}))

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line to `history.jsonl`; what a full disk refuses is kept and written with the next line.

        Raises:
            OSError: If the file could not be written; it then ends with a whole line.
        """
        self._unwritten += to_json(line, indent=None)
        self.flush()

    def flush(self) -> None:
        """Write the history lines that a full disk refused before.

        Raises:
            OSError: If the disk still refuses them.
        """
        with (self.path / HISTORY).open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            rest = self._unwritten.encode()
            try:
                while rest:  # a disk that is filling up takes a part
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(end)
                raise
        self._unwritten = ""

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`, which makes the run a finished one.

        Raises:
            InkwellError: If it, or history that was held back, cannot be written.
        """
        try:
            self.flush()
            write_atomic(self.path / RESULT, to_json(result))
        except OSError as error:
            raise InkwellError(f"the result cannot be written to {self.path}: {error.strerror}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file of a run directory.

    Raises:
        InkwellError: If it is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InkwellError(f"{path} cannot be read: {error}") from error


def newest_done(root: Path) -> Path:
    """Return the run under `root` whose `result.json` is the newest.

    Raises:
        UsageError: If no run is done.
    """
    results = sorted(root.glob(f"*/{RESULT}"), key=lambda path: path.stat().st_mtime)
    if not results:
        raise UsageError(f"no finished run under {root}; train one with scripts/fit.py, or name one")
    return results[-1].parent
