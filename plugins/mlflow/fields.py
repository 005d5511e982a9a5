"""The fields of an MLflow run, filled from the files of a run directory."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from plugins.mlflow.points import Point, allowed, is_number, points
from trainer.files import flatten
from trainer.runs.files import RunRecord
from trainer.runs.provenance import without_password
from trainer.runs.schema import STARTED

STATUS = {"running": "RUNNING", "done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
IDENTITY = "inkwell.id"
SIZES = ("train", "validation", "test")
PARAM, TAG, DIGEST = 6000, 8000, 36
"""Longest texts that MLflow accepts."""


def params(config: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, str]:
    """Return a configuration as parameters (`optimizer.learning_rate`), truncated to MLflow's limit, plus data sizes.

    Args:
        config: The configuration, nested.
        data: Description of the data in `run.json`; its image counts become `data.train` and so on.
    """
    values = flatten(config) | {f"data.{part}": data[part] for part in SIZES if is_number(data.get(part))}
    return {allowed(key): without_password(_text(value))[:PARAM] for key, value in values.items()}


def result_params(result: Mapping[str, Any] | None) -> dict[str, str]:
    """Return parameters that are known only at the end of a run: the model's number of weights."""
    counts = (result or {}).get("params") or {}
    return {"model.parameters": str(counts["count"])} if "count" in counts else {}


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, list) else str(value)


def tags(run_dir: Path, run: RunRecord) -> dict[str, str]:
    """Return tags that identify a run and its origin; unknown ones are left out.

    Args:
        run_dir: The run directory.
        run: Its `run.json`.
    """
    known = {
        IDENTITY: run.id,
        "mlflow.source.name": source(run.command),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": run.git_commit,
        "mlflow.user": run.user,
        "command": run.command,
        "host": run.host,
        "run_dir": str(run_dir),
        "data": run.data.get("name"),
        "data_digest": run.data.get("digest"),
        **{f"version.{package}": number for package, number in run.versions.items()},
    }
    return {key: without_password(str(value))[:TAG] for key, value in known.items() if value}


def source(command: str) -> str:
    """Return the program of a command line in its usual form: `scripts/fit.py`, `inkwell fit`, `mine.py`."""
    try:
        words = shlex.split(command)
    except ValueError:  # a quotation mark is missing
        words = command.split()
    if not words or words[0] == "inkwell":
        return " ".join(words[:2])
    program = Path(words[0])
    return "/".join(program.parts[-2:]) if program.parent.name == "scripts" else program.name


def architecture(config: Mapping[str, Any]) -> str:
    """Return the name of the model in a configuration; empty for a run without one."""
    return str((config.get("model") or {}).get("name") or "")


def title(name: str, model: str) -> str:
    """Return a run's name prefixed with its model's name, to tell runs apart in a long list."""
    return name if name.startswith(model) else f"{model}-{name}"


def dataset(data: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the fields of an MLflow dataset, with image counts and our own digest, which covers all images."""
    if not data.get("digest") or not data.get("name"):
        return None
    counts = {key: data[key] for key in SIZES if is_number(data.get(key))}
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
    """Return the metrics of a result at the last step, in groups (`test/accuracy`, `best/epoch`, `time/steps`).

    `test/trained_on` is the number of test images that the run was trained on.

    Args:
        result: The content of `result.json`; None, if there is none, gives no points.
        seconds: Timestamp of the points, Unix seconds.
    """
    if result is None:
        return []
    test = result.get("test") or {}
    groups = {
        "test": {**test, "trained_on": (test.get("overlap") or {}).get("trained_on")},
        "best": result.get("best") or {},
        "time": {key: result.get(key) for key in ("train_seconds", "wall_seconds")} | (result.get("time") or {}),
    }
    values = {f"{group}/{key}": value for group, found in groups.items() for key, value in found.items()}
    known = {key: value for key, value in values.items() if value is not None}
    return points(known, result.get("steps") or 0, seconds, "")


def started(run: RunRecord) -> int:
    """Return a run's start time in Unix milliseconds; 0, which MLflow reads as now, if unknown."""
    return int(datetime.strptime(run.started, STARTED).timestamp() * 1000) if run.started else 0
