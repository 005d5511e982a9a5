"""`speed`: milliseconds per training step of the same network on the same images, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainer.errors import InkwellError, unknown

from .arena import Contender, Outcome, compete
from .images import Images, prepare
from .nets import CHECKED, PLAIN
from .options import Options, tell
from .report import Report, cells, spread
from .worker import Job

TOLERANCE = 1e-3
"""Relative difference of losses above which two contenders do not train the same network."""

INSTALL = 'python -m pip install -e ".[bench]"'
KERAS = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
PEAK = Contender("peak", "gemm:run", environment={**KERAS, "TF_ENABLE_ONEDNN_OPTS": "1"})
CONTENDERS = {
    "Inkwell": Contender("inkwell", "inkwell:run"),
    "Inkwell, kernels keras": Contender("inkwell-keras", "inkwell:run", {"kernels": "keras"}),
    "Inkwell, light augmentation": Contender("inkwell-light", "inkwell:run", {"augmentation": "light"}),
    "bare tf.function loop": Contender("bare", "bare:run"),
    "Model.fit as written": Contender(
        "fit", "keras_fit:as_written", environment={**KERAS, "TF_ENABLE_ONEDNN_OPTS": None}
    ),
    # TensorFlow's default on a CPU without AVX-512.
    "Model.fit as written, oneDNN off": Contender(
        "fit-plain", "keras_fit:as_written", environment={**KERAS, "TF_ENABLE_ONEDNN_OPTS": "0"}
    ),
    "Model.fit tuned": Contender("fit-tuned", "keras_fit:tuned", environment={**KERAS, "TF_ENABLE_ONEDNN_OPTS": "1"}),
    "PyTorch loop": Contender("torch", "torch_loop:run", needs="torch"),
    "PyTorch Lightning": Contender("lightning", "lightning_fit:run", needs="lightning"),
}
"""The contenders, by their names in the table; some differ only in their environment."""


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If a contender fails, its number of parameters is wrong, or its first losses differ.
    """
    chosen, skipped = choose(options)
    steps = min(options.steps, CHECKED + 1) if options.quick else options.steps
    images = prepare(options, folder, max(steps, CHECKED) * options.batch_size)
    job = job_of(options, images, steps, weights=str(folder / "weights.npz"))
    outcomes = compete([peak(options), *chosen.values()], job, folder, options.rounds_or(5))
    reference = outcomes.pop(PEAK.name)
    params, deviation = check(outcomes, int(reference.setup["params"]))
    gemm = max(max(turn[library] for library in ("numpy", "tensorflow")) for turn in reference.turns)
    operations = 2 * 3 * int(reference.setup["multiplications"]) * options.batch_size
    rows = [_row(name, outcomes[c.name], options, steps, operations / gemm) for name, c in chosen.items()]
    notes = [
        f"{params:,} parameters each; losses over the first {CHECKED} steps agree to {deviation:.1e}; Adam",
        f"peak: {gemm / 1e9:.0f} GFLOP/s in float32 matrix products; a step takes {operations / 1e9:.3f} GFLOP "
        "(forward multiplications x 2 x 3)",
        f"medians over {options.rounds_or(5)} rounds of {steps} steps each, taking turns; {images.sentence()}",
        *(f"{row['name']}: {row['choice']}" for row in rows if row["choice"]),
        *skipped,
    ]
    data = {
        **{"model": options.model, "args": dict(options.args), "batch_size": options.batch_size, "steps": steps},
        **{"images": images.name, "params": params, "loss_deviation": deviation},
        **{"gemm_flops": gemm, "step_flops": operations, "rows": rows, "skipped": skipped},
    }
    return Report(f"speed: {options.model}, batch {options.batch_size}", COLUMNS, _table(rows), data, notes)


COLUMNS = ("", "ms per step", "min - max", "images/s", "times the first", "of the peak")


def choose(options: Options) -> tuple[dict[str, Contender], list[str]]:
    """Return the contenders to measure, and a line for each that is left out.

    Raises:
        UsageError: If one is unknown, or none is left.
    """
    known = [contender.name for contender in CONTENDERS.values()]
    for name in options.only:
        if name not in known:
            raise unknown("contender", name, known)
    chosen, skipped = {}, []
    for title, contender in CONTENDERS.items():
        if options.only and contender.name not in options.only:
            continue
        reason = _obstacle(contender, options)
        if reason:
            skipped.append(f"{title} is left out: {reason}")
            tell(f"  {skipped[-1]}")
        else:
            chosen[title] = contender
    if not chosen:
        raise InkwellError("; ".join(skipped))
    return chosen, skipped


def _obstacle(contender: Contender, options: Options) -> str:
    if not contender.needs:
        return ""
    if any(find_spec(package) is None for package in {"torch", contender.needs}):
        return f"{contender.needs} is not installed ({INSTALL})"
    if options.model not in PLAIN or options.args:
        return f"only {' and '.join(PLAIN)} are available for PyTorch"
    return ""


def peak(options: Options) -> Contender:
    """Return the contender that measures matrix products and writes the initial weights of the others."""
    return Contender(PEAK.name, PEAK.target, {"quick": options.quick}, PEAK.environment)


def job_of(options: Options, images: Images, steps: int, weights: str = "") -> Job:
    """Return the job shared by all contenders."""
    return Job(
        folder="",
        images=str(images.path),
        weights=weights,
        model=options.model,
        args=dict(options.args),
        imports=list(options.imports),
        classes=images.classes,
        batch_size=options.batch_size,
        steps=steps,
    )


def check(outcomes: Mapping[str, Outcome], params: int) -> tuple[int, float]:
    """Return the number of parameters and the largest relative difference of the first losses.

    Raises:
        InkwellError: If contenders differ in either, which means that they do not train the same network.
    """
    first = next(iter(outcomes))
    wanted: Sequence[float] = outcomes[first].setup["losses"]
    worst = 0.0
    for name, outcome in outcomes.items():
        if outcome.setup["params"] != params:
            raise InkwellError(f"{name} has {outcome.setup['params']:,} parameters, the registered model {params:,}")
        losses = outcome.setup["losses"]
        if len(losses) != len(wanted):
            raise InkwellError(f"{name} reports {len(losses)} losses, {first} {len(wanted)}")
        apart = [abs(theirs - ours) / abs(ours) for theirs, ours in zip(losses, wanted, strict=True)]
        if not all(difference <= TOLERANCE for difference in apart):  # also rejects NaN
            raise InkwellError(f"{name} does not train the same network as {first}: losses {losses}, {wanted}")
        worst = max(worst, *apart)
    return params, worst


def _row(title: str, outcome: Outcome, options: Options, steps: int, ideal: float) -> dict[str, Any]:
    """Return the results of a contender; `ideal` is the seconds per step at the machine's peak."""
    milliseconds = spread([1000 * seconds / steps for seconds in outcome.seconds])
    return {
        "name": title,
        "params": outcome.setup["params"],
        "losses": outcome.setup["losses"],
        "choice": outcome.setup.get("choice", ""),
        "tried": outcome.setup.get("tried", {}),
        "ms": milliseconds,
        "images_per_second": 1000 * options.batch_size / milliseconds["median"],
        "share_of_peak": 1000 * ideal / milliseconds["median"],
        "background_seconds": [turn["background"] for turn in outcome.turns],
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    ours = rows[0]["ms"]["median"]
    return [
        [
            row["name"],
            *cells(row["ms"]),
            f"{row['images_per_second']:,.0f}",
            f"{row['ms']['median'] / ours:.2f}",
            f"{row['share_of_peak']:.1%}",
        ]
        for row in rows
    ]
