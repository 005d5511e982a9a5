"""One MLflow run and the client that writes to it; any call may raise or block up to the client's timeouts."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.mlflow import destination, fields
from plugins.mlflow.points import Point, batches
from plugins.mlflow.state import Settings, State
from plugins.mlflow.store import Store
from trainer.runs.files import RunRecord
from trainer.startup import collector_paused

if TYPE_CHECKING:
    from mlflow.client import MlflowClient
    from mlflow.entities import Run

BATCH = 1000
CLIENT_SETTINGS = {  # defaults, which the user's own settings override: fail fast, no stderr output, no telemetry
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
PARENT = "inkwell.parent"
NOTE, NOTED = "mlflow.note.content", "inkwell.note"


def import_client(store: Store) -> None:
    """Import what MLflow needs for `store`, which takes seconds, and silence its retries."""
    for name, value in CLIENT_SETTINGS.items():
        os.environ.setdefault(name, value)
    with collector_paused():
        import mlflow.client

        if store.database is not None:
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    retries = logging.getLogger("urllib3.connectionpool")
    if retries.level == logging.NOTSET:  # it would print a line for each retry
        retries.setLevel(logging.ERROR)


class RemoteRun:
    """One run in MLflow.

    Args:
        client: The client.
        run: The run as MLflow has it.
        fresh: True if the run was just created and is still empty.
    """

    def __init__(self, client: MlflowClient, run: Run, fresh: bool) -> None:
        self.client, self.fresh = client, fresh
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.artifacts: str = run.info.artifact_uri
        self._params: Mapping[str, str] = run.data.params
        self._tags: Mapping[str, str] = run.data.tags

    @classmethod
    def open(
        cls, store: Store, state: State, run_dir: Path, record: RunRecord, name: str, alive: Callable[[], None]
    ) -> RemoteRun:
        """Return the MLflow run of a run directory, creating it and its experiment if missing.

        A run named by the environment is used if no other run directory was logged to it; otherwise the new run becomes
        its child.

        Args:
            store: The MLflow store.
            state: What is known about the MLflow run.
            run_dir: The run directory.
            record: Its `run.json`.
            name: Name of the run if it is created.
            alive: Called while another process opens the store.

        Raises:
            InkwellError: If the named experiment or run is deleted, unknown or contradicts another name.
            Exception: Whatever MLflow, its store or its server raises.
        """
        from mlflow.client import MlflowClient

        with store.alone(run_dir.parent, alive):
            store.prepare()
            client = MlflowClient(tracking_uri=store.uri)
            given = destination.given_run(client, store, state.settings.destination)
            found = given and destination.take(client, given, record.id)
            found = found or _of_this(client, state.run_id, record.id)
            if found is None:
                experiment, parent = _place(client, store, state.settings, given)
                found = _by_tag(client, experiment, fields.IDENTITY, record.id)
        alive()
        if found is not None:
            return cls(client, found, fresh=False)
        tags = fields.tags(run_dir, record) | ({"mlflow.parentRunId": parent} if parent else {})
        made = client.create_run(experiment, fields.started(record), tags, name)
        return cls(client, made, fresh=True)

    def describe(self, params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Send what holds for the whole run; a parameter that already has a different value also becomes a tag.

        On a run created outside Inkwell, MLflow's own tags (name, source, user) are left unchanged.
        """
        from mlflow.entities import Param, RunTag

        given = destination.GIVEN in self._tags
        kind = "inkwell" if given else "resumed"
        changed = {f"{kind}.{k}"[:250]: v for k, v in params.items() if self._params.get(k, v) != v}
        new = [Param(key, value) for key, value in params.items() if key not in self._params]
        kept = {k: v for k, v in tags.items() if not (given and k.startswith("mlflow.") and k in self._tags)}
        self.client.log_batch(self.run_id, params=new, tags=[RunTag(k, v) for k, v in {**kept, **changed}.items()])
        self._params = {**params, **self._params}

    def note(self, text: str) -> None:
        """Set the description, unless somebody has edited it since."""
        from mlflow.entities import RunTag

        written, text = self.client.get_run(self.run_id).data.tags, text[: fields.TAG]
        if _digest(written.get(NOTE, "")) == written.get(NOTED, _digest("")):
            self.client.log_batch(self.run_id, tags=[RunTag(NOTE, text), RunTag(NOTED, _digest(text))])

    def use(self, dataset: Mapping[str, str]) -> None:
        """Send the training dataset."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        context = [InputTag("mlflow.data.context", "training")]
        self.client.log_inputs(self.run_id, [DatasetInput(Dataset(**dataset), context)])

    def send(self, points: Sequence[Point]) -> None:
        """Send points; sending the same point with the same time again does not duplicate it."""
        from mlflow.entities import Metric

        for part in batches(points, BATCH):
            self.client.log_batch(self.run_id, [Metric(p.name, p.value, p.time, p.step) for p in part])

    def points(self, name: str) -> Sequence[Any]:
        """Return the points that MLflow has under a name."""
        found: Sequence[Any] = self.client.get_metric_history(self.run_id, name)
        return found

    def upload(self, path: Path, folder: Path) -> None:
        """Upload a file to `folder` in the run's artifacts."""
        self.client.log_artifact(self.run_id, str(path), None if folder == Path() else folder.as_posix())

    def tag(self, name: str, value: str) -> None:
        """Set a tag."""
        self.client.set_tag(self.run_id, name, value[: fields.TAG])

    def resumed(self) -> None:
        """Set the status of a run that had ended back to running."""
        self.client.update_run(self.run_id, status="RUNNING")

    def end(self, status: str, seconds: float) -> None:
        """Set the final status of the run and the time it ended, in Unix seconds."""
        self.client.set_terminated(self.run_id, status, int(seconds * 1000))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _place(client: MlflowClient, store: Store, settings: Settings, given: Run | None) -> tuple[str, str]:
    """Return the experiment for a new run, and the id of the run to nest it under, or an empty string."""
    if given is not None:
        experiment, parent = given.info.experiment_id, given.info.run_id
    else:
        experiment, parent = destination.experiment_of(client, store, settings.destination), ""
    return experiment, _parent(client, experiment, settings.parent) if settings.parent else parent


def _parent(client: MlflowClient, experiment: str, name: str) -> str:
    """Return the id of the run that groups others under a name, creating it as a finished run if missing."""
    found = _by_tag(client, experiment, PARENT, name)
    if found is None:
        found = client.create_run(experiment, tags={PARENT: name}, run_name=name)
        client.set_terminated(found.info.run_id)
    run_id: str = found.info.run_id
    return run_id


def _of_this(client: MlflowClient, run_id: str, identity: str) -> Run | None:
    """Return the run with this id; None if it does not exist, was deleted, or belongs to another run directory."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    own = run.data.tags.get(fields.IDENTITY) == identity
    return run if own and run.info.lifecycle_stage == "active" else None


def _by_tag(client: MlflowClient, experiment: str, tag: str, value: str) -> Run | None:
    """Return the run with this tag value, if there is one."""
    quoted = value.replace("'", "")
    if not quoted:
        return None
    found = client.search_runs([experiment], f"tags.`{tag}` = '{quoted}'", max_results=1)
    return found[0] if found else None
