"""MLflow's experiment page: marked as model training, with a view that has accuracy as a column."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.client import MlflowClient
    from mlflow.entities import Experiment

KIND = ("mlflow.experimentKind", "custom_model_development")
"""Tag by which MLflow tells model-training experiments from GenAI ones, which get different pages."""
VIEW = "inkwell"
"""Key of the view, used in the page's address and in the tag `mlflow.sharedViewState.…`."""
COLUMNS = (
    *("metrics.`test/accuracy`", "metrics.`test/loss`", "metrics.`val_accuracy`"),
    *("params.`model.name`", "params.`model.parameters`"),
)
SECTIONS = {"Model metrics": True, "test": True, "best": True, "time": False, "System metrics": False}
"""Chart groups in display order, and whether each is open. MLflow would put ungrouped charts last."""


def prepare(client: MlflowClient, experiment: Experiment) -> None:
    """Set an experiment's kind and view, unless its kind is already set.

    This is optional: if the server does not let this user change the experiment, it is left unchanged.
    """
    from mlflow.exceptions import MlflowException

    if KIND[0] in experiment.tags:
        return
    with suppress(MlflowException):
        for name, value in (KIND, view()):
            client.set_experiment_tag(experiment.experiment_id, name, value)


def view() -> tuple[str, str]:
    """Return the tag of a saved view: runs by test accuracy, best first, with the most useful columns."""
    sections = [
        {"uuid": f"{VIEW}-{name}", "name": name, "display": is_open, "isReordered": True, "isGenerated": True}
        for name, is_open in SECTIONS.items()
    ]
    table = {"orderByKey": COLUMNS[0], "orderByAsc": False, "selectedColumns": COLUMNS}
    charts = {"compareRunCharts": [], "compareRunSections": sections, "isAccordionReordered": True}
    state = table | charts
    now = int(time.time() * 1000)
    envelope = {"name": "Test accuracy", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return f"mlflow.sharedViewState.{VIEW}", json.dumps(envelope)


def address(experiment_id: str) -> str:
    """Return the address of an experiment's view as served by `mlflow ui` on this machine."""
    return f"http://127.0.0.1:5000/#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"


def report_address(experiment_id: str, run_id: str) -> str:
    """Return the address of a run's report, relative to MLflow's web interface."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/report/index.html?workflowType=machine_learning"
