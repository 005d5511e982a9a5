"""The trained model in MLflow: logged with its run, registered as a version, and promoted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from plugins.mlflow.fields import title
from plugins.mlflow.names import logged_name
from plugins.mlflow.remote import import_client
from trainer.errors import InkwellError, UsageError, unknown
from trainer.files import read_json, scratch
from trainer.startup import without_chatter
from trainer.text import first_line

if TYPE_CHECKING:
    import numpy as np
    from mlflow.client import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

    from plugins.mlflow.store import Store

CHECKED = 300
READY_SECONDS = 10
MODEL = "model"
DIGEST = "weights_sha256"
VERSIONS = "mlflow.modelVersions"
CHALLENGER, CHAMPION = "challenger", "champion"


class _Export(NamedTuple):
    """A model in MLflow's format: its folder, its origin, and its name in MLflow."""

    folder: Path
    origin: dict[str, Any]
    name: str


def log_model(
    store: Store, experiment_id: str, run_id: str, run_dir: Path, register: str | None, imports: Sequence[str] = ()
) -> None:
    """Log the model of a run directory to its MLflow run, and register it if requested.

    Repeating the call is safe: a model that was already sent is not sent again. Apart from the store's, no MLflow state
    is used.

    Args:
        store: The MLflow store.
        experiment_id: The experiment of the run.
        run_id: The run.
        run_dir: The run directory.
        register: Name of the registered model that gets a version with the alias `challenger`; None for none.
        imports: Modules that register parts of the model; see `trainer.runs.trained.load_trained`.

    Raises:
        InkwellError: If there is no sound checkpoint, or the export differs from the model.
        MlflowException: If the store refuses.
    """
    from mlflow.client import MlflowClient

    client = MlflowClient(tracking_uri=store.uri)
    with scratch() as place:
        folder = place / MODEL
        folder.mkdir()
        origin = _export(run_dir, folder, imports)
        name = logged_name(title(run_dir.name, origin["model"]["name"]))
        source, model_id = _send(store, client, experiment_id, run_id, _Export(folder, origin, name))
    if register:
        _register(client, register, source, run_id, model_id, origin)


def _export(run_dir: Path, folder: Path, imports: Sequence[str]) -> dict[str, Any]:
    """Write the model in MLflow's format, verified against the original in this process; return its origin."""
    with without_chatter():
        from trainer.export import mlflow_model, saved_model
    from trainer.export import SPEC
    from trainer.export.exporting import write
    from trainer.export.images import digits
    from trainer.export.original import Original
    from trainer.export.proof import Answer
    from trainer.runs.trained import load_trained

    def answer(folder: Path, images: np.ndarray) -> Answer:
        return Answer(saved_model.read(mlflow_model.saved_in(folder))(images))

    trained = load_trained(run_dir, imports)
    trained.check_classifies("log")
    images = digits(CHECKED + 1, tuple(trained.data["input_shape"]))
    write(Original.on(trained, "mnist5k", images[:1], images[1:]), "mlflow", folder, answer)
    return read_json(folder / SPEC)["origin"]


def _send(
    store: Store, client: MlflowClient, experiment_id: str, run_id: str, export: _Export
) -> tuple[str, str | None]:
    """Send an exported model; return its location, and its id if the server supports logged models."""
    from mlflow.exceptions import MlflowException

    folder, origin, _ = export
    try:
        model = _logged(client, run_id, origin) or _log(store, client, experiment_id, run_id, export)
    except MlflowException as error:
        if error.get_http_status_code() != 404:
            raise
        # A server without logged models, such as Azure ML: the model is an artifact of its run, as in MLflow 2.
        path = f"{MODEL}-{origin[DIGEST][:8]}"  # a version registered from other weights keeps its files
        client.log_artifacts(run_id, str(folder), path)
        return f"{client.get_run(run_id).info.artifact_uri}/{path}", None
    return model.artifact_location, model.model_id


def _logged(client: MlflowClient, run_id: str, origin: dict[str, Any]) -> LoggedModel | None:
    """Return the logged model of the run that has these weights, if any."""
    from mlflow.entities import LoggedModelStatus

    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs is not None else ():
        model = client.get_logged_model(output.model_id)
        if model.status == LoggedModelStatus.READY and model.tags.get(DIGEST) == origin[DIGEST]:
            return model
    return None


def _log(store: Store, client: MlflowClient, experiment_id: str, run_id: str, export: _Export) -> LoggedModel:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model

    folder, origin, name = export
    params = {"model": origin["model"]["name"], "data": origin["data"]["name"], "epoch": str(origin["epoch"])}
    tags = {DIGEST: origin[DIGEST], "checkpoint": origin["checkpoint"]}
    model = client.create_logged_model(experiment_id, name, run_id, tags, params)
    description = Model.load(str(folder))
    description.run_id, description.model_id = run_id, model.model_id
    description.save(str(folder / "MLmodel"))
    try:
        store.check_artifacts(model.artifact_location)
        client.log_model_artifacts(model.model_id, str(folder))
    except Exception:
        with suppress(Exception):  # otherwise each attempt would leave an empty model behind
            client.delete_logged_model(model.model_id)
        raise
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=origin["step"])])
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def _register(
    client: MlflowClient, name: str, source: str, run_id: str, model_id: str | None, origin: dict[str, Any]
) -> None:
    """Make the model a version of the registered model `name`, unless it is one already, and the challenger."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    known = [version for version in versions if (version.source, version.tags.get(DIGEST)) == (source, origin[DIGEST])]
    # The address rather than `models:/<id>`, which stores resolve in the process's own tracking URI.
    tags = {DIGEST: origin[DIGEST]}
    version = (
        known[0]
        if known
        else client.create_model_version(
            name, source, run_id, tags, await_creation_for=READY_SECONDS, model_id=model_id
        )
    )
    if all(int(other.version) <= int(version.version) for other in versions):  # false for a belated registration
        client.set_registered_model_alias(name, CHALLENGER, version.version)
    if model_id is not None:
        _link(client, model_id, version)


def _link(client: MlflowClient, model_id: str, version: ModelVersion) -> None:
    """Show the version on MLflow's page of the model; servers do this themselves, SQLite stores do not."""
    linked = json.loads(client.get_logged_model(model_id).tags.get(VERSIONS, "[]"))
    if (version.name, str(version.version)) not in [(entry["name"], str(entry["version"])) for entry in linked]:
        linked.append({"name": version.name, "version": version.version})
        client.set_logged_model_tags(model_id, {VERSIONS: json.dumps(linked)})


def promote(store: Store, name: str, version: str | None = None) -> tuple[str | None, str]:
    """Make a version of a registered model the champion (default: the challenger).

    Returns:
        The previous champion's version, or None, and the new one's.

    Raises:
        UsageError: If the store, model or version does not exist, or there is no challenger.
        InkwellError: If the store refuses or cannot be reached.
    """
    if store.database is not None and not store.database.exists():
        raise UsageError(f"cannot promote a model: there is no MLflow store at {store.shown}; name it with --uri")
    import_client(store)
    from mlflow.client import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=store.uri)
    try:
        aliases = _find(client, name).aliases
        chosen = str(version or aliases.get(CHALLENGER, ""))
        if not chosen:
            raise UsageError(f"cannot promote {name!r}: it has no challenger; name a version with --version")
        versions = sorted(int(found.version) for found in client.search_model_versions(f"name = '{name}'"))
        if chosen not in map(str, versions):
            raise unknown(f"version of {name}", chosen, map(str, versions))
        client.set_registered_model_alias(name, CHAMPION, chosen)
    except MlflowException as error:
        raise InkwellError(f"{store.shown}: {first_line(error)}") from error
    before = aliases.get(CHAMPION)
    return None if before is None else str(before), chosen


def _find(client: MlflowClient, name: str) -> RegisteredModel:
    models = {model.name: model for model in client.search_registered_models()}
    if name not in models:
        raise unknown("registered model", name, models)
    return models[name]
