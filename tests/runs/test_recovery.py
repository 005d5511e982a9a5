"""Does a run recover from divergence, and report what it did?"""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_images, small_net
from test_resume import Killer, state, timeless

from plugins.checkpoint import Checkpoint
from plugins.early_stopping import EarlyStopping
from plugins.nan_guard import NanGuard
from plugins.recovery import Recovery
from trainer import Every, Plugin, Run
from trainer.errors import TrainingFailed, UsageError
from trainer.run import Rewind

STEPS = 7  # per epoch


def pipeline(bad: dict[int, float]):
    """Return training batches; those of the steps in `bad`, counted from 1, are multiplied by a number."""
    import tensorflow as tf

    from trainer.data.pipeline import TrainingRows

    class Spoilt(TrainingRows):
        def batch(self, indices, step):
            images, labels = super().batch(indices, step)
            table = tf.constant(list(bad) or [0], tf.int64)
            factors = tf.constant([*bad.values()] or [1.0], tf.float32)
            hit = tf.equal(table, step + 1)
            return images * tf.where(tf.reduce_any(hit), tf.reduce_sum(tf.where(hit, factors, 0.0)), 1.0), labels

    return Spoilt(make_images(200), 32, 0, "light")


def fit(
    keras,
    folder: Path | None,
    *plugins: Plugin,
    bad: dict[int, float] | None = None,
    rate: Any = None,
    epochs: int = 4,
    resumed: bool = False,
):
    """Train with every feature in use; return the trainer and the run."""
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    model = small_net(keras)
    rate = rate or keras.optimizers.schedules.CosineDecay(1e-2, 100)
    trainer = Trainer(model, optimizer=keras.optimizers.Adam(rate), plugins=list(plugins), run_dir=folder)
    verb = trainer.resume if resumed else trainer.fit
    data = {"validation_data": make_images(60, seed=1), "test_data": make_images(40, seed=2)}
    run = verb(pipeline(bad or {}), **data, epochs=epochs)
    return trainer, run


@pytest.fixture(scope="module")
def ordinary(keras, tmp_path_factory: pytest.TempPathFactory):
    """A run without bad batches and without `recovery`: its last state and the run."""
    trainer, run = fit(keras, tmp_path_factory.mktemp("ordinary") / "run", Checkpoint())
    return state(trainer), run


@pytest.fixture(scope="module")
def recovered(keras, tmp_path_factory: pytest.TempPathFactory):
    """A run that lost the batch of step 17 and was never stopped: its last state and the run."""
    folder = tmp_path_factory.mktemp("recovered") / "run"
    trainer, run = fit(keras, folder, Checkpoint(), EarlyStopping(), Recovery(), bad={17: math.nan})
    return state(trainer), run


def recoveries(run: Run) -> list[dict[str, Any]]:
    return [line for line in run.history if line["kind"] == "recovery"]


class Skip(Plugin):
    """Skips given steps from the start."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_fit_start(self, run: Run) -> None:
        run.recoveries = [Rewind("the gradients are not finite at step 17", self.steps, 1.0)]


def test_a_batch_of_nan_pixels_is_skipped_and_the_run_finishes(keras, tmp_path, caplog):
    trainer, run = fit(keras, tmp_path / "run", NanGuard(1), Checkpoint(), Recovery(), bad={17: math.nan})
    assert (run.status, run.step, len(run.recoveries)) == ("done", 4 * STEPS, 1)
    (line,) = recoveries(run)
    assert (line["step"], line["skip"], line["reason"]) == (
        17,
        [17],
        "the gradients are not finite at step 17",
    )
    assert (
        "the gradients are not finite at step 17: back to step 14, continuing without step 17, at 0.5 times"
        in caplog.text
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_text().splitlines()]
    assert lines == json.loads(json.dumps(run.history))
    assert [(line["kind"], line["step"]) for line in lines] == [
        *(("epoch", 7), ("epoch", 14), ("recovery", 17), ("epoch", 21), ("epoch", 28)),
    ]
    assert run.result["skipped_steps"] == [17]
    assert run.result["test"]["accuracy"] > 0.9
    assert all(np.isfinite(np.asarray(v)).all() for v in trainer.loop.variables)


def test_what_is_skipped_is_exactly_the_batch(keras, ordinary, tmp_path):
    skipping, run = fit(keras, tmp_path / "a", Checkpoint(), Recovery(factor=1.0), bad={17: math.nan})
    planned, expected = fit(keras, tmp_path / "b", Checkpoint(), Skip(17))
    assert state(skipping) == state(planned)
    assert timeless(run.history) == timeless(expected.history)
    assert state(skipping) != ordinary[0]


def test_a_batch_before_the_first_epoch_ends_can_be_skipped_and_the_last(keras, tmp_path):
    bad = {2: math.nan, 4 * STEPS: math.inf}
    _, run = fit(keras, tmp_path / "run", Checkpoint(), Recovery(), bad=bad)
    assert [line["skip"] for line in recoveries(run)] == [[2], [28]]
    assert (run.status, run.step, run.skipped) == ("done", 28, [2, 28])


@pytest.mark.slow
@pytest.mark.parametrize("rate", [None, 0.01], ids=["schedule", "number"])
def test_the_learning_rate_stays_lower_also_after_a_resume(keras, tmp_path, rate):
    fit(
        keras,
        tmp_path / "run",
        Checkpoint(),
        Recovery(factor=0.25),
        Killer(20, "on_step_end"),
        bad={3: -math.inf},
        rate=rate,
    )
    _, run = fit(
        keras, tmp_path / "run", Checkpoint(), Recovery(factor=0.25), bad={3: math.inf}, rate=rate, resumed=True
    )
    _, whole = fit(keras, tmp_path / "whole", Checkpoint(), rate=rate)
    for have, full in zip([line for line in run.history if line["kind"] == "epoch"], whole.history, strict=True):
        assert have["learning_rate"] == pytest.approx(full["learning_rate"] / 4, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "hook"), [(14, "on_epoch_end"), (15, "on_step_end"), (18, "on_step_end"), (21, "on_validation_start")]
)
def test_a_recovered_run_that_is_stopped_resumes_as_if_it_had_not_been(keras, recovered, tmp_path, step, hook):
    bad = {17: math.nan}
    whole, expected = recovered
    _, stopped = fit(keras, tmp_path / "run", Checkpoint(), EarlyStopping(), Recovery(), Killer(step, hook), bad=bad)
    assert stopped.status == "interrupted"
    trainer, run = fit(keras, tmp_path / "run", Checkpoint(), EarlyStopping(), Recovery(), bad=bad, resumed=True)
    assert state(trainer) == whole
    assert timeless(run.history) == timeless(expected.history)
    assert timeless(run.result) == timeless(expected.result)


class Signal(Plugin):
    """Is told to stop at the moment the loss is found to be bad."""

    every = Every(steps=1)

    def on_step_end(self, run: Run) -> None:
        if run.step == 17:
            signal.raise_signal(signal.SIGTERM)


def test_a_signal_in_the_moment_of_a_recovery_saves_what_is_good(keras, recovered, tmp_path):
    bad = {17: math.nan}
    plugins = Checkpoint(), EarlyStopping(), Recovery()
    _, stopped = fit(keras, tmp_path / "run", Signal(), *plugins, bad=bad)
    assert (stopped.status, stopped.step, stopped.stop_reason) == ("interrupted", 14, "stopped by SIGTERM")
    trainer, run = fit(keras, tmp_path / "run", Checkpoint(), EarlyStopping(), Recovery(), bad=bad, resumed=True)
    whole, expected = recovered
    assert state(trainer) == whole
    assert timeless(run.history) == timeless(expected.history)


class Poison(Plugin):
    """Spoils the weights after a step, like an update whose loss was fine, a number of times."""

    every = Every(steps=1)

    def __init__(self, step: int, largest: float = math.nan, times: int = 1) -> None:
        self.step, self.largest, self.times = step, largest, times

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step and self.times:
            self.times -= 1
            bias = run.model.trainable_variables[-1]
            bias.assign(np.linspace(0, self.largest, bias.shape[0], dtype=np.float32))


def test_an_update_that_spoils_the_weights_is_skipped_too_if_the_next_batch_alone_does_not_help(keras, tmp_path):
    _, run = fit(keras, tmp_path / "run", Checkpoint(), Recovery(), Poison(16, times=2))
    assert [line["skip"] for line in recoveries(run)] == [[17], [17, 18]]
    assert run.status == "done"


def test_weights_that_are_lost_at_the_end_of_an_epoch_are_not_saved(keras, tmp_path):
    _, run = fit(keras, tmp_path / "run", Checkpoint(), Recovery(), Poison(14))
    (line,) = recoveries(run)
    assert (line["step"], line["skip"]) == (14, [14])
    assert run.status == "done"


def test_a_checkpoint_of_weights_that_are_lost_is_none_to_go_back_to(keras, tmp_path, caplog):
    _, run = fit(keras, tmp_path / "run", Poison(16), Checkpoint(every_steps=4), Recovery())
    assert [line["skip"] for line in recoveries(run)] == [[17]]
    assert "back to step 14" in caplog.text  # not 16
    assert run.status == "done"


def test_a_spike_is_gone_back_before(keras, tmp_path, caplog):
    plugins = Checkpoint(every_steps=5), Recovery(), Poison(121, largest=26.0)
    _, run = fit(keras, tmp_path / "run", *plugins, epochs=22)
    assert run.status == "done"
    (line,) = recoveries(run)
    first, last = line["skip"][0], line["skip"][-1]
    assert first in (121, 122)  # the poisoned weights show in the loss of step 122
    assert line["skip"] == list(range(first, last + 1))
    assert last - first >= 5  # certainty took a few losses
    assert f"back to step 120, continuing without steps {first} to {last}" in caplog.text


def test_one_loss_that_no_batch_can_have_is_enough(keras, tmp_path, caplog):
    plugins = Checkpoint(every_steps=5), Recovery(), Poison(121, largest=500.0)
    _, run = fit(keras, tmp_path / "run", *plugins, epochs=22)
    (line,) = recoveries(run)
    assert line["skip"] == [121, 122]


def test_a_learning_rate_that_is_too_high_from_the_start_is_lowered(keras, tmp_path):
    _, run = fit(keras, tmp_path / "run", Checkpoint(), Recovery(factor=0.1), rate=20.0, epochs=6)
    assert run.status == "done"
    assert recoveries(run)[0]["skip"][0] <= 2
    assert run.result["test"]["accuracy"] > 0.9


def test_ordinary_training_is_left_alone(keras, ordinary, tmp_path):
    watched, run = fit(keras, tmp_path / "run", Checkpoint(), Recovery())
    assert run.recoveries == []
    assert state(watched) == ordinary[0]


def test_what_cannot_be_helped_fails_after_a_bounded_number_of_times(keras, tmp_path):
    bad = dict.fromkeys(range(16, 29), math.nan)
    with pytest.raises(
        TrainingFailed, match=r"the gradients are not finite at step \d+, after 3 recoveries; try a lower learning"
    ):
        fit(keras, tmp_path / "run", Checkpoint(), Recovery(retries=3), bad=bad)


def test_a_rewind_takes_back_what_other_plugins_remember(keras, tmp_path):
    class Counter(Plugin):
        every = Every(steps=1)

        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_step_end(self, run: Run) -> None:
            self.steps.append(run.step)

        def state(self) -> dict[str, Any]:
            return {"steps": self.steps}

        def restore(self, state: dict[str, Any]) -> None:
            self.steps = list(state["steps"])

    counter = Counter()
    fit(keras, tmp_path / "run", counter, Checkpoint(), Recovery(), bad={17: math.nan})
    assert counter.steps == list(range(1, 29))


def test_without_a_run_directory_there_is_nothing_to_go_back_to(keras):
    with pytest.raises(UsageError, match="recovery needs a run directory for its checkpoints"):
        fit(keras, None, Recovery())
