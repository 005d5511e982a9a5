"""The run directory: the truth about a run, which trackers mirror.

runs/<name>/
  config.toml     the resolved configuration, written before step 0
  run.json        status, process, host, command, git commit, versions, data, and what plugins noted
  history.jsonl   one JSON object a line: batches, validations and epochs, with its `time` in Unix seconds
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
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from trainer.checkpoint import Checkpoints
from trainer.errors import InkwellError, UsageError
from trainer.files import check_new, to_json, write_atomic
from trainer.run import Run, process_facts
from trainer.runs.provenance import provenance
from trainer.text import command, first_line

CONFIG, RUN, HISTORY, RESULT, ERRORS = "config.toml", "run.json", "history.jsonl", "result.json", "error.log"
CHECKPOINTS = "checkpoints"
STATE = ("status", "stop_reason", "ended", "data")
"""Keys of `run.json` that change with the run; it `ended` in Unix seconds, None while it goes on."""
ANOTHER = "choose another with --run-dir"


def default_name(model: str, now: float | None = None) -> str:
    """Return `<model>-<date>-<time>`, the name of a run that was given none; local time, to milliseconds.

    Several runs are often started in one second.
    """
    now = time.time() if now is None else now
    return f"{model}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}.{int(now * 1000) % 1000:03d}"


def check_free(path: Path) -> None:
    """Refuse a run directory that exists, or that cannot be made; makes nothing.

    Raises:
        UsageError: With what to do instead.
        InkwellError: If the folder may not be written to, such as on a read-only disk.
    """
    check_new(path, "run directory", ANOTHER)


def check_ended(path: Path) -> dict[str, Any]:
    """Refuse to go on with a run that is still going on; return what its `run.json` says.

    Raises:
        UsageError: If the process of the run is still alive.
        InkwellError: If `run.json` cannot be read.
    """
    facts = read_json(path / RUN)
    if facts.get("status") == "running" and is_alive(facts):
        raise UsageError(f"run {path} is still running as process {facts['pid']}")
    return facts


class RunDirectory:
    """Writes the files of one run.

    Args:
        path: The directory; see `create` and `reopen`.
        known: What `run.json` said when the run was last active: its `id`, and when it `started` (local time in
            ISO 8601); default: a new run that starts now.
    """

    def __init__(self, path: Path, known: Mapping[str, Any] | None = None) -> None:
        self.path = path.absolute()
        self.checkpoints = Checkpoints(self.path / CHECKPOINTS)
        fresh = {"id": uuid.uuid4().hex, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        kept = {key: (known or {}).get(key) or value for key, value in fresh.items()}
        self._facts = {"name": self.path.name, **kept, **process_facts(), **provenance()}
        self._ended: float | None = None
        self._unwritten = ""

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """Make the directory of a new run.

        Raises:
            UsageError: If the directory exists, or lies under something that is not a folder.
            InkwellError: If it cannot be made (a read-only or full disk).
        """
        check_free(path)
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise UsageError(f"run directory {path} exists; {ANOTHER}") from error
        except OSError as error:
            raise InkwellError(f"run directory {path} cannot be made: {error.strerror}") from error
        return cls(path)

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Open the directory of a run that is to go on, and delete what a killed process left half-written.

        Raises:
            UsageError: If the process of the run is still alive.
            InkwellError: If `run.json` cannot be read.
        """
        directory = cls(path, check_ended(path))
        directory.checkpoints.clean()
        return directory

    def start(self, run: Run, config: str, keep: bool = False) -> None:
        """Write `config.toml` and `run.json`; on failure the directory is removed again, unless `keep`.

        Raises:
            InkwellError: If the disk is full or read-only.
        """
        try:
            write_atomic(self.path / CONFIG, config)
            (self.path / HISTORY).touch()
            self.update(run)
        except OSError as error:
            if not keep:
                shutil.rmtree(self.path, ignore_errors=True)
            raise InkwellError(f"run directory {self.path} cannot be written: {error.strerror}") from error

    def notes(self) -> dict[str, Any]:
        """Return what plugins noted in `run.json` when the run was last active."""
        own = {*self._facts, *STATE}
        return {key: value for key, value in read_json(self.path / RUN).items() if key not in own}

    def cut_history(self, lines: int) -> list[dict[str, Any]]:
        """Cut `history.jsonl` back to its first `lines` lines and return them; a result is taken back.

        Raises:
            InkwellError: If there are fewer lines.
        """
        kept = (self.path / HISTORY).read_bytes().splitlines(keepends=True)[:lines]
        if len(kept) < lines or not all(line.endswith(b"\n") for line in kept):
            raise InkwellError(f"{self.path / HISTORY} has fewer than the {lines} lines that the checkpoint counts")
        write_atomic(self.path / HISTORY, b"".join(kept).decode())
        (self.path / RESULT).unlink(missing_ok=True)
        return [json.loads(line) for line in kept]

    def update(self, run: Run) -> None:
        """Write `run.json` as `run` stands now.

        Raises:
            OSError: If it cannot be written; the old file is intact.
        """
        self._ended = None if run.status == "running" else self._ended or time.time()
        state = dict(zip(STATE, (run.status, run.stop_reason, self._ended, dict(run.data)), strict=True))
        write_atomic(self.path / RUN, to_json({**self._facts, **state, **run.notes}))

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append lines to `history.jsonl`; what a full disk refuses is kept and written with the next ones.

        Raises:
            OSError: If the file could not be written; it then ends with a whole line.
        """
        self._unwritten += "".join(to_json(line, indent=None) for line in lines)
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
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InkwellError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(values, dict):
        raise InkwellError(f"{path} is damaged: it holds no table")
    return values


def is_alive(facts: Mapping[str, Any]) -> bool:
    """Return whether the process of a `run.json` lives on this machine, started since its last boot."""
    here = process_facts()
    pid = facts.get("pid")
    if (facts.get("host"), facts.get("boot_id")) != (here["host"], here["boot_id"]) or pid == here["pid"]:
        return False
    return isinstance(pid, int) and 0 < pid < 2**31 and psutil.pid_exists(pid)


def newest_done(root: Path) -> Path:
    """Return the run under `root` whose `result.json` is the newest.

    Raises:
        UsageError: If no run is done.
    """
    results = sorted(root.glob(f"*/{RESULT}"), key=lambda path: path.stat().st_mtime)
    if not results:
        raise UsageError(f"no finished run under {root}; train one with {command('fit')}, or name one")
    return results[-1].parent
