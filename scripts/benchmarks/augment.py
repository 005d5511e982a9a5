"""`augment`: time that light and strong augmentation add to a training step."""

from __future__ import annotations

from pathlib import Path

from .arena import Contender, compete
from .images import prepare
from .options import Options
from .report import Report, cells, spread
from .speed import job_of

STRENGTHS = ("none", "light", "strong")


def run(options: Options, folder: Path) -> Report:
    """Run the benchmark.

    Raises:
        InkwellError: If a contender fails.
    """
    steps = 4 if options.quick else options.steps
    images, rounds = prepare(options, folder, steps * options.batch_size), options.rounds_or(8)
    contenders = [Contender(strength, "inkwell:run", {"augmentation": strength}) for strength in STRENGTHS]
    outcomes = compete(contenders, job_of(options, images, steps), folder, rounds)
    found = {name: spread([1000 * s / steps for s in outcomes[name].seconds]) for name in STRENGTHS}
    ratios = {name: found[name]["median"] / found["none"]["median"] for name in STRENGTHS}
    return Report(
        f"augment: {options.model}, batch {options.batch_size}",
        ("augmentation", "ms per step", "min - max", "times none"),
        [[name, *cells(found[name]), f"{ratios[name]:.3f}"] for name in STRENGTHS],
        {"rows": [{"name": name, "ms": found[name], "ratio": ratios[name]} for name in STRENGTHS], "steps": steps},
        [f"medians over {rounds} rounds of {steps} steps each, taking turns; {images.sentence()}"],
    )
