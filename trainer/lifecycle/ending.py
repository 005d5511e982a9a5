"""After the last step: end whatever was started; if training went through, test once and write the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from trainer import checkpoint
from trainer.data.pipeline import EvaluationRows
from trainer.engine.ledger import Ledger, bottleneck
from trainer.engine.loop import Loop
from trainer.errors import PluginError, TrainingFailed
from trainer.evaluation.overlap import overlap
from trainer.evaluator import Evaluator
from trainer.plugin import Plugin
from trainer.result import Result, Scores
from trainer.run import Status
from trainer.runs.result import make_result


@contextmanager
def plugins_at_work(loop: Loop) -> Iterator[None]:
    """Start the plugins of an open run, end each one that was started, and keep how the run ended."""
    run, hooks = loop.run, loop.hooks
    with _failing_with_plugins(loop), ExitStack() as ends:
        try:
            for plugin in hooks.plugins:
                ends.callback(hooks.call_one, Plugin.on_fit_end, plugin)
                hooks.call_one(Plugin.on_fit_start, plugin)
            yield
            _set_status(loop, "done" if run.result else "interrupted")
        except BaseException as error:
            run.error = error
            run.stop(str(error) or type(error).__name__)
            _set_status(loop, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            hooks.call(Plugin.on_exception)
            loop.save_after_exception()
            raise


@contextmanager
def _failing_with_plugins(loop: Loop) -> Iterator[None]:
    """Mark a run failed whose plugins could not be ended."""
    try:
        yield
    except PluginError:
        _set_status(loop, "failed")
        loop.recorder.withdraw()
        raise


def _set_status(loop: Loop, status: Status) -> None:
    loop.run.status = status
    loop.recorder.status()


def conclude(loop: Loop, evaluator: Evaluator) -> None:
    """Choose the weights, fit their temperature, evaluate the test data once, write the result.

    A run that is told to stop meanwhile writes none: its test is repeated when it is resumed.

    Raises:
        TrainingFailed: If the run was ended by `run.fail`, or its last checkpoint could not be written.
    """
    run, recorder = loop.run, loop.recorder
    if run.failed:
        raise TrainingFailed(run.stop_reason)
    with loop.ledger("checkpoints"):
        recorder.check_saved()
        if run.broken_off:
            return
        best = recorder.best()
        if best is not None:
            checkpoint.restore(best.checkpoint, loop.variables)
    loop.training.learners.average()
    with loop.ledger("test"):
        validation = loop.course.validation
        temperature = evaluator.temperature(validation) if validation is not None else None
        tested = _test(loop, evaluator, temperature)
    if run.broken_off:
        return
    speed = run.images / (run.step_seconds or 1.0)
    run.kernels = str(loop.training.kernels)  # `auto` knows now what it chose
    run.result = _accounted(make_result(run, best, tested, speed, temperature), loop.ledger)
    loop.hooks.call(Plugin.on_test_end)
    run.result = _accounted(run.result, loop.ledger)
    recorder.finish()


def _test(loop: Loop, evaluator: Evaluator, temperature: float | None) -> Scores:
    """Return the numbers on the test data, with how many of its images were trained on; none without test data."""
    run, test, seen = loop.run, loop.course.test, loop.recorder.seen
    if test is None:
        return Scores()
    tested, run.predictions = evaluator.assess(test, temperature)
    if seen is None or not isinstance(test, EvaluationRows):
        return tested
    right = run.predictions.right if run.predictions is not None else None
    return Scores({**tested, "overlap": overlap(seen, test.rows, right).to_dict()})


def _accounted(result: Result, ledger: Ledger) -> Result:
    """Return a result with where the time went until now."""
    ledger.rest("other")
    spent = {"wall_seconds": ledger.wall(), "time": ledger.rounded()}
    return Result({**result, **spent, "bottleneck": bottleneck(ledger.seconds)})
