"""Brings one run directory and MLflow into agreement, from the directory alone, as often as one likes."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from plugins.mlflow import fields, note, page
from plugins.mlflow.journal import Journal
from plugins.mlflow.points import Earlier, Point, of_line, points, ranges
from plugins.mlflow.remote import RemoteRun, import_client
from plugins.mlflow.state import State
from plugins.mlflow.store import Store
from plugins.mlflow.system import SYSTEM
from trainer.errors import InkwellError
from trainer.runs.files import CONFIG, HISTORY, RESULT, RunFiles
from trainer.runs.provenance import without_password


class Mirror:
    """One run directory and its counterpart in MLflow.

    Of the directory only `mlflow.json` is written. Whoever calls a method holds the lock of the directory.

    Args:
        run_dir: The run directory.
        store: Where MLflow keeps things.
        state: How far it got before.
        alive: Called after each piece of work.
    """

    def __init__(self, run_dir: Path, store: Store, state: State, alive: Callable[[], None] = lambda: None) -> None:
        self.run_dir, self.store, self.alive = run_dir, store, alive
        self.state = state.at(store)
        self.history = Journal(run_dir / HISTORY, self.state.history)
        self.system = Journal(run_dir / SYSTEM, self.state.system)
        self._remote: RemoteRun | None = None
        self._earlier: Earlier | None = None

    def update(self, ended: str | None) -> None:
        """Send whatever MLflow is missing.

        Args:
            ended: How the run ended (`"done"`), as in `run.json`; None while it is running.

        Raises:
            Exception: Whatever MLflow, its store or its server raise; what was sent until then is remembered.
        """
        remote = self._open(ended)
        try:
            self._send_lines(remote)
            if ended is not None:
                self._end(remote, ended)
        finally:
            self._remember()

    def _open(self, ended: str | None) -> RemoteRun:
        if self._remote is not None:
            return self._remote
        import_client(self.store)
        self.alive()
        files = RunFiles(self.run_dir)
        name = fields.title(files.name, fields.model_name(files.config))
        remote = RemoteRun.open(self.store, self.state, self.run_dir, files.run, name, self.alive)
        if remote.run_id != self.state.run_id:
            self.state = State(self.state.settings, self.state.tracking_uri, remote.run_id, remote.experiment_id)
            self.history, self.system = Journal(self.history.path), Journal(self.system.path)
            self._remember()
        if not remote.fresh:
            self._earlier = Earlier(remote.points, self.history.mark.step)
            if ended is None:
                remote.resumed()
        tags, dataset = fields.tags(self.run_dir, files.run), fields.dataset(files.run.data)
        remote.describe(fields.params(files.config, files.run.data), tags)
        if dataset is not None:
            remote.use(dataset)
        self._note(remote, files, None)
        self._send_files(remote, [self.run_dir / CONFIG])
        self._remote = remote
        return remote

    def _send_lines(self, remote: RemoteRun) -> None:
        while lines := self.history.read():
            if self.history.rewound:
                self._earlier = Earlier(remote.points, self.history.mark.step)
            self._send(remote, [point for line in lines for point in of_line(line)])
            self.history.done()
            self.alive()
        while lines := self.system.read():
            named = [({k: v for k, v in line.items() if k not in ("step", "time")}, line) for line in lines]
            remote.send([p for values, line in named for p in points(values, line["step"], line["time"], "system/")])
            self.system.done()
            self.alive()

    def _send(self, remote: RemoteRun, found: list[Point]) -> None:
        if self._earlier is None:
            remote.send(found)
            return
        remote.send(self._earlier.missing(found))
        self._note_superseded(remote, self._earlier.superseded)

    def _note_superseded(self, remote: RemoteRun, steps: set[int]) -> None:
        """Say of which steps MLflow shows values that the run took back."""
        if not steps <= set(self.state.superseded):
            self.state = replace(self.state, superseded=tuple(sorted({*self.state.superseded, *steps})))
            remote.tag("superseded_steps", ranges(self.state.superseded))

    def _end(self, remote: RemoteRun, ended: str) -> None:
        files, last = RunFiles(self.run_dir), self.history.mark
        self._send(remote, fields.result_points(files.result, last.time))
        remote.describe(fields.result_params(files.result), {})
        self._note(remote, files, ended)
        if self._earlier is not None:
            self._note_superseded(remote, self._earlier.left(last.step))
        self._send_files(remote, fields.artifacts(self.run_dir))
        remote.tag("stop_reason", files.run.stop_reason)
        remote.end(fields.STATUS[ended], files.run.ended or last.time or fields.started(files.run) / 1000)
        self.state = replace(self.state, complete=ended)

    def _note(self, remote: RemoteRun, files: RunFiles, ended: str | None) -> None:
        remote.note(note.note(files, ended, page.report_address(remote.experiment_id, remote.run_id)))

    def _send_files(self, remote: RemoteRun, paths: list[Path]) -> None:
        """Send the files that changed since they were sent."""
        for path in paths:
            name = path.relative_to(self.run_dir)
            stamp = stamp_of(path)
            if self.state.files.get(name.as_posix()) != stamp:
                remote.upload(path, name.parent)
                self.state = replace(self.state, files={**self.state.files, name.as_posix(): stamp})
                self.alive()

    def log_model(self) -> None:
        """Log the trained model of a run that ended, if that is asked for and was not done.

        Not while anything is trained in this process: it builds the model anew, and Keras has state for all of them.

        Raises:
            Exception: As `update`, and what the export of a model raises.
        """
        if not lacks_model(self.run_dir, self.state):
            return
        from plugins.mlflow.model import log_model

        state, register = self.state, self.state.settings.register or None
        log_model(self.store, state.experiment_id, state.run_id, self.run_dir, register)
        self.state = replace(state, model=True)
        self._remember()
        self.alive()

    def _remember(self) -> None:
        """Write down how far it got; where that cannot be written it is found out from MLflow the next time."""
        self.state = replace(self.state, history=self.history.mark, system=self.system.mark)
        with contextlib.suppress(OSError):
            self.state.write(self.run_dir)


def lacks_model(run_dir: Path, state: State) -> bool:
    """Return whether the model of a run is still to be logged."""
    return state.settings.log_model and not state.model and (run_dir / RESULT).exists()


def is_current(run_dir: Path, state: State, status: Any) -> bool:
    """Return whether MLflow has all of a run that ended with `status` but its model, and no file changed since."""
    return state.complete == status and all(
        state.files.get(path.relative_to(run_dir).as_posix()) == stamp_of(path) for path in fields.artifacts(run_dir)
    )


def stamp_of(path: Path) -> tuple[int, int]:
    """Return size and time of change of a file."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def reason(error: BaseException) -> str:
    """Return one line: what the system said (`Connection refused`) beneath the layers of libraries."""
    if isinstance(error, InkwellError):  # it is one, and says what to do
        return without_password(str(error))
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and len(chain) < 50:
        chain.append(inner)
    root = next((e for e in reversed(chain) if isinstance(e, OSError | sqlite3.Error)), error)
    text = without_password(str(root).strip().partition("\n")[0]) or type(root).__name__
    return text if len(text) <= 160 else f"{text[:159]}…"
