"""MLflow as a mirror of the run directory.

A worker thread imports MLflow, follows `history.jsonl` and sends what is new. Training never waits for it,
and whatever happens to the store, the run directory has everything.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import sqlite3
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import BaseFileLock, FileLock, Timeout

from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.rundir import CONFIG, HISTORY, RESULT, RUN, read_json

if TYPE_CHECKING:
    from trainer.run import Run

POLL_SECONDS = 2.0
CROWD_SECONDS = 60.0
STATUS = {"done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
# Beginnings of names; the seed and the model's arguments are parameters, images per second has its own curve.
RESULT_NUMBERS = ("best_", "data_", "epochs", "params_count", "steps", "test_", "time_", "train_s", "wall_s")
CLIENT_SETTINGS = {  # where the user has none: give up within seconds, keep off stderr, do not phone home
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@plugins.register("mlflow")
class Mlflow(Plugin):
    """Mirror the run in MLflow: its parameters, history, result, report, and how it ended.

    A store that fails costs one warning; a run without a directory is not mirrored.

    Args:
        experiment: Name of the MLflow experiment.
        tracking_uri: Where the store is; default: `MLFLOW_TRACKING_URI` of the environment, else a SQLite
            file in the run root, the folder in which run directories lie.
        exit_seconds: How long the end of a run waits for the rest to be sent: in all for a server, after each
            sign of life for a local file.
    """

    name = "mlflow"
    observer = True

    def __init__(
        self, experiment: str = "inkwell", tracking_uri: str | None = None, exit_seconds: float = 10.0
    ) -> None:
        self.experiment = experiment
        self.tracking_uri = tracking_uri
        self.exit_seconds = exit_seconds
        self._mirror: Mirror | None = None
        self._noted = self._warned = False

    def on_fit_start(self, run: Run) -> None:
        """Start the worker; the import of MLflow is its first work."""
        self._mirror, self._noted, self._warned = None, False, False
        if run.directory is None:
            return
        for name, value in CLIENT_SETTINGS.items():
            os.environ.setdefault(name, value)
        uri = self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        store = Store.at(uri, run.directory.absolute().parent)
        known = run.notes.get("mlflow", {})
        resumed = known.get("run_id", "") if known.get("tracking_uri") == store.shown else ""
        self._mirror = Mirror(store, self.experiment, run, run.directory.absolute(), resumed)
        self._mirror.start()

    def on_epoch_end(self, run: Run) -> None:
        """Pass on what the worker has to tell; it reads the line of this epoch by itself."""
        self._tell(run)

    def on_fit_end(self, run: Run) -> None:
        """Let the worker send the rest, within `exit_seconds`."""
        if self._mirror is not None:
            self._mirror.finish(STATUS.get(run.status, "FAILED"), run.stop_reason, self.exit_seconds)
            self._tell(run)

    def _tell(self, run: Run) -> None:
        mirror = self._mirror
        if mirror is None:
            return
        if mirror.facts and not self._noted:
            self._noted = True
            run.note("mlflow", mirror.facts)
        if mirror.failure and not self._warned:
            self._warned = True
            run.warn(f"mlflow: {mirror.failure}; the run directory has everything")


class Mirror(threading.Thread):
    """The worker: only this thread touches MLflow, so only it can hang, and then it is left behind.

    Args:
        store: Where MLflow keeps things.
        experiment: Name of the experiment.
        run: The run to mirror.
        directory: Its directory.
        resumed: Id of the MLflow run to go on with; empty for a new one.

    Attributes:
        facts: The MLflow run, for `run.json`; empty until it exists.
        failure: Why the mirror is incomplete; empty while all is well.
    """

    def __init__(self, store: Store, experiment: str, run: Run, directory: Path, resumed: str = "") -> None:
        super().__init__(name="mlflow", daemon=True)
        self.store, self.experiment, self.run_name, self.directory = store, experiment, run.name, directory
        self.params = {key: str(value) for key, value in flatten(run.config, ".").items()}
        self.tags = {
            "data": run.data.get("name"),
            "data_digest": run.data.get("digest"),
            "run_dir": directory,
        }
        self.journal = Journal(directory / HISTORY)
        self.resumed = resumed
        self.facts: dict[str, str] = {}
        self.failure = ""
        self._ending = threading.Event()
        self._end = ("FAILED", "")
        self._pieces = 0

    def run(self) -> None:
        """Mirror the run directory until `finish` is called."""
        try:
            for _ in self._work():
                self._pieces += 1
        except Exception as error:  # whatever MLflow, its store or its server do, training goes on
            self._fail(reason(error))

    def finish(self, status: str, stop_reason: str, seconds: float) -> None:
        """Have the rest sent and wait for it.

        A server gets `seconds` in all. A local file gets them after each sign of life, and `CROWD_SECONDS` in all:
        many processes that start at once wait for a processor and for one another, and do not hang.

        Args:
            status: MLflow's word for how the run ended.
            stop_reason: Why it ended; may be empty.
            seconds: How long to wait.
        """
        self._end = (status, stop_reason)
        self._ending.set()
        asked = heard = time.monotonic()
        pieces, worked = self._pieces, time.process_time()
        while self.is_alive():
            self.join(0.05)
            now = time.monotonic()
            crowded = self.store.database is not None and now - asked < CROWD_SECONDS
            # Training is over, so what the process still computes is the worker's.
            if crowded and (self._pieces > pieces or time.process_time() - worked > 0.1):
                heard, pieces, worked = now, self._pieces, time.process_time()
            if now - heard > seconds:
                return self._fail(f"not done within {now - asked:.0f} s")

    def _fail(self, text: str) -> None:
        self.failure = f"{self.store.shown}: {text.replace(self.store.uri, self.store.shown)}"

    def _work(self) -> Iterator[None]:
        """Yield after each piece of work, as a sign of life."""
        import_client(self.store)
        yield
        uploader = yield from self._open()
        self.facts = {
            "run_id": uploader.run_id,
            "experiment_id": uploader.experiment_id,
            "tracking_uri": self.store.shown,
        }
        uploader.params(self.params)
        yield
        while not self._ending.wait(POLL_SECONDS):
            uploader.history(self.journal.read())
            yield
        uploader.history(self.journal.read())
        yield
        if (self.directory / RESULT).exists():
            uploader.result(read_json(self.directory / RESULT))
        for path in artifacts(self.directory):
            uploader.artifact(path, path.parent.relative_to(self.directory))
            yield
        uploader.end(*self._end)

    def _open(self) -> Generator[None, None, Uploader]:
        """Open the store alone: processes that open a new SQLite store together crash one another."""
        lock = self.store.lock()
        while lock is not None and not taken(lock):
            yield
        try:
            return Uploader(self.store, self.experiment, self.run_name, self.tags, self.resumed)
        finally:
            if lock is not None:
                lock.release()


class Uploader:
    """One MLflow run and the client that writes to it; any method may raise or hang.

    Args:
        store: Where MLflow keeps things.
        experiment: Name of the experiment; made if it does not exist.
        name: Name of the run.
        tags: Tags of the run; those that are None are left out.
        resumed: Id of a run to go on with: what it has is not sent again. Empty, or a run that is gone: a new one.
    """

    def __init__(self, store: Store, experiment: str, name: str, tags: Mapping[str, Any], resumed: str = "") -> None:
        from mlflow.client import MlflowClient

        self.client = MlflowClient(tracking_uri=store.uri)
        self.experiment_id = self._find_or_create(experiment, store.artifacts)
        self.sent_params: dict[str, str] = {}
        self.sent_step = -1
        if not (resumed and self._reattach(resumed)):
            texts = {key: str(value) for key, value in tags.items() if value is not None}
            self.run_id = self.client.create_run(self.experiment_id, run_name=name, tags=texts).info.run_id

    def _reattach(self, run_id: str) -> bool:
        """Go on with a run, and note what it has; return whether it is there."""
        from mlflow.exceptions import MlflowException

        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return False
        self.client.update_run(run_id, status="RUNNING")
        self.run_id, self.sent_params = run_id, dict(run.data.params)
        points = self.client.get_metric_history(run_id, "epoch")
        self.sent_step = max((point.step for point in points), default=-1)
        return True

    def _find_or_create(self, experiment: str, artifacts: str | None) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(experiment)
        if found is None:
            try:
                return self.client.create_experiment(experiment, artifacts)
            except MlflowException:  # another process may have been quicker
                found = self.client.get_experiment_by_name(experiment)
                if found is None:
                    raise
        return found.experiment_id

    def params(self, values: Mapping[str, str]) -> None:
        """Send parameters, cut to the length that MLflow takes; one that changed since becomes a tag."""
        from mlflow.entities import Param

        texts = {allowed(key): value[:6000] for key, value in values.items()}
        entities = [Param(key, value) for key, value in texts.items() if key not in self.sent_params]
        self.client.log_batch(self.run_id, params=entities)  # as several requests if they are many
        for key, value in texts.items():
            if self.sent_params.get(key, value) != value:
                self.client.set_tag(self.run_id, f"resumed.{key}", value)

    def history(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Send the numbers of epochs and validations as metrics, at the optimizer step of their line."""
        new = [line for line in lines if line["step"] > self.sent_step and line["kind"] != "recovery"]
        self._metrics([(key, line[key], line["step"]) for line in new for key in line if key != "step"])

    def result(self, result: Mapping[str, Any]) -> None:
        """Send the numbers of `result.json` as metrics (`test_accuracy`, `best_epoch`) at the last step."""
        numbers = flatten(result, "_").items()
        self._metrics([(key, value, result["steps"]) for key, value in numbers if key.startswith(RESULT_NUMBERS)])

    def _metrics(self, points: Sequence[tuple[str, Any, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entities = [Metric(allowed(k), float(v), now, step) for k, v, step in points if is_number(v)]
        self.client.log_batch(self.run_id, metrics=entities)

    def artifact(self, path: Path, folder: Path) -> None:
        """Send a file into `folder` of the run's artifacts."""
        self.client.log_artifact(self.run_id, str(path), None if folder == Path() else folder.as_posix())

    def end(self, status: str, stop_reason: str) -> None:
        """Say how and why the run ended."""
        self.client.set_tag(self.run_id, "stop_reason", stop_reason[:8000])
        self.client.set_terminated(self.run_id, status)


class Journal:
    """Reads the lines that were added to a JSON lines file since the last look.

    Args:
        path: The file; may not exist yet. Where it was cut back meanwhile, what differs is read again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: list[bytes] = []

    def read(self) -> list[dict[str, Any]]:
        """Return the new lines that are whole; a line still being written is left for the next look."""
        if not self.path.exists():
            return []
        lines = [line for line in self.path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        known = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(lines, self._read, strict=False)))
        self._read = lines
        return [json.loads(line) for line in lines[known:]]


@dataclass(frozen=True)
class Store:
    """Where MLflow keeps things.

    Attributes:
        uri: The tracking URI.
        database: The file of a SQLite store, beside which its lock and artifacts lie; else None.
    """

    uri: str
    database: Path | None

    @classmethod
    def at(cls, uri: str | None, root: Path) -> Store:
        """Return the store at `uri`, by default a SQLite file in `root`; a relative path is made absolute."""
        uri = uri or f"sqlite:///{(root / 'mlflow.db').as_posix()}"
        if not uri.startswith("sqlite:///"):
            return cls(uri, None)
        database = Path(uri.removeprefix("sqlite:///")).absolute()
        return cls(f"sqlite:///{database.as_posix()}", database)

    @property
    def shown(self) -> str:
        """The URI without a password."""
        return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", self.uri)

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment puts its artifacts; None where a server decides."""
        return None if self.database is None else (self.database.parent / "mlartifacts").as_uri()

    def lock(self) -> BaseFileLock | None:
        """Return the lock to hold while the store is opened; None for a server, which needs none."""
        if self.database is None:
            return None
        self.database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self.database}.lock")


def taken(lock: BaseFileLock) -> bool:
    """Return whether `lock` could be acquired within a second."""
    try:
        lock.acquire(timeout=1.0)
    except Timeout:
        return False
    return True


def import_client(store: Store) -> None:
    """Import what MLflow needs for `store`, which takes seconds, and have its retries be silent."""
    import mlflow

    if store.database is not None:
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    retries = logging.getLogger("urllib3.connectionpool")
    if retries.level == logging.NOTSET:  # it would print a line for each retry
        retries.setLevel(logging.ERROR)


def artifacts(directory: Path) -> list[Path]:
    """Return the files of a run directory that MLflow gets a copy of."""
    files = [directory / name for name in (CONFIG, HISTORY, RESULT)]
    return [path for path in [*files, *sorted((directory / "report").rglob("*"))] if path.is_file()]


def flatten(values: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """Return nested mappings as one: `{"a": {"b": 1}}` as `{"a.b": 1}`; lists become JSON."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}{separator}{inner}": leaf for inner, leaf in flatten(value, separator).items()}
        else:
            flat[key] = json.dumps(value, default=str) if isinstance(value, list | tuple) else value
    return flat


def is_number(value: Any) -> bool:
    """Return whether `value` can be a metric; not a number (NaN) can."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def allowed(name: str) -> str:
    """Return `name` as MLflow takes it for parameters and metrics."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:250]


def reason(error: BaseException) -> str:
    """Return one line: what the system said (`Connection refused`) beneath the layers of libraries."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(inner)
    root = next((e for e in reversed(chain) if isinstance(e, OSError | sqlite3.Error)), error)
    text = str(root).strip().partition("\n")[0] or type(root).__name__
    return text if len(text) <= 160 else f"{text[:159]}…"


def ui_command(run_dir: Path) -> str | None:
    """Return the command that shows a run in MLflow's pages; None if it is in no store of this machine."""
    if not (run_dir / RUN).exists():
        return None
    uri = read_json(run_dir / RUN).get("mlflow", {}).get("tracking_uri", "")
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}" if uri.startswith("sqlite:") else None
