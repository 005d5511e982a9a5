"""`save`: cost of checkpoints: the pause in training for each, and the share of a run they take."""

from __future__ import annotations

import statistics
from pathlib import Path

from trainer.errors import InkwellError

from .arena import Contender, compete
from .images import prepare
from .options import Options
from .report import Report, spread
from .speed import job_of

EVERY, STEPS, MINUTE = 50, 450, 60.0


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If the trainer fails, or saves nothing.
    """
    every, steps = (3, 12) if options.quick else (EVERY, STEPS)
    images, rounds = prepare(options, folder, steps * options.batch_size), options.rounds_or(10)
    job = job_of(options, images, steps)
    outcome = compete([Contender("save", "saving:run", {"every": every})], job, folder, rounds)["save"]
    pauses = [1000 * pause for turn in outcome.turns for pause in turn["pauses"]]
    if not pauses:
        raise InkwellError("the trainer saved nothing")
    costs = [1000 * (turn["with"] - turn["without"]) / len(turn["pauses"]) for turn in outcome.turns]
    pause, cost = spread(pauses), spread(costs)
    share = cost["median"] / 1000 / MINUTE
    seconds = {name: statistics.median(turn[name] for turn in outcome.turns) for name in ("without", "with")}
    return Report(
        f"save: {options.model}, batch {options.batch_size}, a save every {every} steps",
        ("", "median", "min", "max"),
        [
            [name, *(f"{found[key]:.2f}" for key in ("median", "min", "max"))]
            for name, found in (("pause in training, ms per save", pause), ("longer training, ms per save", cost))
        ],
        {
            "rows": [{"name": "pause", "ms": pause}, {"name": "cost", "ms": cost}],
            **{"share_at_one_a_minute": share, "saves": len(pauses), "epoch_seconds": seconds, "every": every},
        },
        [
            f"{len(pauses)} saves; {rounds} pairs of epochs of {steps} steps, without and with saves; the second line "
            "adds what background writing takes from training, as the difference of whole epochs",
            f"at one save per minute: {share:.3%} of the run",
            f"one epoch: {seconds['without']:.3f} s without saves, {seconds['with']:.3f} s with them (medians)",
        ],
    )
