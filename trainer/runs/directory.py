"""The run directory: the truth about a run, which trackers mirror. `trainer.runs.files` reads it.

runs/<name>/
  config.toml     the resolved configuration, written before step 0; empty for a `Trainer` without configuration
  model.json      the Keras config of the model, if there is no configuration that names it
  .lock           held by the process that trains here: see `trainer.runs.lock`
  run.json        layout, status, process, host, command, git commit, versions, data, and the notes of plugins
  seen.bin        hashes of the training and validation images, if they are known; see `trainer.data.seen`
  history.jsonl   one JSON object per line: batches, validations and epochs, with its `time` in Unix seconds
  checkpoints/    see `trainer.checkpoint`
  report/         pictures and tables
  error.log       tracebacks of plugins that failed, if any did
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
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"run directory {path} cannot be made: its name is not UTF-8; {ANOTHER}") from None
    check_new(path, "run directory", ANOTHER)


def check_ended(path: Path) -> None:
    """Refuse to resume a run that is still running; changes nothing.

    Raises:
        UsageError: If `path` is no run directory, or a process holds its lock.
        InkwellError: If `run.json` is damaged, or of another layout.
    """
    RunFiles(path)
    if is_held(path):
        raise still_running(path)


def claim(path: Path) -> RunLock:
    """Take the directory of a run to resume for this process, before anything is read of how far the run came.

    Raises:
        UsageError: If `path` is no run directory, or another process or thread holds its lock.
        CheckpointError: If the run has neither a checkpoint nor a result.
        InkwellError: If `run.json` is damaged, or of another layout, or the directory cannot be written to.
    """
    files = RunFiles(path)
    lock = RunLock(path)
    if not files.has_result and not any(Checkpoints(path / CHECKPOINTS).newest()):
        lock.release()
        raise CheckpointError(f"cannot resume run {path}: it ended before its first checkpoint; {anew(path)}")
    return lock


def anew(path: Path) -> str:
    """Return how to begin a run once more that cannot be resumed."""
    if not (path / CONFIG).is_file() or not (path / CONFIG).stat().st_size:
        return "start it anew, in another run directory"
    return f"start it anew: {command('fit')} --config {shlex.quote(str(path / CONFIG))}"


class RunDirectory:
    """Writes the files of one run.

    Args:
        path: The directory; see `create` and `reopen`.
        before: The `run.json` of the run when it was last active; default: a new run, which starts now.

    Attributes:
        notes: Notes that plugins kept in `run.json` when the run was last active.
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
        """Make the directory of a new run; return it with its lock.

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
        try:
            return cls(path), RunLock(path)
        except InkwellError:
            shutil.rmtree(path, ignore_errors=True)
            raise

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Open the directory of a run to resume, which is claimed, and delete what killed processes left half-written.

        Raises:
            UsageError: If it is no run directory.
            InkwellError: If `run.json` is damaged, or of another layout.
        """
        directory = cls(path, RunFiles(path).run)
        directory.checkpoints.clean()
        sweep(directory.path)
        sweep(directory.path / REPORT)
        return directory

    def start(self, run: Run, config: str, model: str = "", keep: bool = False) -> None:
        """Write the files of a run that begins or is resumed.

        Args:
            run: The run.
            config: The text of `config.toml`; empty for a `Trainer` without configuration.
            model: The text of `model.json`, the Keras config of the model; empty: there is no such file.
            keep: Keep the directory on failure; default: it is removed again.

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
            raise InkwellError(f"run directory {self.path} cannot be written: {error.strerror}") from error

    def remember(self, seen: Seen) -> None:
        """Write down which images the run sees, besides those that it saw before it was resumed.

        Raises:
            OSError: If it cannot be written.
        """
        before = RunFiles(self.path).seen
        write_atomic(self.path / SEEN, (seen if before is None else before | seen).to_bytes())

    def cut_history(self, count: int) -> list[dict[str, Any]]:
        """Cut `history.jsonl` back to its first `count` lines and return them; a result is taken back.

        Raises:
            InkwellError: If there are fewer, or one of them is damaged; nothing was changed then.
        """
        path = self.path / HISTORY
        try:
            lines = whole_lines(read_bounded(path, MAX_HISTORY))[:count]
        except (OSError, ValueError) as error:
            raise InkwellError(f"{path} cannot be read: {first_line(error)}") from error
        if len(lines) < count:
            raise InkwellError(f"{path} has {len(lines):,} lines, the checkpoint counts {count:,}")
        values = parse_lines(lines, path)
        write_atomic(path, b"".join(lines))
        (self.path / RESULT).unlink(missing_ok=True)
        return values

    def update(self, run: Run) -> None:
        """Write `run.json` as `run` stands now.

        Raises:
            OSError: If it cannot be written; the old file is intact.
        """
        self._ended = None if run.status == "running" else self._ended or time.time()
        state = {"status": run.status, "stop_reason": run.stop_reason, "ended": self._ended, "data": dict(run.data)}
        write_atomic(self.path / RUN, to_json({**self._fixed, **state, **run.notebook.notes}))

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
