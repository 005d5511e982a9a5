"""What recipes reach: one committed record a seed, and the page made of them.

A record is what a finished run says of itself, so a table of many seeds grows over several sittings, and no number in
it was written by hand.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.config import DataConfig, read_toml, resolve
from trainer.errors import InkwellError, UsageError
from trainer.files import to_json
from trainer.rundir import CONFIG, RESULT, read_json

INTRODUCTION = """\
Accuracy on MNIST's 10,000 test images, with the weights that 5,000 validation images chose (500 for `small-data`, which
sees 5,000 images in all); the test images were looked at once a run. Seeds count from 0, none is left out. The time is
that of training as the run's ledger has it, the least of the seeds, since the machine was shared; each seed's own is in
the second table. Written by `python scripts/results.py` from `scripts/recipes/results/`, never by hand.
"""

SCORES = ("accuracy", "ece", "nll", "calibrated_ece", "calibrated_nll")


@dataclass(frozen=True)
class Goal:
    """What a recipe is for.

    Attributes:
        seconds: The training time that it may take on two cores; None for what is made of trained nets.
        accuracy: The least mean accuracy on the test images, in percent.
        data: The flags that name its data.
    """

    seconds: float | None
    accuracy: float
    data: str = "--data mnist"


GOALS: Mapping[str, Goal] = {
    "instant": Goal(10, 99.0),
    "fast": Goal(60, 99.40),
    "standard": Goal(300, 99.55),
    "strong": Goal(1200, 99.66),
    "best": Goal(2700, 99.70),
    "ensemble": Goal(None, 99.77),
    "tiny": Goal(600, 99.50),
    "lenet": Goal(300, 99.40),
    "small-data": Goal(300, 99.0, "--test-data mnist"),
}


def record(run_dir: Path, recipe: str, machine: str) -> dict[str, Any]:
    """Return what is kept of a finished run of a recipe.

    Args:
        run_dir: The run directory.
        recipe: The recipe's name.
        machine: What the run was made on, for people.

    Raises:
        UsageError: If the run is not finished.
    """
    if not (run_dir / RESULT).is_file():
        raise UsageError(f"{run_dir} is no finished run: it has no {RESULT}")
    result, run = read_json(run_dir / RESULT), read_json(run_dir / "run.json")
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
        **{f"test_{name}": result["test"].get(name) for name in SCORES},
        "data_digest": result["data"]["digest"],
        "versions": result["versions"],
        "commit": run.get("git_commit"),
        "config": resolve([read_toml(run_dir / CONFIG), {"data": {"folder": DataConfig.folder}}]).to_toml(),
        "machine": machine,
        "date": time.strftime("%Y-%m-%d", time.gmtime(run["ended"])),
    }


def place(folder: Path, recipe: str, seed: int) -> Path:
    """Return where the record of a seed lies."""
    return folder / f"{recipe}-{seed}.json"


def write_record(folder: Path, kept: Mapping[str, Any]) -> Path:
    """Write a record; return where."""
    folder.mkdir(exist_ok=True)
    file = place(folder, kept["recipe"], kept["seed"])
    file.write_text(to_json(dict(kept)), encoding="utf-8")
    return file


def read_records(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the records of every recipe that has some, seeds in order, recipes in the order of `GOALS`.

    Raises:
        InkwellError: If one is damaged.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in GOALS}
    for file in sorted(folder.glob("*.json")):
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            found.setdefault(kept["recipe"], []).append(kept)
        except (ValueError, KeyError) as error:
            raise InkwellError(f"{file} is damaged: {error}") from error
    return {name: sorted(kept, key=lambda one: one["seed"]) for name, kept in found.items() if kept}


def page(records: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return RESULTS.md."""
    lines = [
        *("# Results", ""),
        *INTRODUCTION.splitlines(),
        "",
        "| recipe | model | parameters | training | seeds | mean % | sd | least - most | wanted | ECE % | NLL |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|---:|---:|",
        *(_row(name, kept) for name, kept in records.items()),
        *("", "ECE and NLL are means, with the temperature that validation fitted. Missed goals are in bold.", ""),
        *("## Every run", ""),
        "| recipe | seed | test % | validation % | training s | epochs | date | machine |",
        "|---|---:|---:|---:|---:|---:|---|---|",
        *(_line(one) for kept in records.values() for one in kept),
        *("", "## Commands", "", "```text"),
        *(_command(name) for name in records if GOALS[name].seconds is not None),
        *("```", ""),
    ]
    return "\n".join(lines)


def _row(name: str, kept: Sequence[Mapping[str, Any]]) -> str:
    goal, scores = GOALS[name], [100 * one["test_accuracy"] for one in kept]
    mean, first = statistics.mean(scores), kept[0]
    seconds = min(one["train_seconds"] for one in kept)
    late = goal.seconds is not None and seconds > goal.seconds
    wanted = f"{goal.accuracy:.2f} %" + (f" in {goal.seconds:,.0f} s" if goal.seconds else "")
    cells = [
        f"`{name}`",
        f"`{first['model']}`",
        f"{first['parameters']:,}",
        f"{seconds:,.1f} s" if goal.seconds else "-",
        str(len(kept)),
        f"{mean:.3f}",
        f"{statistics.stdev(scores):.3f}" if len(scores) > 1 else "-",
        f"{min(scores):.2f} - {max(scores):.2f}",
        f"**{wanted}: missed**" if late or round(mean, 3) < goal.accuracy else wanted,
        _mean(kept, "ece", 100),
        _mean(kept, "nll", 1),
    ]
    return f"| {' | '.join(cells)} |"


def _mean(kept: Sequence[Mapping[str, Any]], name: str, factor: float) -> str:
    """Return the mean of a calibrated score; without a temperature, of the score as it is."""
    values = [one[f"test_calibrated_{name}"] or one[f"test_{name}"] for one in kept]
    return f"{factor * statistics.mean(values):.{2 if factor > 1 else 4}f}"


def _line(one: Mapping[str, Any]) -> str:
    validation = "-" if one["val_accuracy"] is None else f"{100 * one['val_accuracy']:.2f}"
    cells = [
        *(f"`{one['recipe']}`", str(one["seed"]), f"{100 * one['test_accuracy']:.2f}", validation),
        *(f"{one['train_seconds']:,.1f}", str(one["epochs"]), one["date"], one["machine"]),
    ]
    return f"| {' | '.join(cells)} |"


def _command(name: str) -> str:
    return f"python scripts/fit.py --recipe {name} {GOALS[name].data} --seed 0"


def head(kept: Sequence[Mapping[str, Any]]) -> str:
    """Return the first line of a recipe's file: what it costs and reaches."""
    seconds = min(one["train_seconds"] for one in kept)
    mean = statistics.mean(100 * one["test_accuracy"] for one in kept)
    seeds = "seed 0" if len(kept) == 1 else f"mean of seeds 0 to {len(kept) - 1}"
    return f"# {seconds:.1f} s of training, {mean:.2f} % of MNIST's test images: {seeds}; see RESULTS.md"
