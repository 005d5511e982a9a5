"""The experiment and the run that a run directory is logged to: named by the user or the environment, or made.

Ids are for the environment alone to name, as the store is: an id that only a run directory names is not followed.
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
"""Tag of a run that others made."""
MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "ENDPOINT_NOT_FOUND")
"""Codes of MLflow's errors for an id that is unknown, or cannot be one."""


@dataclass(frozen=True)
class Destination:
    """Where a run is to be logged.

    Attributes:
        experiment: Name of the experiment, made if missing; empty if only its id is known.
        experiment_id: Id of the experiment, which must exist; empty for none.
        run_id: Id of the MLflow run, which must exist; empty for a new one.
    """

    experiment: Text = DEFAULT
    experiment_id: Text = ""
    run_id: Text = ""


def destination(experiment: str | None, environment: Mapping[str, str] = os.environ) -> Destination:
    """Return where to log: what the user says, else the environment as MLflow itself reads it, else the default.

    Args:
        experiment: Name of the experiment as the configuration has it; None if it does not say.
        environment: Variables; Azure ML, Databricks and `mlflow run` set some.
    """
    run_id = environment.get("MLFLOW_RUN_ID", "")
    if experiment:
        return Destination(experiment, run_id=run_id)
    name, experiment_id = environment.get("MLFLOW_EXPERIMENT_NAME", ""), environment.get("MLFLOW_EXPERIMENT_ID", "")
    return Destination(name or ("" if experiment_id or run_id else DEFAULT), experiment_id, run_id)


def confirmed(claimed: Destination, environment: Mapping[str, str] = os.environ) -> Destination:
    """Return where a run is to be logged, as its directory says, without the ids that the environment does not name.

    Args:
        claimed: What `mlflow.json` says, which may be somebody else's.
        environment: Variables of this process.
    """
    own = destination(None, environment)
    experiment_id = claimed.experiment_id if claimed.experiment_id == own.experiment_id else ""
    run_id = claimed.run_id if claimed.run_id == own.run_id else ""
    return Destination(claimed.experiment or ("" if experiment_id or run_id else DEFAULT), experiment_id, run_id)


def experiment_of(client: MlflowClient, store: Store, wanted: Destination) -> str:
    """Return the id of the experiment; it is made if it was named and is missing.

    Raises:
        InkwellError: If it is deleted, there is none of that id, or id and name belong to different ones.
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
        raise InkwellError(f"cannot log to {shown}: there is none of this id; correct it, {_or_else()}") from None
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
        except MlflowException:  # another machine may have been quicker
            if client.get_experiment_by_name(name) is None:
                raise
        found = client.get_experiment_by_name(name)
    return found


def given_run(client: MlflowClient, store: Store, wanted: Destination) -> Run | None:
    """Return the run that `MLFLOW_RUN_ID` named, in the experiment that was named with it; None if it named none.

    Raises:
        InkwellError: If there is none of that id, it is deleted, or it lies in another experiment.
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
        raise InkwellError(f"cannot log to {shown}: there is none of this id; correct it, {_or_else()}") from None
    if run.info.lifecycle_stage != "active":
        restore = _at(store, f"runs restore --run-id {run.info.run_id}")
        raise InkwellError(f"cannot log to {shown}: it was deleted; restore it with {restore}, {_or_else()}")
    if wanted.experiment or wanted.experiment_id:
        experiment = client.get_experiment(run.info.experiment_id)
        named = {wanted.experiment or experiment.name, wanted.experiment_id or experiment.experiment_id}
        if named != {experiment.name, experiment.experiment_id}:
            other = in_line(wanted.experiment or wanted.experiment_id)
            where = f"it lies in experiment {in_line(experiment.name)!r}, and {other!r} was asked for"
            raise InkwellError(f"cannot log to {shown}: {where}; name only one of them, {_or_else()}")
    return run


def take(client: MlflowClient, run: Run, identity: str) -> Run | None:
    """Make a run that others made that of a run directory; return None if another run directory has it.

    Args:
        client: The client.
        run: The run, which the environment named.
        identity: Identity of the run directory.
    """
    holder = run.data.tags.get(fields.IDENTITY)
    if holder is None:
        for name, value in ((GIVEN, "true"), (fields.IDENTITY, identity)):
            client.set_tag(run.info.run_id, name, value)
        return client.get_run(run.info.run_id)
    return run if holder == identity else None


def _at(store: Store, arguments: str) -> str:
    """Return a command of MLflow's own for a store."""
    return f"MLFLOW_TRACKING_URI={shlex.quote(store.shown)} mlflow {arguments}"


def _or_else() -> str:
    return f"or send the run to another with {command('mlflow_sync')} RUN --experiment NAME"
