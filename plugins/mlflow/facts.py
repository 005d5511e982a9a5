"""What the files of a run directory say, in MLflow's words."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from plugins.mlflow.points import Point, allowed, is_number, points
from trainer.files import flatten
from trainer.runs.directory import CONFIG, HISTORY, RESULT, read_json
from trainer.runs.provenance import without_password

STATUS = {"running": "RUNNING", "done": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}
IDENTITY = "inkwell.id"
# Beginnings of names; the seed and the model's arguments are parameters, images per second has its own curve.
RESULT_NUMBERS = ("best_", "data_", "epochs", "params_count", "steps", "test_", "time_", "train_s", "wall_s")
PARAM, TAG, DIGEST = 6000, 8000, 36
"""The longest texts that MLflow takes."""


def params(run_dir: Path) -> dict[str, str]:
    """Return the configuration of a run as parameters (`optimizer.learning_rate`), cut to the length allowed."""
    config = tomllib.loads((run_dir / CONFIG).read_text(encoding="utf-8"))
    return {allowed(key): without_password(_text(value))[:PARAM] for key, value in flatten(config).items()}


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, list) else str(value)


def tags(run_dir: Path, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies a run and says where it comes from; what is not known is left out.

    Args:
        run_dir: The run directory.
        facts: What its `run.json` says.
    """
    data = facts.get("data") or {}
    known = {
        IDENTITY: facts.get("id"),
        "mlflow.source.name": facts.get("command"),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": facts.get("git_commit"),
        "mlflow.user": facts.get("user"),
        "host": facts.get("host"),
        "run_dir": str(run_dir),
        "data": data.get("name"),
        "data_digest": data.get("digest"),
        **{f"version.{package}": number for package, number in (facts.get("versions") or {}).items()},
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


def result_points(run_dir: Path, seconds: float) -> list[Point]:
    """Return the numbers of `result.json` (`test_accuracy`, `best_epoch`) at the last step; none without a result."""
    if not (run_dir / RESULT).exists():
        return []
    result = read_json(run_dir / RESULT)
    flat = {key: value for key, value in flatten(result, "_").items() if key.startswith(RESULT_NUMBERS)}
    return points({key: value for key, value in flat.items() if value is not None}, result["steps"], seconds, "")


def artifacts(run_dir: Path) -> list[Path]:
    """Return the files of a run directory that MLflow gets a copy of."""
    files = [run_dir / name for name in (CONFIG, HISTORY, RESULT)]
    return [path for path in [*files, *sorted((run_dir / "report").rglob("*"))] if path.is_file()]


def started(facts: Mapping[str, Any]) -> int:
    """Return when a run began, Unix milliseconds."""
    return int(datetime.strptime(facts["started"], "%Y-%m-%dT%H:%M:%S%z").timestamp() * 1000)
