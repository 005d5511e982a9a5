"""MLflow's page of an experiment: it is about training, and has a view with the accuracy as a column."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.client import MlflowClient
    from mlflow.entities import Experiment

KIND = ("mlflow.experimentKind", "custom_model_development")
"""The tag by which MLflow tells experiments of model training from those of GenAI, which it shows other pages for."""
VIEW = "inkwell"
"""Key of the view, which the address of the page and the tag `mlflow.sharedViewState.…` have in common."""
COLUMNS = (
    *("metrics.`test/accuracy`", "metrics.`test/loss`", "metrics.`val_accuracy`"),
    *("params.`model.name`", "params.`model.parameters`"),
)
SECTIONS = {"Model metrics": True, "test": True, "best": True, "time": False, "System metrics": False}
"""Groups of charts, the curves first, and whether each is open. MLflow would put what has no group last."""


def prepare(client: MlflowClient, experiment: Experiment) -> None:
    """Say what an experiment is about and give it the view, unless somebody said what it is about before.

    Nothing depends on it: a server that does not let this user change the experiment is left alone.
    """
    from mlflow.exceptions import MlflowException

    if KIND[0] in experiment.tags:
        return
    with suppress(MlflowException):
        for name, value in (KIND, view()):
            client.set_experiment_tag(experiment.experiment_id, name, value)


def view() -> tuple[str, str]:
    """Return the tag of a saved view: runs by test accuracy, best first, with the numbers that a person looks for."""
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
    """Return the address of an experiment's view in the pages that `mlflow ui` serves on this machine."""
    return f"http://127.0.0.1:5000/#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"


def report_address(experiment_id: str, run_id: str) -> str:
    """Return where the report of a run lies below the address of MLflow's pages."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/report/index.html?workflowType=machine_learning"
