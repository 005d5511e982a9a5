"""`race`: seconds from process start to a validation accuracy, by one recipe; followed by a single test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data import load
from trainer.runs.files import HISTORY, RunFiles

from .launch import FIT, timed
from .options import Options, tell
from .recipe import EPOCHS, PEAK, WARM_UP, Recipe
from .report import Report, cells, spread

RIVALS = {"Model.fit tuned": "race_keras", "PyTorch Lightning": "race_lightning"}


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If a process fails.
    """
    runners: dict[str, Callable[[Recipe, Path], Mapping[str, Any]]] = {"Inkwell": partial(_inkwell, options)}
    skipped = []
    for title, module in RIVALS.items():
        if module == "race_lightning" and any(find_spec(package) is None for package in ("torch", "lightning")):
            skipped.append(f'{title} is left out: it is not installed (python -m pip install -e ".[bench]")')
        else:
            runners[title] = partial(_rival, module)
    found: dict[str, list[Mapping[str, Any]]] = {title: [] for title in runners}
    rounds = options.rounds_or(3)
    for seed in range(rounds):
        recipe = Recipe(
            images=str(folder / f"images-{seed}.npz"),
            target=0.3 if options.quick else 0.992,
            batch_size=options.batch_size,
            epochs=EPOCHS,
            seed=seed,
        )
        name = _write(options, recipe)
        for title, runner in runners.items():
            place = folder / f"{seed}-{title.replace(' ', '-')}"
            place.mkdir()
            found[title].append(runner(recipe, place))
            tell(f"  seed {seed} of {rounds}  {title}: {found[title][-1]}")
    return _report(name, recipe, found, [*skipped, f"{rounds} seeds for split and training, fresh processes in turn"])


def _write(options: Options, recipe: Recipe) -> str:
    """Write Inkwell's split for this seed to a file for the others."""
    data = load(options.data, options.data_dir, recipe.seed)
    parts = {"train": data.train, "val": data.validation, "test": data.test}
    arrays = {
        f"{k}_{part}": getattr(images, a)
        for part, images in parts.items()
        for k, a in (("x", "images"), ("y", "labels"))
    }
    np.savez(recipe.images, **arrays)
    return data.name


def _inkwell(options: Options, recipe: Recipe, place: Path) -> dict[str, Any]:
    stop = f"early_stopping:monitor=val_accuracy,threshold={recipe.target},patience={recipe.epochs}"
    data = ["--data", options.data, "--data-dir", str(Path(options.data_dir).absolute())]
    flags = ["--model", "lenet", "--epochs", str(recipe.epochs), "--batch-size", str(recipe.batch_size)]
    flags += ["--seed", str(recipe.seed), "--lr", str(PEAK), "--set", f"optimizer.warm_up={WARM_UP}"]
    started = time.time()
    total = timed([FIT, *flags, *data, "--run-dir", "runs/one", "--plugin", stop], place)
    files = RunFiles(place / "runs/one")
    result, last, reached = files.finished(), files.history()[-1], (files.path / HISTORY).stat().st_mtime
    return {
        **{"reached": reached - started, "total": total, "epochs": result["epochs"]},
        **{"validation": last["val_accuracy"], "test": result["test"]["accuracy"]},
    }


def _rival(module: str, recipe: Recipe, place: Path) -> dict[str, Any]:
    started = time.time()
    out = place / "found.json"
    total = timed(["-P", "-m", f"scripts.benchmarks.contenders.{module}", recipe.to_json(), str(out)], place)
    found = json.loads(out.read_text())
    return {**found, "reached": found["reached"] - started, "total": total}


def _report(name: str, recipe: Recipe, found: Mapping[str, list[Mapping[str, Any]]], notes: list[str]) -> Report:
    rows, table = [], []
    for title, runs in found.items():
        reached, total = (spread([each[key] for each in runs]) for key in ("reached", "total"))
        test = spread([100 * each["test"] for each in runs])
        short = sum(each["validation"] < recipe.target for each in runs)
        rows.append({"name": title, "reached": reached, "total": total, "test": test, "short": short, "runs": runs})
        epochs = ", ".join(str(each["epochs"]) for each in runs)
        table.append([title, *cells(reached, 1), f"{total['median']:.1f}", epochs, f"{test['median']:.2f}", str(short)])
    columns = ("", "s to target", "min - max", "s to exit", "epochs", "test, %", "missed")
    target = f"{recipe.target:.1%} of the validation images"
    recipe_note = (
        f"LeNet, Adam, {recipe.epochs} epochs of cosine decay from {PEAK}, batch {recipe.batch_size}, affine "
        "augmentation with the same ranges, each contender's on whole batches"
    )
    return Report(f"race to {target}: {name}", columns, table, {"rows": rows, "data": name}, [recipe_note, *notes])
