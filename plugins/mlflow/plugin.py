"""Mirrors the run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from plugins.mlflow.destination import destination
from plugins.mlflow.names import registered_name
from plugins.mlflow.state import Settings, State, sync_command
from plugins.mlflow.store import Store
from plugins.mlflow.system import Sampler
from plugins.mlflow.worker import Worker
from trainer.errors import UsageError
from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.stage import Stage

if TYPE_CHECKING:
    from trainer.run import Run


@plugins.register("mlflow")
class Mlflow(Plugin):
    """Mirror the run in MLflow: its parameters, data, history, result, report, model, and how it ended.

    If the store fails, one warning is shown; whatever is missing is sent once it is back, by this run, by the next one
    in the same run root and store, or by `scripts/mlflow_sync.py`. A failure does not stop the rest: without artifact
    storage, the metrics and the final status still arrive. A run without a directory is not mirrored.

    Args:
        experiment: Name of the MLflow experiment, created if missing; default: the experiment or run named by the
            environment, as Azure ML, Databricks and `mlflow run` do, otherwise `inkwell`.
        tracking_uri: Address of the store; default: the environment variable `MLFLOW_TRACKING_URI`, otherwise a SQLite
            file in the run root, the folder that contains the run directories.
        parent: Name of a run to nest this one under, for a sweep or several seeds; created if missing.
        system_metrics: Sample system metrics (CPU, memory, disk, network, GPU) every ten seconds.
        log_model: Log the trained model.
        register: Name of a registered model that gets the trained model as a new version.
        exit_seconds: Seconds to wait for the upload at the end of a run: in total for a server, since the last sign of
            progress for a local file.

    Raises:
        UsageError: If `register` is not a valid name.
    """

    name = "mlflow"
    observer = True
    writes = True
    addresses: ClassVar[Mapping[str, str]] = {"tracking_uri": "MLFLOW_TRACKING_URI"}

    def __init__(
        self,
        experiment: str | None = None,
        tracking_uri: str | None = None,
        parent: str = "",
        system_metrics: bool = False,
        log_model: bool = True,
        register: str | None = None,
        exit_seconds: float = 10.0,
    ) -> None:
        try:
            registered_name(register or "")
        except ValueError as error:
            raise UsageError(f"plugin mlflow: {error}") from None
        self.experiment = experiment
        self.settings = Settings(parent=parent, log_model=log_model, register=register or "")
        self.tracking_uri = tracking_uri
        self.system_metrics = system_metrics
        self.exit_seconds = exit_seconds
        self._worker: Worker | None = None
        self._warned = False

    def on_fit_start(self, run: Run) -> None:
        """Start the worker, which stays idle until the first steps are done."""
        self._worker, self._warned = None, False
        if run.directory is None:
            return
        store = Store.own(self.tracking_uri, run.directory.parent)
        settings = replace(self.settings, destination=destination(self.experiment))
        state = State.of(run.directory, store).with_settings(settings)
        with suppress(OSError):  # a full disk: the mirror cannot be completed later, but the run survives
            state.write(run.directory)
        sampler = Sampler(run.directory) if self.system_metrics else None
        self._worker = Worker(run.directory, store, state, sampler)
        self._worker.start()

    def on_validation_end(self, run: Run) -> None:
        """Show the worker's warning, if any."""
        self._warn(run)

    def on_epoch_end(self, run: Run) -> None:
        """Show the worker's warning, if any; the worker reads this epoch's line itself."""
        self._warn(run)

    def on_fit_end(self, run: Run) -> None:
        """Let the worker send the rest within `exit_seconds`, and show how to send what is still missing."""
        worker = self._worker
        if worker is None:
            return
        with Stage("uploading to MLflow"):
            worker.finish("interrupted" if run.status == "running" else run.status, self.exit_seconds)
        if worker.complete:
            if worker.mirror.remark:
                run.say(f"mlflow: {worker.mirror.remark}")
            return
        sync = sync_command(worker.run_dir, worker.store, self.settings.register)
        lacking = ", ".join(worker.missing())
        later = f"what MLflow is missing ({lacking}) is in the run directory; to send it: {sync}"
        if self._warned:
            run.say(f"mlflow: {later}")
        else:
            run.warn(f"mlflow: {worker.failure}; {later}")

    def _warn(self, run: Run) -> None:
        worker = self._worker
        if worker is not None and worker.failure and not self._warned:
            self._warned = True
            run.warn(f"mlflow: {worker.failure}; training continues, and what is missing is sent when MLflow is back")
