"""Writes down what happens in a run, and keeps training going when the disk does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from trainer import checkpoint
from trainer.checkpoint import Checkpoint, Checkpoints, Snapshot, step_of
from trainer.data.seen import Seen
from trainer.errors import CheckpointError, LayoutError, TrainingFailed
from trainer.run import Notebook, Run
from trainer.runs.directory import RunDirectory, anew, claim
from trainer.runs.files import CHECKPOINTS, RESULT
from trainer.runs.lock import RunLock
from trainer.runs.manifest import Manifest, Saved, read_saved


class Recorder:
    """The engine's hand in the run directory; without one it keeps the history in memory and saves nothing.

    Checkpoints are written by a worker while training continues, one at a time. A write that fails in mid-run costs one
    warning for its kind; `check_saved` and `finish` fail if the last checkpoint, the history or the result is not on
    the disk.

    Args:
        run: The run to record.
        path: The run directory, which `open` makes; None records in memory alone.
    """

    def __init__(self, run: Run, path: Path | None) -> None:
        self.run, self.path = run, path
        self.directory: RunDirectory | None = None
        self.resumed = False
        self._lock: RunLock | None = None
        self._damaged: list[Path] = []
        self._warned: set[str] = set()
        self._unsaved = ""
        self._worker = ThreadPoolExecutor(2, thread_name_prefix="recorder")  # a checkpoint does not wait for `remember`
        self._seen: Future[Seen] | None = None
        self._writing: Future[bool] | None = None
        self._roles: dict[str, int] = {}
        self._best: Saved | None = None  # kept in memory where nothing is written

    def claim(self, lock: RunLock | None = None) -> None:
        """Take the directory of a run to resume for this process until `close`, before anything is read of its state.

        Args:
            lock: The lock, if the caller has it already.

        Raises:
            UsageError: If the directory is that of no run, or its run is still running.
            InkwellError: If it cannot be read or written.
        """
        if self.path is not None:
            self._keep(lock or claim(self.path))

    def _keep(self, lock: RunLock) -> None:
        self._lock = lock
        if not lock.exclusive:
            self.run.warn(f"the file system of {self.path} has no locks; see to it that no second process trains there")

    def open(self, resumed: bool = False) -> None:
        """Make the run directory, or open that of a run to resume and set aside what is damaged in it.

        Raises:
            UsageError: If the directory exists, or is that of no run.
            InkwellError: If it cannot be made, read or written.
        """
        if self.path is None:
            return
        run, self.resumed = self.run, resumed
        if resumed:
            self.directory = RunDirectory.reopen(self.path)
        else:
            self.directory, lock = RunDirectory.create(self.path)
            self._keep(lock)
        run.name, run.directory = self.directory.path.name, self.directory.path
        run.notebook = Notebook(dict(self.directory.notes), self.status)
        self._set_damaged_aside(self.directory)

    def start(self, config: str, model: str = "") -> None:
        """Write `config.toml`, `model.json` and `run.json`; nothing was written before.

        Args:
            config: The text of `config.toml`; empty for a `Trainer` without configuration.
            model: The Keras config of the model, JSON; empty if the configuration names it.

        Raises:
            InkwellError: If the disk is full or read-only.
        """
        if self.directory is not None:
            self.directory.start(self.run, config, model, keep=self.resumed)

    def remember(self, find_out: Callable[[], Seen]) -> None:
        """Have a worker find out which images the run sees, and write that down; `seen` waits for it."""

        def remembered() -> Seen:
            seen = find_out()
            self._try("seen.bin", lambda directory: directory.remember(seen))
            return seen

        self._seen = self._worker.submit(remembered)

    @property
    def seen(self) -> Seen | None:
        """The images that the run is trained and validated on in this process; None if that is unknown."""
        return self._seen.result() if self._seen is not None else None

    def newest(self) -> Saved:
        """Return the newest sound checkpoint to resume from; damaged ones are set aside by `open`, said aloud.

        Raises:
            CheckpointError: If there is none.
            LayoutError: If another version wrote the newest.
        """
        if self.path is None:
            raise CheckpointError("a run without a directory cannot be resumed")
        found = self._sound(Checkpoints(self.path / CHECKPOINTS).newest())
        if found is None:
            raise CheckpointError(f"run {self.path} has no sound checkpoint to resume from; {anew(self.path)}")
        return found

    def good(self, before: int) -> Saved:
        """Return the newest sound checkpoint whose numbers are finite, and point `last` to it; later ones are given up.

        Args:
            before: A step, counted from 1; a checkpoint from before it is preferred.

        Raises:
            CheckpointError: If there is none.
        """
        self.collect()
        if self.directory is None:
            raise CheckpointError("a run without a directory has no checkpoints")
        saved = self.directory.checkpoints
        paths = saved.by_step()
        early = [path for path in paths if step_of(path) < before]
        found = self._sound([*early, *(path for path in reversed(paths) if path not in early)], finite=True)
        self._set_damaged_aside(self.directory)
        if found is None:
            raise CheckpointError(f"run {self.run.directory} has no sound checkpoint to go back to")
        saved.go_back(found.path)
        return found

    def _sound(self, paths: Iterable[Path], finite: bool = False) -> Saved | None:
        """Return the first of `paths` that can be read and, if asked for, holds no NaN and nothing infinite."""
        for path in paths:
            try:
                found = read_saved(path)
            except LayoutError:
                raise  # another version can read it
            except CheckpointError as error:
                self.run.warn(f"{error}; it is set aside and the one before it is used")
                self._damaged.append(path)
                continue
            if not finite or checkpoint.is_finite(found.checkpoint):
                return found
        return None

    def _set_damaged_aside(self, directory: RunDirectory) -> None:
        while self._damaged:
            directory.checkpoints.set_aside(self._damaged.pop())

    @property
    def done(self) -> bool:
        """Whether the run has a result."""
        return self.directory is not None and (self.directory.path / RESULT).exists()

    def cut_history(self, lines: int) -> None:
        """Take the history back to its first `lines` lines.

        Raises:
            InkwellError: If there are fewer.
        """
        if self.directory is not None:
            self.run.history = self.directory.cut_history(lines)

    def status(self) -> None:
        """Bring `run.json` up to date."""
        self._try("run.json", lambda directory: directory.update(self.run))

    def history(self, kind: str, values: Mapping[str, Any]) -> None:
        """Append a line to the history: `kind` is `epoch`, `validation` or `recovery`."""
        self._append([self._line(kind, self.run.step, values)])

    def batches(self, numbers: Mapping[int, Mapping[str, Any]]) -> None:
        """Append a line of the kind `batch` for each step, counted from 1, with what was noted of its batch."""
        if numbers:
            self._append([self._line("batch", step, values) for step, values in numbers.items()])

    def _line(self, kind: str, step: int, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"kind": kind, "epoch": self.run.epoch, "step": step, "time": round(time.time(), 3), **values}

    def _append(self, lines: list[dict[str, Any]]) -> None:
        self.run.history += lines
        self._try("history.jsonl", lambda directory: directory.append(lines))

    def keeps(self, roles: Sequence[str]) -> bool:
        """Return whether a checkpoint for these roles is kept: where nothing is written, only that of `best` is."""
        return self.directory is not None or "best" in roles

    def save(self, copy: Snapshot, roles: list[str], drops: list[str]) -> None:
        """Have the worker write a checkpoint that `roles` will point to, and drop others; waits for the one before.

        Where nothing is written, the one for `best` is kept in memory.
        """
        if self.directory is None:
            kept = Checkpoint(Path(copy.name), copy.manifest, copy.arrays)
            self._best = Saved(kept, Manifest.parse(copy.manifest, "the run"))
            self.run.saved["best"] = self.run.step
            return
        self.collect()
        self._unsaved = copy.name
        self._roles = dict.fromkeys(roles, self.run.step)
        self._writing = self._worker.submit(self._try, "checkpoint", lambda d: d.checkpoints.write(copy, roles, drops))

    def collect(self) -> None:
        """Wait for the checkpoint being written, and note where its roles point if it is on the disk."""
        writing, self._writing = self._writing, None
        if writing is not None and writing.result():
            self.run.saved |= self._roles
            self._unsaved = ""

    def best(self) -> Saved | None:
        """Return the checkpoint that the role `best` points to, verified or from memory, if there is one.

        Raises:
            CheckpointError: If it is damaged.
        """
        if self.directory is None:
            return self._best
        path = self.directory.checkpoints.role("best")
        return read_saved(path) if path is not None else None

    def check_saved(self) -> None:
        """Refuse to call a run done whose last checkpoint is not on the disk.

        Raises:
            TrainingFailed: If the last save failed.
        """
        self.collect()
        if self._unsaved:
            raise TrainingFailed(f"the last checkpoint ({self._unsaved}) could not be written to {self.run.directory}")

    def finish(self) -> None:
        """Write `result.json`.

        Raises:
            InkwellError: If it, or history that was held back, cannot be written.
        """
        if self.directory is not None:
            self.directory.finish(self.run.result.to_dict())

    def withdraw(self) -> None:
        """Delete the result of a run that failed after it."""
        if self.directory is not None:
            (self.directory.path / RESULT).unlink(missing_ok=True)

    def close(self) -> None:
        """Wait for the workers and end them; let go of the run directory."""
        self._worker.shutdown()
        if self._lock is not None:
            self._lock.release()

    def _try(self, what: str, write: Callable[[RunDirectory], object]) -> bool:
        """Return whether `write` went through; if not, the user is told, once for each kind of file."""
        if self.directory is None:
            return True
        try:
            write(self.directory)
        except OSError as error:
            if what not in self._warned:
                continues = "; training continues" if self.run.status == "running" else ""
                self.run.warn(f"{what} cannot be written at step {self.run.step}: {error.strerror}{continues}")
            self._warned.add(what)
            return False
        return True
