"""`inference`: predictions for 10,000 images in one call, and for one image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.errors import InkwellError

from .arena import Contender, Outcome, compete
from .images import prepare
from .options import Options
from .report import Report, cells, percentile, spread
from .speed import KERAS, PEAK, TOLERANCE, job_of, peak

IMAGES, SINGLES = 10_000, 100
CONTENDERS = {
    "Trainer.predict": Contender("trainer", "predicting:trainer"),
    "Model.predict as written": Contender(
        "predict", "predicting:as_written", environment={**KERAS, "TF_ENABLE_ONEDNN_OPTS": None}
    ),
    "Model.predict tuned": Contender(
        "predict-tuned", "predicting:tuned", environment={**KERAS, "TF_ENABLE_ONEDNN_OPTS": "1"}
    ),
}


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If a contender fails, or predicts something else.
    """
    count, singles = (256, 8) if options.quick else (IMAGES, SINGLES)
    images, rounds = prepare(options, folder, 128, count), options.rounds_or(8)
    job = job_of(options, images, steps=1, weights=str(folder / "weights.npz"))
    chosen = [Contender(c.name, c.target, {"singles": singles}, c.environment) for c in CONTENDERS.values()]
    outcomes = compete([peak(options), *chosen], job, folder, rounds)
    outcomes.pop(PEAK.name)
    _check(outcomes)
    rows = [_row(title, outcomes[contender.name]) for title, contender in CONTENDERS.items()]
    ours = rows[0]["ms"]["median"]
    return Report(
        f"inference: {options.model}",
        ("", f"ms for {count:,}", "min - max", "times the first", "ms for one", "95th percentile"),
        [
            [
                *(row["name"], *cells(row["ms"], 1), f"{row['ms']['median'] / ours:.2f}"),
                *(f"{row['one_ms']['median']:.2f}", f"{row['one_ms']['p95']:.2f}"),
            ]
            for row in rows
        ],
        {"rows": rows, "images": count},
        [
            f"medians over {rounds} rounds, taking turns; one image: over all of {singles} calls per round; tuned: "
            "batches of 500, one image by a call of the model; the same weights, outputs compared",
        ],
    )


def _check(outcomes: Mapping[str, Outcome]) -> None:
    """Raise an error if the contenders' outputs differ."""
    sums = {name: outcome.setup["sum"] for name, outcome in outcomes.items()}
    if max(sums.values()) - min(sums.values()) > TOLERANCE * max(sums.values()):
        raise InkwellError(f"contenders differ in their predictions: sums of outputs {sums}")


def _row(title: str, outcome: Outcome) -> dict[str, Any]:
    one = [1000 * seconds for turn in outcome.turns for seconds in turn["one"]]
    single = spread(one)
    single.pop("values")
    return {
        "name": title,
        "ms": spread([1000 * turn["many"] for turn in outcome.turns]),
        "one_ms": {**single, "p95": percentile(one, 0.95)},
    }
