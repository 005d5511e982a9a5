"""Writes down what happens in a run, and keeps training going when the disk does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer import checkpoint
from trainer.checkpoint import Checkpoint
from trainer.errors import TrainingFailed
from trainer.run import Run
from trainer.rundir import RunDirectory


class Recorder:
    """The engine's hand in the run directory; without one it keeps the history in memory and saves nothing.

    A write that fails in mid-run costs one warning for its kind; `finish` fails if the last checkpoint, the history or
    the result is not on the disk.

    Args:
        run: The run to record.
        path: The run directory, which must not exist; None records in memory alone.
        config: Text of `config.toml`.

    Raises:
        UsageError: If the directory exists.
        InkwellError: If it cannot be made or written.
    """

    def __init__(self, run: Run, path: Path | None, config: str) -> None:
        self.run = run
        self.directory: RunDirectory | None = None
        self._warned: set[str] = set()
        self._unsaved = ""
        if path is not None:
            self.directory = RunDirectory(path)
            run.name, run.directory, run.write_notes = self.directory.path.name, self.directory.path, self.status
            self.directory.start(run, config)

    def status(self) -> None:
        """Bring `run.json` up to date."""
        self._try("run.json", lambda directory: directory.update(self.run))

    def history(self, kind: str, numbers: Mapping[str, float]) -> None:
        """Append a line to the history: `kind` is `epoch` or `validation`."""
        line = {"kind": kind, "epoch": self.run.epoch, "step": self.run.step, **numbers}
        self.run.history.append(line)
        self._try("history.jsonl", lambda directory: directory.append(line))

    def save(self, variables: Sequence[Any], manifest: Mapping[str, Any]) -> None:
        """Write the checkpoint that plugins asked for, if they did."""
        roles, self.run.saves = self.run.saves, []
        if not roles:
            return
        name = f"epoch={self.run.epoch:04d}-step={self.run.step:07d}"
        saved = self._try("checkpoint", lambda d: d.checkpoints.write(name, variables, manifest, roles))
        self._unsaved = "" if saved else name
        if saved:
            self.run.saved |= dict.fromkeys(roles, self.run.step)

    def best(self) -> Checkpoint | None:
        """Return the verified checkpoint that the role `best` points to, if there is one.

        Raises:
            CheckpointError: If it is damaged.
        """
        path = self.directory.checkpoints.role("best") if self.directory is not None else None
        return checkpoint.read(path) if path is not None else None

    def check_saved(self) -> None:
        """Refuse to call a run done whose last checkpoint is not on the disk.

        Raises:
            TrainingFailed: If the last save failed.
        """
        if self._unsaved:
            raise TrainingFailed(f"the last checkpoint ({self._unsaved}) could not be written to {self.run.directory}")

    def finish(self) -> None:
        """Write `result.json`.

        Raises:
            InkwellError: If it, or history that was held back, cannot be written.
        """
        if self.directory is not None:
            self.directory.finish(self.run.result)

    def _try(self, what: str, write: Callable[[RunDirectory], object]) -> bool:
        """Return whether `write` went through; if not, the user is told, once for each kind of file."""
        if self.directory is None:
            return True
        try:
            write(self.directory)
        except OSError as error:
            if what not in self._warned:
                goes_on = "; training goes on" if self.run.status == "running" else ""
                self.run.warn(f"{what} cannot be written at step {self.run.step}: {error.strerror}{goes_on}")
            self._warned.add(what)
            return False
        return True
