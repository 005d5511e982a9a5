"""Does every plugin keep the contract: does its state hold everything it must, and survive an interruption?"""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_images

from plugins.mlflow import worker
from trainer import Every, Plugin, Run, checkpoint
from trainer.checkpoint import LAYOUT, Checkpoints
from trainer.registry import plugins as registry
from trainer.runs import manifest

NAMES = [entry.name for entry in registry.entries() if not entry.distribution]
every_plugin = pytest.mark.parametrize("name", NAMES)

LIVELY: dict[str, dict[str, Any]] = {
    "checkpoint": {"keep": 2, "every_steps": 3},
    "early_stopping": {"min_delta": 100.0, "patience": 3},  # counts from the first value, and stops the run
    "nan_guard": {"every_steps": 2},
    "progress": {"mode": "plain"},
}
"""Arguments with which a plugin has something to do in a run of a second."""

UNLIKE = (
    *("seconds", "images_per_second", "train_seconds", "wall_seconds", "time", "run_dir"),
    *("epoch_seconds", "step_seconds", "bottleneck"),
)
"""Times, rates, paths and words about them, which differ between runs."""


class Interruption(Plugin):
    """Sends SIGTERM to the process in mid-epoch."""

    every = Every(steps=1)

    def on_step_end(self, run: Run) -> None:
        if run.step == 10:
            os.kill(os.getpid(), signal.SIGTERM)


class Nowhere:
    """A mirror that accepts everything and stores nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.update = self.log_model = lambda *arguments: None


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "Mirror", Nowhere)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def fit(keras, folder: Path, images, plugin: Plugin, *others: Plugin, resumed: bool = False):
    """Train a small model, which has everything that resuming can lose, with a plugin and `checkpoint`."""
    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    pixels = keras.Input((12, 12, 1))
    x = keras.layers.BatchNormalization()(pixels)
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    model = keras.Model(pixels, keras.layers.Dense(4)(x), name="small")
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    saving = [] if plugin.name == "checkpoint" else [registry.build("checkpoint")]
    trainer = Trainer(model, optimizer=optimizer, plugins=[plugin, *saving, *others], run_dir=folder)
    train = TrainingRows(images.subset(np.arange(160)), batch_size=24)  # seven batches, the last a short one
    held_out = {"validation_data": images.subset(np.arange(160, 200)), "test_data": make_images(20, seed=2)}
    verb = trainer.resume if resumed else trainer.fit
    run = verb(train, **held_out, epochs=5)
    return run, [np.asarray(variable).tobytes() for variable in [*model.variables, *optimizer.variables]]


def alike(value: Any) -> Any:
    """Return a history or result without the values that differ between runs."""
    if isinstance(value, Mapping):
        return {key: alike(item) for key, item in value.items() if key not in UNLIKE}
    return [alike(item) for item in value] if isinstance(value, list) else value


def insides(value: Any) -> Any:
    """Return the attributes of an object and of the objects in it, as plain values."""
    if isinstance(value, list | tuple):
        return [insides(item) for item in value]
    if isinstance(value, dict):
        return {key: insides(item) for key, item in value.items()}
    if type(value).__module__.startswith("plugins.") and hasattr(value, "__dict__"):
        return insides(vars(value))
    return repr(value)


def lively(name: str) -> Plugin:
    return registry.build(name, **LIVELY.get(name, {}))


def roles(run: Path) -> dict[str, str]:
    """Return the checkpoint that each role points to."""
    return {path.name: path.read_text() for path in (run / "checkpoints").iterdir() if path.is_file()}


def states(plugin: Plugin) -> str:
    return json.dumps(plugin.state(), allow_nan=False)


@every_plugin
def test_an_interruption_in_mid_epoch_changes_nothing(keras, tmp_path, images, name):
    whole_plugin, stopped_plugin, resumed_plugin = (lively(name) for _ in range(3))
    whole, weights = fit(keras, tmp_path / "whole", images, whole_plugin)
    stopped, _ = fit(keras, tmp_path / "run", images, stopped_plugin, Interruption())
    assert (stopped.status, stopped.step, stopped.epoch) == ("interrupted", 10, 2)
    run, resumed_weights = fit(keras, tmp_path / "run", images, resumed_plugin, resumed=True)
    assert run.status == whole.status == "done"
    assert resumed_weights == weights
    assert alike(run.history) == alike(whole.history)
    assert alike(run.result) == alike(whole.result)
    assert resumed_plugin.state() == whole_plugin.state()
    assert roles(tmp_path / "run") == roles(tmp_path / "whole")
    assert len(run.history) == (4 if name == "early_stopping" else 5)


def live(plugin: Plugin, done: int = 0, run: Run | None = None) -> Run:
    """Call the hooks of a plugin as a short run does, so that its state is not empty."""
    run = run or Run(step=done, epoch=done, steps=6, steps_per_epoch=1, model=NoWeights(), gradient_norms=[1.0])
    for value in (0.5, 0.4, 0.45):
        run.step, run.epoch = run.step + 1, run.epoch + 1
        run.logs = {"loss": value, "val_loss": value, "val_accuracy": value}
        run.losses, run.read_metrics = [value], lambda: run.logs
        for hook in (plugin.on_step_end, plugin.on_validation_end, plugin.on_epoch_end):
            hook(run)
        run.saved |= dict.fromkeys(run.inbox.saves, run.step)
        run.inbox.saves = []
    return run


class NoWeights:
    """The part of a model that plugins look at."""

    variables = trainable_variables = weights = ()


@every_plugin
def test_a_plugin_is_built_by_its_name_and_says_what_it_is(name):
    plugin = registry.build(name)
    assert isinstance(plugin, Plugin)
    assert plugin.name == name
    assert type(plugin).__doc__


@every_plugin
def test_a_fresh_plugin_takes_back_what_another_remembers(name):
    old, fresh = lively(name), lively(name)
    run = live(old)
    assert (states(old) != states(fresh)) == bool(fresh.state())  # a plugin with state has changed it
    fresh.restore(json.loads(states(old)))
    assert states(fresh) == states(old)
    live(old, run=run)
    live(fresh, done=3)
    assert states(fresh) == states(old)


@every_plugin
def test_to_be_asked_for_the_state_changes_nothing(name):
    plugin = lively(name)
    for _ in range(2):
        before = insides(plugin)
        assert states(plugin) == states(plugin)
        assert insides(plugin) == before
        live(plugin)


@every_plugin
def test_a_plugin_before_its_first_step_can_be_saved_too(name):
    plugin, other = registry.build(name), registry.build(name)
    other.restore(json.loads(states(plugin)))
    assert insides(other) == insides(plugin)


# The engine's state


def test_what_a_real_run_writes_is_what_is_read_back(keras, tmp_path, images):
    stopped, _ = fit(keras, tmp_path / "run", images, registry.build("early_stopping"), Interruption())
    last = Checkpoints(tmp_path / "run" / "checkpoints").role("last")
    assert last is not None
    written = checkpoint.read(last).manifest
    known = manifest.Manifest.parse(written, "the checkpoint")
    assert written == {"layout": LAYOUT, **known.to_dict(), "variables": written["variables"]}
    again, plugin = Run(seed=0, steps_per_epoch=7, data=known.data), registry.build("early_stopping")
    manifest.check(again, known, anyway=False)
    manifest.take_up(again, known, [plugin], done=False)
    assert {name: getattr(again, name) for name in manifest.COUNTERS} == {
        name: getattr(stopped, name) for name in manifest.COUNTERS
    }
    assert again.logs == stopped.logs
    assert plugin.state()["best"] is not None
    assert math.isfinite(again.seconds)
    assert again.stop_reason == ""  # a signal does not count as a reason
