"""Before the first step: check everything that can fail later, then make the run directory or take up the run in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from trainer import checkpoint
from trainer.console.plan import plan
from trainer.engine import preflight
from trainer.engine.loop import Loop
from trainer.engine.signals import check_notice
from trainer.run import Run
from trainer.runs import manifest
from trainer.runs.lock import RunLock
from trainer.runs.manifest import Manifest, Saved
from trainer.runs.numerics import differences, version_differences
from trainer.runs.untrusted_keras import config_json
from trainer.tasks.task import Task


@dataclass(frozen=True)
class Opening:
    """The way to open a run: afresh, or where it stopped.

    Attributes:
        resumed: True if it continues the run in its directory.
        anyway: Continue even if the data or the seed are not those of the checkpoint.
        lock: The lock of the run directory, if it is held already.
    """

    resumed: bool = False
    anyway: bool = False
    lock: RunLock | None = None


@contextmanager
def opened(loop: Loop, task: Task, opening: Opening, config_text: str) -> Iterator[None]:
    """Claim, check and open the run directory, and release it at the end.

    Args:
        loop: The loop of a run that has not started.
        task: What is learned.
        opening: How to open it.
        config_text: Text of `config.toml`; empty for a run from Python.
    """
    recorder = loop.recorder
    with closing(recorder):
        if opening.resumed:
            recorder.claim(opening.lock)
        else:
            preflight.check_directory(recorder.path, resumed=False)
        start(loop, check(loop, task, opening), config_text)
        yield


def check(loop: Loop, task: Task, opening: Opening) -> Saved | None:
    """Look at everything that can fail later, change nothing, and write the plan of the run into `run.plan`.

    Returns:
        The checkpoint to resume from, if there is one.

    Raises:
        InkwellError: If anything would fail.
    """
    run, course, saved = loop.run, loop.course, None
    with loop.ledger("preflight"):
        check_notice(course.durations.stop_when)
        if opening.resumed:
            saved = loop.recorder.newest()
            manifest.check(run, saved.manifest, opening.anyway)
            _warn_of_other_numerics(run, saved.manifest)
            checkpoint.check_fits(saved.checkpoint, loop.variables)
        loop.hooks.check()
        learners = loop.training.learners
        preflight.check_values(run, task, learners.model, course)
        preflight.check_first_loss(task, learners.model, course)
        preflight.check_schedule(run, loop.rates)
        space = preflight.check_space(loop.recorder.path, loop.variables, loop.hooks.plugins)
        run.plan = plan(run, course, loop.hooks.plugins, loop.rates, space, saved, learners.of_task)
    return saved


def start(loop: Loop, saved: Saved | None, config_text: str) -> None:
    """Make the run directory, or take up the run in it where `saved` left it; batches are made meanwhile."""
    run, ledger = loop.run, loop.ledger
    loop.start(saved.manifest.counters.step if saved is not None else 0)
    with ledger("checkpoints"):
        loop.recorder.open(resumed=saved is not None)
        if saved is not None:
            loop.take_up(saved, loop.recorder.done)
            _warn_of_another_rate(run, saved.manifest)
            ledger.started -= run.seconds  # the wall time of a run includes its earlier processes' training
            ledger.seconds["earlier"] = run.seconds
        loop.recorder.start(config_text, "" if run.config else config_json(run.model))
    if (find_out := loop.course.seen) is not None:
        loop.recorder.remember(find_out)
    loop.started = time.perf_counter() - run.seconds


def _warn_of_other_numerics(run: Run, before: Manifest) -> None:
    """Warn if the run will differ from one without the break, since steps are now computed differently."""
    now = Manifest.of(run, {})
    differ = [*differences(before.numerics, now.numerics), *version_differences(before.versions, now.versions)]
    if differ:
        run.warn(f"the run continues, but not bit for bit: {', '.join(differ)}")


def _warn_of_another_rate(run: Run, before: Manifest) -> None:
    """Warn of a learning rate that jumps because the schedule of a longer or shorter run is another curve."""
    old, new = before.learning_rate, run.learning_rate
    if old is not None and run.steps != before.steps and abs(new - old) > 0.01 * max(new, old):
        run.warn(
            f"the learning rate goes from {old:.3g} to {new:.3g} at step {run.step:,}, since the run has {run.steps:,} "
            f"steps now instead of {before.steps:,}; optimizer.schedule_steps={before.steps} keeps the old curve"
        )
