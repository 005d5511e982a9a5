"""`overhead`: cost of the trainer and its plugins compared with direct calls of the same compiled functions."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from .arena import Contender, Outcome, compete
from .images import prepare
from .options import Options, tell
from .report import Report
from .speed import job_of

IDLE = 10
NAMES = {"default plugins": 0, f"and {IDLE} that do nothing": IDLE}


def run(options: Options, folder: Path) -> Report:
    """Measure pairs of epochs.

    Raises:
        InkwellError: If a contender fails.
    """
    rounds = options.rounds_or(5)
    images = prepare(options, folder, 128)
    where = {"data": "mnist5k" if options.quick else images.source, "data_dir": options.data_dir}
    contenders = [Contender(name, "pairs:run", {**where, "idle": idle}) for name, idle in NAMES.items()]
    outcomes = compete(contenders, job_of(options, images, steps=1), folder, rounds)
    rows = [_row(name, outcomes[name]) for name in NAMES]
    return Report(
        f"overhead: {options.model}, batch {options.batch_size}, {rows[0]['steps']} steps per epoch",
        ("trainer with", "s per epoch", "bare, s", "ratio, median of pairs", "min - max", "ratio of sums"),
        [_cells(row) for row in rows],
        {"rows": rows, "data": where["data"]},
        [
            f"{rounds} pairs of an epoch of the trainer, including validation, checkpoints and MLflow, and a bare "
            "epoch of the same compiled functions on the same pipeline, in one process; light augmentation",
        ],
    )


def _row(name: str, outcome: Outcome) -> dict[str, Any]:
    pairs = [(turn["trainer"], turn["bare"]) for turn in outcome.turns]
    for number, (ours, bare) in enumerate(pairs, start=1):
        tell(f"  {name}: epoch {number:2}  trainer {ours:7.3f} s  bare loop {bare:7.3f} s  ratio {ours / bare:.3f}")
    return {
        "name": name,
        "steps": outcome.setup["steps"],
        "pairs": pairs,
        "ratio": statistics.median(ours / bare for ours, bare in pairs),
        "ratio_of_sums": sum(ours for ours, _ in pairs) / sum(bare for _, bare in pairs),
    }


def _cells(row: dict[str, Any]) -> list[str]:
    ratios = [ours / bare for ours, bare in row["pairs"]]
    medians = [statistics.median(column) for column in zip(*row["pairs"], strict=True)]
    return [
        row["name"],
        *(f"{seconds:.3f}" for seconds in medians),
        f"{row['ratio']:.3f}",
        f"{min(ratios):.3f} - {max(ratios):.3f}",
        f"{row['ratio_of_sums']:.3f}",
    ]
