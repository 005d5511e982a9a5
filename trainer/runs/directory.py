"""The run directory, the authoritative record of a run, which trackers mirror. `trainer.runs.files` reads it.

runs/<name>/
  config.toml     the resolved configuration, written before step 0; empty for a `Trainer` without configuration
  model.json      the Keras config of the model, if no configuration names it
  .lock           locked by the process that trains here; see `trainer.runs.lock`
  run.json        layout, status, process, host, command, git commit, versions, data, and the notes of plugins
  seen.bin        hashes of the training and validation images, if known; see `trainer.data.seen`
  history.jsonl   one JSON object per line: batches, validations and epochs, with their `time` in Unix seconds
  checkpoints/    see `trainer.checkpoint`
  report/         pictures and tables
  error.log       tracebacks of failed plugins, if any
  result.json     written last: a run without it is not done
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.checkpoint import LAYOUT, Checkpoints
from trainer.errors import CheckpointError, InkwellError, UsageError
from trainer.files import check_new, read_bounded, sweep, to_json, write_atomic
from trainer.run import Run
from trainer.runs.files import (
    CHECKPOINTS,
    CONFIG,
    HISTORY,
    MAX_HISTORY,
    MODEL,
    REPORT,
    RESULT,
    RUN,
    SEEN,
    RunFiles,
    RunRecord,
)
from trainer.runs.history import parse_lines, whole_lines
from trainer.runs.lock import RunLock, is_held, still_running
from trainer.runs.process import this_process
from trainer.runs.provenance import provenance
from trainer.text import command, first_line

if TYPE_CHECKING:
    from trainer.data.seen import Seen

ERRORS = "error.log"
ANOTHER = "choose another with --run-dir"


def default_name(model: str, now: float | None = None) -> str:
    """Return the default name of a run, `<model>-<date>-<time>`, in local time.

    The time has milliseconds, since several runs are often started within a second.
    """
    now = time.time() if now is None else now
    return f"{model}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}.{int(now * 1000) % 1000:03d}"


def check_free(path: Path) -> None:
    """Check that a run directory does not exist and can be created; create nothing.

    Raises:
        UsageError: If it exists, or its path is invalid.
        InkwellError: If its parent folder is not writable, for example on a read-only disk.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"cannot create run directory {path}: its name is not UTF-8; {ANOTHER}") from None
    check_new(path, "run directory", ANOTHER)


def check_ended(path: Path) -> None:
    """Check that a run to resume is not running; change nothing.

    Raises:
        UsageError: If `path` is not a run directory, or a process holds its lock.
        InkwellError: If `run.json` is damaged or of another layout.
    """
    RunFiles(path)
    if is_held(path):
        raise still_running(path)


def claim(path: Path) -> RunLock:
    """Claim the directory of a run to resume for this process, before its progress is read.

    Raises:
        UsageError: If `path` is not a run directory, or another process or thread holds its lock.
        CheckpointError: If the run has neither a checkpoint nor a result.
        InkwellError: If `run.json` is damaged or of another layout, or the directory is not writable.
    """
    files = RunFiles(path)
    lock = RunLock(path)
    if not files.has_result and not any(Checkpoints(path / CHECKPOINTS).newest()):
        lock.release()
        raise CheckpointError(f"cannot resume run {path}: it ended before its first checkpoint; {restart_advice(path)}")
    return lock


def restart_advice(path: Path) -> str:
    """Return advice on starting a run again that cannot be resumed."""
    if not (path / CONFIG).is_file() or not (path / CONFIG).stat().st_size:
        return "start it again in another run directory"
    return f"start it again: {command('fit')} --config {shlex.quote(str(path / CONFIG))}"


class RunDirectory:
    """Writes the files of one run.

    Args:
        path: The directory; see `create` and `reopen`.
        before: The `run.json` of a run to resume; default: a new run, which starts now.

    Attributes:
        notes: Notes of plugins in the `run.json` of a run to resume.
    """

    def __init__(self, path: Path, before: RunRecord | None = None) -> None:
        self.path = path.absolute()
        self.checkpoints = Checkpoints(self.path / CHECKPOINTS)
        before = before or RunRecord()
        self.notes = dict(before.notes)
        identity = {
            "id": before.id or uuid.uuid4().hex,
            "started": before.started or time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        self._fixed = {"layout": LAYOUT, "name": self.path.name, **identity, **this_process(), **provenance()}
        self._ended: float | None = None
        self._unwritten = ""

    @classmethod
    def create(cls, path: Path) -> tuple[RunDirectory, RunLock]:
        """Create the directory of a new run; return it with its lock.

        Raises:
            UsageError: If the directory exists, or its parent is not a folder.
            InkwellError: If it cannot be created, for example on a read-only or full disk.
        """
        check_free(path)
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise UsageError(f"cannot create run directory {path}: it already exists; {ANOTHER}") from error
        except OSError as error:
            raise InkwellError(f"cannot create run directory {path}: {error.strerror}") from error
        try:
            return cls(path), RunLock(path)
        except InkwellError:
            shutil.rmtree(path, ignore_errors=True)
            raise

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Open the claimed directory of a run to resume, and delete incomplete files of killed processes.

        Raises:
            UsageError: If it is not a run directory.
            InkwellError: If `run.json` is damaged or of another layout.
        """
        directory = cls(path, RunFiles(path).run)
        directory.checkpoints.clean()
        sweep(directory.path)
        sweep(directory.path / REPORT)
        return directory

    def start(self, run: Run, config: str, model: str = "", keep: bool = False) -> None:
        """Write the files of a run that is started or resumed.

        Args:
            run: The run.
            config: The text of `config.toml`; empty for a `Trainer` without configuration.
            model: The text of `model.json`, the Keras config of the model; if empty, no such file is written.
            keep: If True, keep the directory on failure; otherwise it is removed.

        Raises:
            InkwellError: If the disk is full or read-only.
        """
        try:
            write_atomic(self.path / CONFIG, config)
            if model:
                write_atomic(self.path / MODEL, model)
            (self.path / HISTORY).touch()
            self.update(run)
        except OSError as error:
            if not keep:
                shutil.rmtree(self.path, ignore_errors=True)
            raise InkwellError(f"cannot write run directory {self.path}: {error.strerror}") from error

    def remember(self, seen: Seen) -> None:
        """Record the images that the run sees, in addition to those that it saw before it was resumed.

        Raises:
            OSError: If it cannot be written.
        """
        before = RunFiles(self.path).seen
        write_atomic(self.path / SEEN, (seen if before is None else before | seen).to_bytes())

    def cut_history(self, count: int) -> list[dict[str, Any]]:
        """Truncate `history.jsonl` to its first `count` lines, return them, and delete the result.

        Raises:
            InkwellError: If there are fewer, or one of them is damaged; nothing has been changed then.
        """
        path = self.path / HISTORY
        try:
            lines = whole_lines(read_bounded(path, MAX_HISTORY))[:count]
        except (OSError, ValueError) as error:
            raise InkwellError(f"cannot read {path}: {first_line(error)}") from error
        if len(lines) < count:
            raise InkwellError(f"{path} has {len(lines):,} lines, but the checkpoint expects {count:,}")
        values = parse_lines(lines, path)
        write_atomic(path, b"".join(lines))
        (self.path / RESULT).unlink(missing_ok=True)
        return values

    def update(self, run: Run) -> None:
        """Write the current state of `run` to `run.json`.

        Raises:
            OSError: If it cannot be written; the old file is intact.
        """
        self._ended = None if run.status == "running" else self._ended or time.time()
        state = {"status": run.status, "stop_reason": run.stop_reason, "ended": self._ended}
        known = {"classifies": run.classifies, "data": dict(run.data)}
        write_atomic(self.path / RUN, to_json({**self._fixed, **state, **known, **run.notebook.notes}))

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append lines to `history.jsonl`; lines that a full disk rejects are kept and written with the next ones.

        Raises:
            OSError: If the file could not be written; it then still ends with a complete line.
        """
        self._unwritten += "".join(to_json(line, indent=None) for line in lines)
        self.flush()

    def flush(self) -> None:
        """Write pending lines of the history that a full disk rejected earlier.

        Raises:
            OSError: If the disk still rejects them.
        """
        with (self.path / HISTORY).open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            rest = self._unwritten.encode()
            try:
                while rest:  # a disk that is filling up may accept only a part
                    rest = rest[file.write(rest) :]
            except OSError:
                file.truncate(end)
                raise
        self._unwritten = ""

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`, which marks the run as finished.

        Raises:
            InkwellError: If it, or pending lines of the history, cannot be written.
        """
        try:
            self.flush()
            write_atomic(self.path / RESULT, to_json(result))
        except OSError as error:
            raise InkwellError(f"cannot write the result to {self.path}: {error.strerror}") from error
