"""`resume`: time to resume a run, after 100,000 steps compared with after 100."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from trainer.checkpoint import Checkpoints, Snapshot, read
from trainer.errors import InkwellError
from trainer.runs.files import HISTORY
from trainer.tasks.classification import Classification
from trainer.tasks.task import logged_names

from . import STOP_AT
from .images import Images, prepare
from .launch import FIT, NAMED, flags, timed, to_first_step
from .options import Options, tell
from .report import Report, cells, spread

YOUNG, OLD, PLANNED = 100, 100_000, 200_000


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If a process fails, or does not continue from the checkpoint.
    """
    rounds, (young, old) = options.rounds_or(8), (4, 400) if options.quick else (YOUNG, OLD)
    images = prepare(options, folder, 1)
    runs = {step: folder / f"after-{step}" for step in (young, old)}
    tell(f"  trains {young} steps of {options.model} on {images.name}")
    train(options, images, runs[young], young)
    shutil.copytree(runs[young], runs[old])
    lines = age(runs[old] / "run", old)
    times: dict[int, list[float]] = {step: [] for step in runs}
    for number in range(int(options.quick), rounds + 1):  # round 0 fills the disk caches and is not counted
        for step in list(runs) if number % 2 else reversed(runs):
            seconds = resumed(runs[step], folder / f"copy-{number}-{step}", step)
            tell(f"  round {number}/{rounds}  {seconds:6.2f} s  after {step:,} steps")
            if number:
                times[step].append(seconds)
    found = {step: spread(values) for step, values in times.items()}
    ratio = found[old]["median"] / found[young]["median"]
    return Report(
        f"resume: {options.model} on {images.name}, all default plugins",
        ("fit.py --resume after", "s to the first step", "min - max", "ratio"),
        [
            [f"{step:,} steps", *cells(found[step]), f"{found[step]['median'] / found[young]['median']:.3f}"]
            for step in runs
        ],
        {"rows": [{"name": str(step), "s": found[step]} for step in runs], "ratio": ratio, "history": lines},
        [
            f"medians over {rounds} rounds, fresh copies and processes taking turns; {young:,} steps were trained, the "
            f"{old:,} are simulated: counters, optimizer and a history of {lines:,} lines",
        ],
    )


def train(options: Options, images: Images, place: Path, steps: int) -> None:
    """Train for `steps` of a longer run in `place`/run, and stop it there as by `kill`.

    Raises:
        InkwellError: If training fails.
    """
    place.mkdir()
    more = ["--batch-size", str(options.batch_size), "--steps", str(PLANNED), "--run-dir", "run"]
    timed([FIT, *flags(options, images), *more], place, {STOP_AT: str(steps)}, status=143)


def age(run_dir: Path, step: int) -> int:
    """Rewrite the newest checkpoint of a run and its history as if after `step` steps; return the number of lines.

    Raises:
        InkwellError: If there is no checkpoint.
    """
    checkpoints = Checkpoints(run_dir / "checkpoints")
    newest = checkpoints.role("last")
    if newest is None:
        raise InkwellError(f"cannot age the run in {run_dir}: it left no checkpoint")
    saved = read(newest)
    epochs = step // saved.manifest["steps_per_epoch"]
    history = _history(epochs, saved.manifest["steps_per_epoch"])
    images = epochs * saved.manifest["data"]["train"]
    counters = {"epoch": epochs + 1, "step": step, "images": images, "history": len(history), "unfinished": False}
    manifest = {**saved.manifest, **counters, "validated": epochs * saved.manifest["steps_per_epoch"]}
    arrays = [
        np.full_like(array, step) if variable["name"].endswith("/iteration") else array
        for variable, array in zip(manifest["variables"], saved.arrays, strict=True)
    ]
    name = f"epoch={epochs + 1:04d}-step={step:07d}"
    checkpoints.write(Snapshot(name, arrays, manifest), ["last"])
    (run_dir / HISTORY).write_text("".join(json.dumps(line) + "\n" for line in history))
    return len(history)


def _history(epochs: int, steps: int) -> list[dict[str, object]]:
    numbers = dict.fromkeys(logged_names(Classification(), validation=True), 0.123456789)
    return [
        {"kind": "epoch", "epoch": e, "step": e * steps, "time": 1.8e9 + e, **numbers} for e in range(1, epochs + 1)
    ]


def resumed(original: Path, copy: Path, step: int) -> float:
    """Resume a fresh copy of a run, including MLflow's store, and return the seconds to its first step.

    Raises:
        InkwellError: If it does not continue from its checkpoint.
    """
    shutil.copytree(original, copy)
    seconds, report = to_first_step(["--resume", "run", *NAMED], copy)
    shutil.rmtree(copy)
    if report["step"] != step + 1:
        raise InkwellError(f"the run did not continue after step {step:,}: its next step was {report['step']:,}")
    return seconds
