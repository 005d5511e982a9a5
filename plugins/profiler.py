"""Traces a few training steps with TensorFlow's profiler: every operation, on every thread."""

from __future__ import annotations

from pathlib import Path

from trainer.plugin import Every, Plugin
from trainer.registry import plugins
from trainer.run import Run

STEPS = 20
"""Number of steps traced, and skipped before: the first ones compile, and longer traces are unwieldy."""


@plugins.register("profiler")
class Profiler(Plugin):
    """Trace steps 21 to 40 of a run into the folder `profile` of its directory, and show how to open the trace.

    A resumed run is traced again, starting at least 20 steps after resuming. If the run ends or fails during the trace,
    the trace is shorter.
    """

    observer = True
    every = Every(steps=STEPS)

    def __init__(self) -> None:
        self._continued = 0  # the step at which this process started training
        self._begun: int | None = None  # the step after which the trace starts
        self._over = False

    def on_fit_start(self, run: Run) -> None:
        """Warn if there is no directory for a trace."""
        self._continued, self._begun, self._over = run.step, None, run.directory is None
        if self._over:
            run.warn("profiler: cannot trace a run without a directory; give run_dir")

    def on_step_end(self, run: Run) -> None:
        """Start or stop the trace."""
        if self._begun is not None:
            self._stop(run)
        elif not self._over and run.step - self._continued >= STEPS and run.step < run.steps:
            self._start(run)

    def on_fit_end(self, run: Run) -> None:
        """Stop a trace in progress."""
        if self._begun is not None:
            self._stop(run)
        elif not self._over:
            run.warn(f"profiler: no trace was recorded, since the run had fewer than {STEPS + 1} steps")

    def _start(self, run: Run) -> None:
        import tensorflow as tf

        self._over = True  # even if another profiler is active and this one is refused
        tf.profiler.experimental.start(str(_folder(run)))
        self._begun = run.step

    def _stop(self, run: Run) -> None:
        import tensorflow as tf

        assert self._begun is not None
        first, self._begun = self._begun + 1, None
        tf.profiler.experimental.stop()
        folder = _folder(run)
        run.say(
            f"profile of steps {first} to {run.step} in {folder}; to open it: pip install xprof, then "
            f"xprof --logdir {folder}"
        )


def _folder(run: Run) -> Path:
    assert run.directory is not None
    return run.directory / "profile"
