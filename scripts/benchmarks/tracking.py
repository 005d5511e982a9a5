"""`tracking`: slowdown of a run caused by its mirror in MLflow."""

from __future__ import annotations

from pathlib import Path

from .arena import Contender, compete
from .images import prepare
from .options import Options
from .report import Report, spread
from .speed import job_of

STEPS, LOG_EVERY = 1000, 10


def run(options: Options, folder: Path) -> Report:
    """Measure pairs of epochs: MLflow's worker is idle in the first and does the work of both in the second.

    Raises:
        InkwellError: If the trainer fails.
    """
    steps = 20 if options.quick else STEPS
    images, rounds = prepare(options, folder, steps * options.batch_size), options.rounds_or(15)
    contender = Contender("tracking", "tracking:run", {"log_every": LOG_EVERY}, {"MLFLOW_TRACKING_URI": None})
    turns = compete([contender], job_of(options, images, steps), folder, rounds)["tracking"].turns
    seconds = {name: spread([turn[name] for turn in turns]) for name in ("without", "with")}
    cost = spread([(turn["with"] - turn["without"]) / (turn["with"] + turn["without"]) for turn in turns])
    worker = spread([turn["worker"] / (turn["with"] + turn["without"]) for turn in turns])
    shares = {"longer training": cost, "CPU time of the worker": worker}
    return Report(
        f"tracking: {options.model}, batch {options.batch_size}, metrics logged every {LOG_EVERY} steps",
        ("share of the run", "median", "min", "max"),
        [[name, *(f"{found[key]:.2%}" for key in ("median", "min", "max"))] for name, found in shares.items()],
        {"seconds": seconds, "cost": cost, "worker": worker, "steps": steps, "log_every": LOG_EVERY},
        [
            f"{rounds} pairs of epochs of {steps} steps in one process; MLflow's worker is idle in the first epoch of "
            "a pair and sends the metrics of both in the second",
            f"an epoch: {seconds['without']['median']:.3f} s without, {seconds['with']['median']:.3f} s with (medians)",
            "the second line is relative to one core: the most that training can lose if all cores are busy",
        ],
    )
