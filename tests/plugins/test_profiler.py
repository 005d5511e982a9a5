"""Does the profiler trace the documented steps, however the run ends, and say how to view the trace?"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from conftest import make_images

from plugins.profiler import Profiler
from trainer import Durations, Every, Plugin, Run
from trainer.errors import PluginError


class Breaker(Plugin):
    """Raises at a given step, if any."""

    every = Every(steps=1)

    def __init__(self, step: int | None = None) -> None:
        self.step = step

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step:
            raise ZeroDivisionError("on purpose")


def fit(keras, folder: Path | None, steps: int, broken: int | None = None) -> Run:
    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    images = keras.Input((12, 12, 1))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    trainer = Trainer(model, plugins=[Profiler(), Breaker(broken)], run_dir=folder)
    train = TrainingRows(make_images(60), batch_size=2, augmentation="none")
    return trainer.fit(train, durations=Durations(steps=steps))


def traces(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in (folder / "profile").rglob("*.xplane.pb")]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="trainer")
    return caplog


def test_it_traces_steps_21_to_40_and_says_how_to_open_the_trace(keras, tmp_path, said):
    fit(keras, tmp_path / "run", steps=90)
    (trace,) = traces(tmp_path / "run")
    assert b"MatMul" in trace
    place = tmp_path / "run" / "profile"
    assert said.messages.count(
        f"profile of steps 21 to 40 in {place}; to open it: pip install xprof, then xprof --logdir {place}"
    )
    assert len([message for message in said.messages if "profile" in message]) == 1


def test_a_run_that_fails_in_between_keeps_its_trace_and_leaves_the_profiler_free(keras, tmp_path, said):
    for name in ("one", "other"):
        with pytest.raises(PluginError, match="on purpose"):
            fit(keras, tmp_path / name, steps=90, broken=31)
        assert len(traces(tmp_path / name)) == 1
    assert len([message for message in said.messages if message.startswith("profile of steps 21 to 31 in ")]) == 2


def test_what_cannot_be_traced_is_reported(keras, tmp_path, said):
    fit(keras, None, steps=25)
    fit(keras, tmp_path / "run", steps=20)
    assert [message for message in said.messages if message.startswith("profiler")] == [
        "profiler: cannot trace a run without a directory; give run_dir",
        "profiler: no trace was recorded, since the run had fewer than 21 steps",
    ]
    assert not (tmp_path / "run" / "profile").exists()


def test_a_profiler_that_is_busy_costs_a_warning(keras, tmp_path, said):
    import tensorflow as tf

    tf.profiler.experimental.start(str(tmp_path / "mine"))
    try:
        run = fit(keras, tmp_path / "run", steps=50)
    finally:
        tf.profiler.experimental.stop()
    assert (run.step, run.status) == (50, "done")
    assert any("plugin 'profiler' failed in on_step_end" in message for message in said.messages)
    assert not traces(tmp_path / "run")
