"""Records: the essence of a finished run, kept as a file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scripts.scoreboard.goals import GOALS, ZOO
from trainer.config.merge import resolve
from trainer.config.schema import DataConfig
from trainer.errors import InkwellError
from trainer.files import to_json
from trainer.runs.files import REPORT, RunFiles
from trainer.runs.reported import ROBUSTNESS, corruptions

SCORES = ("accuracy", "ece", "nll", "calibrated_ece", "calibrated_nll")


class Records(NamedTuple):
    """All records."""

    recipes: Mapping[str, Sequence[Mapping[str, Any]]]
    """The records of each recipe that has any, seeds in order, recipes in the order of `GOALS`."""
    zoo: Sequence[Mapping[str, Any]]
    """The record of each measured architecture, the smallest first."""


def record(run_dir: Path, recipe: str, machine: str) -> dict[str, Any]:
    """Return the record of a finished run of a recipe.

    Args:
        run_dir: The run directory.
        recipe: The recipe's name, or `ZOO`.
        machine: Description of the machine, for readers.

    Raises:
        UsageError: If `run_dir` is not a run directory, or the run is not finished.
        InkwellError: If its files are damaged or have another layout, or it was not tested.
    """
    files = RunFiles(run_dir)
    result = files.finished()
    if result.test.accuracy is None:
        raise InkwellError(f"cannot record {run_dir}: it has no accuracy on test images")
    return {
        "recipe": recipe,
        "seed": result["seed"],
        "model": result["model"],
        "parameters": result["params"]["count"],
        "epochs": result["epochs"],
        "train_seconds": round(result["train_seconds"], 1),
        "val_accuracy": result["best"]["val_accuracy"],
        "best_epoch": result["best"]["epoch"],
        "test_images": result["data"]["test"],
        "corruptions": _corruptions(files),
        **{f"test_{name}": result["test"].get(name) for name in SCORES},
        "data_digest": result["data"]["digest"],
        "versions": result["versions"],
        "commit": files.run.git_commit,
        "config": resolve([files.config, {"data": {"folder": DataConfig.folder}}]).to_toml(),
        "machine": machine,
        "date": time.strftime("%Y-%m-%d", time.gmtime(files.run.ended)),
    }


def is_examined(run_dir: Path) -> bool:
    """Return True if `evaluate.py --robustness` has evaluated a run."""
    return (run_dir / REPORT / ROBUSTNESS).exists()


def _corruptions(files: RunFiles) -> list[dict[str, Any]]:
    """Return the accuracy under each corruption, if `evaluate.py --robustness` has measured it."""
    return [{name: row[name] for name in ("corruption", "accuracy", "trained_for")} for row in corruptions(files)]


def place(folder: Path, recipe: str, which: int | str) -> Path:
    """Return the file of a record: that of a recipe's seed, or of an architecture of the zoo."""
    return folder / f"{recipe}-{which}.json"


def write_record(folder: Path, kept: Mapping[str, Any]) -> Path:
    """Write a record; return its file."""
    folder.mkdir(exist_ok=True)
    file = place(folder, kept["recipe"], kept["model" if kept["recipe"] == ZOO else "seed"])
    file.write_text(to_json(dict(kept)), encoding="utf-8")
    return file


def read_records(folder: Path) -> Records:
    """Return all records.

    Raises:
        InkwellError: If one is damaged.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*GOALS, ZOO)}
    for file in sorted(folder.glob("*.json")):
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            found[kept["recipe"]].append(kept)
        except (ValueError, KeyError) as error:
            raise InkwellError(f"{file} is damaged: {error}") from error
    zoo = sorted(found.pop(ZOO), key=lambda one: one["parameters"])
    return Records({name: sorted(kept, key=lambda one: one["seed"]) for name, kept in found.items() if kept}, zoo)
