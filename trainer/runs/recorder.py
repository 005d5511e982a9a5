"""The recorder of a run, which keeps training going even if the disk fails."""

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
from trainer.runs.directory import RunDirectory, claim, restart_advice
from trainer.runs.files import CHECKPOINTS, RESULT
from trainer.runs.lock import RunLock
from trainer.runs.manifest import Manifest, Saved, read_saved


class Recorder:
    """The engine's access to the run directory; without a directory, the history is kept in memory.

    A worker writes checkpoints, one at a time, while training continues. Failed writes during training cause one
    warning per kind of file; `check_saved` and `finish` fail if the last checkpoint, the history or the result is not
    on disk.

    Args:
        run: The run to record.
        path: The run directory, which `open` creates; None records in memory only.
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
        self._best: Saved | None = None  # kept in memory if there is no run directory

    def claim(self, lock: RunLock | None = None) -> None:
        """Claim the directory of a run to resume until `close`, before any of its state is read.

        Args:
            lock: The lock, if the caller already holds it.

        Raises:
            UsageError: If it is not a run directory, or the run is still running.
            InkwellError: If it cannot be read or written.
        """
        if self.path is not None:
            self._keep(lock or claim(self.path))

    def _keep(self, lock: RunLock) -> None:
        self._lock = lock
        if not lock.exclusive:
            self.run.warn(f"the file system of {self.path} has no locks; make sure that no other process trains there")

    def open(self, resumed: bool = False) -> None:
        """Create the run directory, or open the one to resume and set damaged checkpoints aside.

        Raises:
            UsageError: If a new directory already exists, or the one to resume is not a run directory.
            InkwellError: If it cannot be created, read or written.
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
        """Write `config.toml`, `model.json` and `run.json`, the first files of a run.

        Args:
            config: The text of `config.toml`; empty for a `Trainer` without configuration.
            model: The Keras config of the model, JSON; empty if the configuration names it.

        Raises:
            InkwellError: If the disk is full or read-only.
        """
        if self.directory is not None:
            self.directory.start(self.run, config, model, keep=self.resumed)

    def remember(self, find_out: Callable[[], Seen]) -> None:
        """Let a worker determine and record the images that the run sees; `seen` waits for it."""

        def remembered() -> Seen:
            seen = find_out()
            self._try("seen.bin", lambda directory: directory.remember(seen))
            return seen

        self._seen = self._worker.submit(remembered)

    @property
    def seen(self) -> Seen | None:
        """The images that the run is trained and validated on in this process; None if unknown."""
        return self._seen.result() if self._seen is not None else None

    def newest(self) -> Saved:
        """Return the newest intact checkpoint to resume from; warn about damaged ones, which `open` sets aside.

        Raises:
            CheckpointError: If there is none.
            LayoutError: If another version wrote the newest.
        """
        if self.path is None:
            raise CheckpointError("cannot resume a run without a run directory")
        found = self._intact(Checkpoints(self.path / CHECKPOINTS).newest())
        if found is None:
            raise CheckpointError(
                f"cannot resume run {self.path}: it has no intact checkpoint; {restart_advice(self.path)}"
            )
        return found

    def good(self, before: int) -> Saved:
        """Return the newest intact checkpoint with finite numbers, point `last` to it, and drop later ones.

        Args:
            before: A step, counted from 1; checkpoints from before it are preferred.

        Raises:
            CheckpointError: If there is none.
        """
        self.collect()
        if self.directory is None:
            raise CheckpointError("cannot go back: a run without a run directory has no checkpoints")
        saved = self.directory.checkpoints
        paths = saved.by_step()
        early = [path for path in paths if step_of(path) < before]
        found = self._intact([*early, *(path for path in reversed(paths) if path not in early)], finite=True)
        self._set_damaged_aside(self.directory)
        if found is None:
            raise CheckpointError(f"cannot go back: run {self.run.directory} has no intact checkpoint")
        saved.go_back(found.path)
        return found

    def _intact(self, paths: Iterable[Path], finite: bool = False) -> Saved | None:
        """Return the first checkpoint that can be read and, if `finite`, contains only finite numbers."""
        for path in paths:
            try:
                found = read_saved(path)
            except LayoutError:
                raise  # another version can read it
            except CheckpointError as error:
                self.run.warn(f"{error}; it is set aside and the previous one is used")
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
        """True if the run has a result."""
        return self.directory is not None and (self.directory.path / RESULT).exists()

    def cut_history(self, lines: int) -> None:
        """Truncate the history to its first `lines` lines.

        Raises:
            InkwellError: If there are fewer.
        """
        if self.directory is not None:
            self.run.history = self.directory.cut_history(lines)

    def status(self) -> None:
        """Update `run.json`."""
        self._try("run.json", lambda directory: directory.update(self.run))

    def history(self, kind: str, values: Mapping[str, Any]) -> None:
        """Append a line to the history; `kind` is `epoch`, `validation` or `recovery`."""
        self._append([self._line(kind, self.run.step, values)])

    def batches(self, numbers: Mapping[int, Mapping[str, Any]]) -> None:
        """Append a line of the kind `batch` for each step, counted from 1, with the numbers of its batch."""
        if numbers:
            self._append([self._line("batch", step, values) for step, values in numbers.items()])

    def _line(self, kind: str, step: int, values: Mapping[str, Any]) -> dict[str, Any]:
        return {"kind": kind, "epoch": self.run.epoch, "step": step, "time": round(time.time(), 3), **values}

    def _append(self, lines: list[dict[str, Any]]) -> None:
        self.run.history += lines
        self._try("history.jsonl", lambda directory: directory.append(lines))

    def keeps(self, roles: Sequence[str]) -> bool:
        """Return True if a checkpoint for these roles is kept; without a run directory, only that of `best` is."""
        return self.directory is not None or "best" in roles

    def save(self, copy: Snapshot, roles: list[str], drops: list[str]) -> None:
        """Let the worker write a checkpoint, point `roles` to it and drop others; wait for the previous one first.

        Without a run directory, the checkpoint for `best` is kept in memory.
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
        """Wait for the checkpoint being written, and record its roles if it is on disk."""
        writing, self._writing = self._writing, None
        if writing is not None and writing.result():
            self.run.saved |= self._roles
            self._unsaved = ""

    def best(self) -> Saved | None:
        """Return the checkpoint with the role `best`, verified or from memory; None if there is none.

        Raises:
            CheckpointError: If it is damaged.
        """
        if self.directory is None:
            return self._best
        path = self.directory.checkpoints.role("best")
        return read_saved(path) if path is not None else None

    def check_saved(self) -> None:
        """Check that the last checkpoint is on disk.

        Raises:
            TrainingFailed: If it could not be written.
        """
        self.collect()
        if self._unsaved:
            raise TrainingFailed(f"cannot write the last checkpoint ({self._unsaved}) to {self.run.directory}")

    def finish(self) -> None:
        """Write `result.json`.

        Raises:
            InkwellError: If it, or pending lines of the history, cannot be written.
        """
        if self.directory is not None:
            self.directory.finish(self.run.result.to_dict())

    def withdraw(self) -> None:
        """Delete the result of a run that failed after writing it."""
        if self.directory is not None:
            (self.directory.path / RESULT).unlink(missing_ok=True)

    def close(self) -> None:
        """Wait for the workers, stop them, and release the run directory."""
        self._worker.shutdown()
        if self._lock is not None:
            self._lock.release()

    def _try(self, what: str, write: Callable[[RunDirectory], object]) -> bool:
        """Return True if `write` succeeds; otherwise warn, once per kind of file."""
        if self.directory is None:
            return True
        try:
            write(self.directory)
        except OSError as error:
            if what not in self._warned:
                continues = "; training continues" if self.run.status == "running" else ""
                self.run.warn(f"cannot write {what} at step {self.run.step}: {error.strerror}{continues}")
            self._warned.add(what)
            return False
        return True
