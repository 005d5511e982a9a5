"""The plan of a run, for people: `--dry-run` prints it, and the progress display begins with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainer.console.tables import row_counts
from trainer.plugin import Every, Plugin, overrides
from trainer.text import count, in_line

if TYPE_CHECKING:
    from trainer.engine.course import Course
    from trainer.engine.learning_rate import LearningRate
    from trainer.run import Run
    from trainer.runs.manifest import Saved

SAMPLES = 21
"""Steps at which a schedule is sampled, evenly spread over the run."""


def plan(
    run: Run,
    course: Course,
    plugins: Sequence[Plugin],
    rates: Mapping[str, LearningRate],
    space: str,
    saved: Saved | None,
    of_task: Sequence[Any] = (),
) -> list[tuple[str, str]]:
    """Return the plan of a run as rows of label and text.

    Args:
        run: The run, before step 0.
        course: Its data and durations.
        plugins: Its plugins, in order.
        rates: Its learning rates, by model.
        space: Space that checkpoints need; see `trainer.engine.preflight.check_space`.
        saved: The checkpoint to resume from, if the run is resumed.
        of_task: The task's own variables.
    """
    epochs = f"{count(run.epochs, 'epoch')} of {run.steps_per_epoch:,}"
    rows = [
        *_models(run),
        ("steps", f"{run.steps:,} ({epochs})"),
        *((f"learning rate{_of(name, rates)}", _rates(run, rate)) for name, rate in rates.items()),
        ("validation", _validations(run, course)),
        ("checkpoints", space),
        ("plugins", ", ".join(map(_cadence, plugins)) or "none"),
    ]
    if trained := [variable for variable in of_task if variable.trainable]:
        numbers = sum(math.prod(variable.shape) for variable in trained)
        names = ", ".join(dict.fromkeys(in_line(variable.path.partition("/")[0]) for variable in trained))
        rows.insert(len(run.models), ("task trains", f"{names}, {count(numbers, 'parameter')}"))
    if run.data:
        parts = {"training": "train", "validation": "validation", "test": "test"}
        counts = {part: run.data.get(key) for part, key in parts.items()}
        rows.insert(len(run.models), ("data", row_counts(run.data, counts)))
    if course.durations.max_time is not None:
        rows.insert(2, ("time limit", f"{course.durations.max_time:g} s"))
    if saved is not None:
        counters = saved.manifest.counters
        rows.insert(0, ("resumed", f"from step {counters.step:,} in epoch {counters.epoch}"))
    return rows


def _models(run: Run) -> list[tuple[str, str]]:
    """Return a row for each model."""
    rows = []
    for name, model in run.models.items():
        label = in_line(name) if len(run.models) > 1 else "model"
        rows.append((label, f"{in_line(model.name)}, {count(model.count_params(), 'parameter')}"))
    return rows


def _of(name: str, rates: Mapping[str, LearningRate]) -> str:
    return f" of {in_line(name)}" if len(rates) > 1 else ""


def _rates(run: Run, rate: LearningRate) -> str:
    if rate.scaled is None:
        return f"{rate.at(0):.3g}"
    rates = [rate.at(round(i * (run.steps - 1) / (SAMPLES - 1))) for i in range(SAMPLES)]
    return f"starts at {rates[0]:.3g}, peaks at {max(rates):.3g}, ends at {rates[-1]:.3g}"


def _validations(run: Run, course: Course) -> str:
    every = course.validate_every
    if course.validation is None:
        return "none"
    if every.steps is not None:
        times = -(-run.steps // every.steps)
    elif every.epochs is not None:
        times = -(-run.epochs // every.epochs)
    else:
        return f"{every}, and at the end"
    return f"{every}, {count(times, 'time')} in total"


def _cadence(plugin: Plugin) -> str:
    looks = overrides(plugin, "on_step_end") and plugin.every != Every()
    return f"{plugin.name} ({plugin.every})" if looks else plugin.name
