"""The fields of an MLflow run, filled from the files of a run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from plugins.mlflow.points import Point, allowed, is_number, points
from trainer.files import flatten
from trainer.runs.files import RunRecord
from trainer.runs.provenance import without_password

STATUS = {"running": "RUNNING", "done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
IDENTITY = "inkwell.id"
# Beginnings of names; the seed and the model's arguments are parameters, images per second has its own curve.
RESULT_NUMBERS = ("best_", "data_", "epochs", "params_count", "steps", "test_", "time_", "train_s", "wall_s")
PARAM, TAG, DIGEST = 6000, 8000, 36
"""The longest texts that MLflow takes."""


def params(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a configuration as parameters (`optimizer.learning_rate`), cut to the length allowed."""
    return {allowed(key): without_password(_text(value))[:PARAM] for key, value in flatten(config).items()}


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, list) else str(value)


def tags(run_dir: Path, run: RunRecord) -> dict[str, str]:
    """Return what identifies a run and says where it comes from; what is not known is left out.

    Args:
        run_dir: The run directory.
        run: Its `run.json`.
    """
    known = {
        IDENTITY: run.id,
        "mlflow.source.name": run.command,
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": run.git_commit,
        "mlflow.user": run.user,
        "host": run.host,
        "run_dir": str(run_dir),
        "data": run.data.get("name"),
        "data_digest": run.data.get("digest"),
        **{f"version.{package}": number for package, number in run.versions.items()},
    }
    return {key: without_password(str(value))[:TAG] for key, value in known.items() if value}


def dataset(data: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the fields of an MLflow dataset, made of counts and our own digest, which covers all images."""
    if not data.get("digest") or not data.get("name"):
        return None
    counts = {key: data[key] for key in ("train", "validation", "test") if is_number(data.get(key))}
    return {
        "name": str(data["name"])[:500],
        "digest": str(data["digest"])[:DIGEST],
        "source_type": "local",
        "source": json.dumps({"uri": str(data["name"]), "digest": data["digest"]}),
        "schema": json.dumps({"mlflow_tensorspec": _tensors(data.get("input_shape"))}),
        "profile": json.dumps({**counts, "classes": len(data.get("class_names") or ())}),
    }


def _tensors(shape: Any) -> dict[str, str]:
    images = {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, *(shape or ())]}}
    labels = {"type": "tensor", "tensor-spec": {"dtype": "int32", "shape": [-1]}}
    return {"features": json.dumps([images]), "targets": json.dumps([labels])}


def result_points(result: Mapping[str, Any] | None, seconds: float) -> list[Point]:
    """Return the numbers of a result (`test_accuracy`, `best_epoch`) at the last step; none without a result.

    Args:
        result: The content of `result.json`; None if there is none.
        seconds: Their time, Unix seconds.
    """
    if result is None:
        return []
    flat = {key: value for key, value in flatten(result, "_").items() if key.startswith(RESULT_NUMBERS)}
    return points({key: value for key, value in flat.items() if value is not None}, result.get("steps", 0), seconds, "")


def started(run: RunRecord) -> int:
    """Return when a run began, Unix milliseconds."""
    return int(datetime.strptime(run.started, "%Y-%m-%dT%H:%M:%S%z").timestamp() * 1000)
