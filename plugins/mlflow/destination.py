"""The experiment and run that a run directory is logged to: named by the user or the environment, or created.

Only the environment may specify ids, as with the store: an id found in a run directory alone is ignored.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plugins.mlflow import fields, page
from plugins.mlflow.names import Text
from trainer.errors import InkwellError
from trainer.text import command, in_line

if TYPE_CHECKING:
    from mlflow.client import MlflowClient
    from mlflow.entities import Experiment, Run

    from plugins.mlflow.store import Store

DEFAULT = "inkwell"
GIVEN = "inkwell.given"
"""Tag of a run that was created outside Inkwell."""
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "ENDPOINT_NOT_FOUND")
"""MLflow's error codes for an id that is unknown or malformed."""


@dataclass(frozen=True)
class Destination:
    """The experiment and MLflow run to log to.

    Attributes:
        experiment: Name of the experiment, created if missing; empty if only its id is known.
        experiment_id: Id of the experiment, which must exist; empty if none is specified.
        run_id: Id of the MLflow run, which must exist; empty for a new one.
    """

    experiment: Text = DEFAULT
    experiment_id: Text = ""
    run_id: Text = ""


def destination(experiment: str | None, environment: Mapping[str, str] = os.environ) -> Destination:
    """Return where to log: as the user specified, else as MLflow itself reads the environment, else the default.

    Args:
        experiment: Name of the experiment in the configuration; None if it specifies none.
        environment: Environment variables; Azure ML, Databricks and `mlflow run` set some.
    """
    run_id = environment.get("MLFLOW_RUN_ID", "")
    if experiment:
        return Destination(experiment, run_id=run_id)
    name, experiment_id = environment.get("MLFLOW_EXPERIMENT_NAME", ""), environment.get("MLFLOW_EXPERIMENT_ID", "")
    return Destination(name or ("" if experiment_id or run_id else DEFAULT), experiment_id, run_id)


def confirmed(claimed: Destination, environment: Mapping[str, str] = os.environ) -> Destination:
    """Return the destination in a run directory, without ids that the environment does not confirm.

    Args:
        claimed: The destination in `mlflow.json`, a file that may come from somebody else.
        environment: Environment variables of this process.
    """
    own = destination(None, environment)
    experiment_id = claimed.experiment_id if claimed.experiment_id == own.experiment_id else ""
    run_id = claimed.run_id if claimed.run_id == own.run_id else ""
    return Destination(claimed.experiment or ("" if experiment_id or run_id else DEFAULT), experiment_id, run_id)


def experiment_of(client: MlflowClient, store: Store, wanted: Destination) -> str:
    """Return the id of the experiment, creating a named experiment that is missing.

    Raises:
        InkwellError: If it is deleted, its id does not exist, or id and name belong to different experiments.
        MlflowException: If the store refuses.
    """
    found = _by_id(client, wanted) if wanted.experiment_id else _by_name(client, store, wanted.experiment or DEFAULT)
    if found.lifecycle_stage != "active":
        restore = _at(store, f"experiments restore --experiment-id {found.experiment_id}")
        raise InkwellError(
            f"cannot log to experiment {in_line(found.name)!r}: it was deleted; restore it with {restore}, {_or_else()}"
        )
    page.prepare(client, found)
    experiment_id: str = found.experiment_id
    return experiment_id


def _by_id(client: MlflowClient, wanted: Destination) -> Experiment:
    from mlflow.exceptions import MlflowException

    shown = f"experiment {in_line(wanted.experiment_id)} (MLFLOW_EXPERIMENT_ID)"
    try:
        found = client.get_experiment(wanted.experiment_id)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        raise InkwellError(f"cannot log to {shown}: no experiment has this id; correct it, {_or_else()}") from None
    if wanted.experiment and found.name != wanted.experiment:
        names = f"{in_line(found.name)!r}, and MLFLOW_EXPERIMENT_NAME says {in_line(wanted.experiment)!r}"
        raise InkwellError(f"cannot log to {shown}: its name is {names}; unset one of them, {_or_else()}")
    return found


def _by_name(client: MlflowClient, store: Store, name: str) -> Experiment:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name, store.artifacts)
        except MlflowException:  # another machine may have created it first
            if client.get_experiment_by_name(name) is None:
                raise
        found = client.get_experiment_by_name(name)
    return found


def given_run(client: MlflowClient, store: Store, wanted: Destination) -> Run | None:
    """Return the run in `MLFLOW_RUN_ID`, checked against the experiment named with it; None if the variable is unset.

    Raises:
        InkwellError: If its id does not exist, or it is deleted or in another experiment.
        MlflowException: If the store refuses.
    """
    from mlflow.exceptions import MlflowException

    if not wanted.run_id:
        return None
    shown = f"run {in_line(wanted.run_id)} (MLFLOW_RUN_ID)"
    try:
        run = client.get_run(wanted.run_id)
    except MlflowException as error:
        if error.error_code not in MISSING:
            raise
        raise InkwellError(f"cannot log to {shown}: no run has this id; correct it, {_or_else()}") from None
    if run.info.lifecycle_stage != "active":
        restore = _at(store, f"runs restore --run-id {run.info.run_id}")
        raise InkwellError(f"cannot log to {shown}: it was deleted; restore it with {restore}, {_or_else()}")
    if wanted.experiment or wanted.experiment_id:
        experiment = client.get_experiment(run.info.experiment_id)
        named = {wanted.experiment or experiment.name, wanted.experiment_id or experiment.experiment_id}
        if named != {experiment.name, experiment.experiment_id}:
            other = in_line(wanted.experiment or wanted.experiment_id)
            where = f"it belongs to experiment {in_line(experiment.name)!r}, but {other!r} was requested"
            raise InkwellError(f"cannot log to {shown}: {where}; name only one of them, {_or_else()}")
    return run


def take(client: MlflowClient, run: Run, identity: str) -> Run | None:
    """Claim an existing MLflow run for a run directory; return None if another run directory holds it.

    Args:
        client: The client.
        run: The run named by the environment.
        identity: Identity of the run directory.
    """
    holder = run.data.tags.get(fields.IDENTITY)
    if holder is None:
        for name, value in ((GIVEN, "true"), (fields.IDENTITY, identity)):
            client.set_tag(run.info.run_id, name, value)
        return client.get_run(run.info.run_id)
    return run if holder == identity else None


def _at(store: Store, arguments: str) -> str:
    """Return an `mlflow` command for a store."""
    return f"MLFLOW_TRACKING_URI={shlex.quote(store.shown)} mlflow {arguments}"


def _or_else() -> str:
    return f"or send the run to another with {command('mlflow_sync')} RUN --experiment NAME"
