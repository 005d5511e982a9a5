"""Brings MLflow in line with one run directory, reading nothing but the directory; safe to repeat."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from plugins.mlflow import fields, note, page
from plugins.mlflow.artifacts import artifacts, copied, stamp_of, too_large
from plugins.mlflow.journal import Journal
from plugins.mlflow.points import Earlier, Point, of_line, points, ranges
from plugins.mlflow.remote import RemoteRun, import_client
from plugins.mlflow.state import Settings, State
from plugins.mlflow.store import Store
from plugins.mlflow.system import SYSTEM
from trainer.errors import InkwellError
from trainer.runs.files import HISTORY, RESULT, RunFiles
from trainer.runs.provenance import without_password

CHANNELS = ("parameters", "numbers", "status", "files", "model")
"""The parts of a run, in the order in which they are sent."""
REASON = 160
"""Maximum characters of a reason."""


class Incomplete(InkwellError):  # noqa: N818, a state rather than an error
    """Some channels of a run could not be sent.

    Args:
        failures: The exception of each channel that failed.
    """

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        causes: dict[str, list[str]] = {}
        for channel, error in failures.items():
            causes.setdefault(reason(error), []).append(channel)
        super().__init__("; ".join(f"cannot send {', '.join(what)}: {cause}" for cause, what in causes.items()))


def missing(run_dir: Path, state: State, settings: Settings, ended: str | None) -> list[str]:
    """Return the channels that MLflow is missing something of, in the order in which they are sent.

    Args:
        run_dir: The run directory.
        state: How much of the run MLflow has.
        settings: What to send.
        ended: Final status as in `run.json`; None while the run is active, when only parameters and numbers are sent.
    """
    lacks = {"parameters": state.described != (ended or "running"), "numbers": True}
    if ended is not None:
        lacks |= {
            "numbers": state.numbers != (ended, *stamp_of(run_dir / HISTORY)),
            "status": state.ended != ended,
            "files": bool(_unsent(run_dir, state)),
            "model": settings.log_model and _lacks_model(run_dir, state, settings.register),
        }
    return [channel for channel, lacking in lacks.items() if lacking]


def _unsent(run_dir: Path, state: State) -> dict[Path, tuple[int, int]]:
    """Return the files that changed since they were last sent, with size and modification time."""
    stamps = {path: stamp_of(path) for path in artifacts(run_dir)}
    return {path: s for path, s in stamps.items() if state.files.get(path.relative_to(run_dir).as_posix()) != s}


def _lacks_model(run_dir: Path, state: State, register: str) -> bool:
    """Return True if the model of a run has yet to be logged, or registered if `register` is not empty."""
    return (run_dir / RESULT).exists() and not (state.model and register in ("", state.registered))


class Mirror:
    """One run directory and its counterpart in MLflow.

    Only `mlflow.json` is written in the directory. The caller of any method must hold the directory's lock.

    Args:
        run_dir: The run directory.
        store: The MLflow store.
        state: How much of the run `store` has.
        settings: What to send; defaults to the settings in `state`, which must then be trusted.
        alive: Called after each unit of work.
        imports: Modules that register parts of the model; see `trainer.runs.trained.load_trained`.

    Attributes:
        remark: Reason why something was not sent that never can be; empty if there is none.
    """

    def __init__(
        self,
        run_dir: Path,
        store: Store,
        state: State,
        settings: Settings | None = None,
        alive: Callable[[], None] = lambda: None,
        imports: Sequence[str] = (),
    ) -> None:
        self.run_dir, self.store, self.state, self.alive, self.imports = run_dir, store, state, alive, imports
        self.settings = settings or state.settings
        self.history = Journal(run_dir / HISTORY, state.history)
        self.system = Journal(run_dir / SYSTEM, state.system)
        self.remark = ""
        self._remote: RemoteRun | None = None
        self._earlier: Earlier | None = None

    def update(self, ended: str | None, wanted: Collection[str] = CHANNELS) -> None:
        """Send whatever MLflow is missing; a failing channel does not stop the others.

        Args:
            ended: Final status as in `run.json` (`"done"`); None while the run is active.
            wanted: Channels to send. Sending the model rebuilds it using Keras's process-wide state, so nothing may be
                training at that time.

        Raises:
            Incomplete: If channels failed; whatever was sent is recorded.
            Exception: Whatever MLflow, its store or its server raises if the run cannot be opened at all.
        """
        remote = self._open(ended)
        channels, failures = self._channels(remote, ended), dict[str, Exception]()
        for channel in missing(self.run_dir, self.state, self.settings, ended):
            if channel not in wanted:
                continue
            try:
                channels[channel]()
            except Exception as error:
                failures[channel] = error
            finally:
                self._remember()
        if failures:
            raise Incomplete(failures)

    def _open(self, ended: str | None) -> RemoteRun:
        if self._remote is not None:
            return self._remote
        import_client(self.store)
        self.alive()
        files, wanted = RunFiles(self.run_dir), replace(self.state, settings=self.settings)
        remote = RemoteRun.open(self.store, wanted, self.run_dir, files.run, _title(files), self.alive)
        if remote.run_id != self.state.run_id:
            self.state = State(self.state.settings, self.state.tracking_uri, remote.run_id, remote.experiment_id)
            self.history, self.system = Journal(self.history.path), Journal(self.system.path)
            self._remember()
        if not remote.fresh:
            self._earlier = Earlier(remote.points, self.history.mark.step)
            if ended is None:
                remote.resumed()
        self._remote = remote
        return remote

    def _channels(self, remote: RemoteRun, ended: str | None) -> dict[str, Callable[[], None]]:
        """Return the function that sends each channel, keyed as in `missing`."""
        channels: dict[str, Callable[[], None]] = {
            "parameters": lambda: self._send_parameters(remote, ended),
            "numbers": lambda: self._send_numbers(remote, ended),
        }
        if ended is not None:
            channels |= {
                "status": lambda: self._send_status(remote, ended),
                "files": lambda: self._send_files(remote),
                "model": lambda: self._send_model(remote),
            }
        return channels

    def _send_parameters(self, remote: RemoteRun, ended: str | None) -> None:
        """Send what holds for the whole run and, once it has ended, what its result adds; write the description."""
        files = RunFiles(self.run_dir)
        if not self.state.described:
            remote.describe(fields.params(files.config, files.run.data), fields.tags(self.run_dir, files.run))
            if (dataset := fields.dataset(files.run.data)) is not None:
                remote.use(dataset)
        if ended is not None and (counts := fields.result_params(files.result)):
            remote.describe(counts, {})
        remote.note(note.note(files, ended, page.report_address(remote.experiment_id, remote.run_id)))
        self.state = replace(self.state, described=ended or "running")

    def _send_numbers(self, remote: RemoteRun, ended: str | None) -> None:
        """Send new lines of the history and, once the run has ended, its result."""
        stamp = stamp_of(self.history.path)
        self._send_lines(remote)
        if ended is not None:
            self._send_result(remote)
            self.state = replace(self.state, numbers=(ended, *stamp))

    def _send_lines(self, remote: RemoteRun) -> None:
        while lines := self.history.read():
            if self.history.rewound:
                self._earlier = Earlier(remote.points, self.history.mark.step)
            self._send_points(remote, [point for line in lines for point in of_line(line)])
            self.history.done()
            self.alive()
        while lines := self.system.read():
            named = [({k: v for k, v in line.items() if k not in ("step", "time")}, line) for line in lines]
            remote.send([p for values, line in named for p in points(values, line["step"], line["time"], "system/")])
            self.system.done()
            self.alive()

    def _send_points(self, remote: RemoteRun, found: list[Point]) -> None:
        if self._earlier is None:
            remote.send(found)
            return
        remote.send(self._earlier.missing(found))
        self._note_superseded(remote, self._earlier.superseded)

    def _note_superseded(self, remote: RemoteRun, steps: set[int]) -> None:
        """Tag the run with the steps whose values in MLflow were superseded."""
        if not steps <= set(self.state.superseded):
            self.state = replace(self.state, superseded=tuple(sorted({*self.state.superseded, *steps})))
            remote.tag("superseded_steps", ranges(self.state.superseded))

    def _send_result(self, remote: RemoteRun) -> None:
        files, last = RunFiles(self.run_dir), self.history.mark
        self._send_points(remote, fields.result_points(files.result, last.time))
        if self._earlier is not None:
            self._note_superseded(remote, self._earlier.left(last.step))
        remote.tag("stop_reason", files.run.stop_reason)

    def _send_status(self, remote: RemoteRun, ended: str) -> None:
        run = RunFiles(self.run_dir).run
        remote.end(fields.STATUS[ended], run.ended or self.history.mark.time or fields.started(run) / 1000)
        self.state = replace(self.state, ended=ended)

    def _send_files(self, remote: RemoteRun) -> None:
        """Send the files that changed since they were last sent, and tag those that are too large."""
        self.store.check_artifacts(remote.artifacts)
        if left_out := too_large(self.run_dir):
            remote.tag("too_large_to_send", ", ".join(left_out))
        for path, stamp in _unsent(self.run_dir, self.state).items():
            name = path.relative_to(self.run_dir)
            with copied(path, self.run_dir) as copy:
                remote.upload(copy, name.parent)
            self.state = replace(self.state, files={**self.state.files, name.as_posix(): stamp})
            self.alive()

    def _send_model(self, remote: RemoteRun) -> None:
        self.store.check_artifacts(remote.artifacts)
        from plugins.mlflow.model import log_model
        from trainer.runs.trained import NotAClassifier, Undescribed

        register = self.settings.register
        try:
            log_model(self.store, remote.experiment_id, remote.run_id, self.run_dir, register or None, self.imports)
        except (NotAClassifier, Undescribed) as error:
            if register:
                raise
            self.remark = f"the model was not logged: {reason(error)}"  # and never can be
            remote.tag("model_not_logged", reason(error))
        self.state = replace(self.state, model=True, registered=register)
        self.alive()

    def _remember(self) -> None:
        """Record the progress; if it cannot be written, MLflow is asked the next time."""
        self.state = replace(self.state, history=self.history.mark, system=self.system.mark)
        with contextlib.suppress(OSError):
            self.state.write(self.run_dir)


def _title(files: RunFiles) -> str:
    """Return the name of a run in MLflow; a damaged configuration is reported by the channel that sends it."""
    with contextlib.suppress(InkwellError):
        return fields.title(files.name, fields.architecture(files.config))
    return files.name


def reason(error: BaseException) -> str:
    """Return the root cause in one line (`Connection refused`), beneath the layers of libraries."""
    if isinstance(error, InkwellError):
        return without_password(str(error))
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and len(chain) < 50:
        chain.append(inner)
    root = next((e for e in reversed(chain) if isinstance(e, OSError | sqlite3.Error)), error)
    text = without_password(str(root).strip().partition("\n")[0]) or type(root).__name__
    return text if len(text) <= REASON else f"{text[: REASON - 1]}…"
