"""Does each small plugin do what it says? Hooks are called with a hand-made run; no TensorFlow."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import plugins  # noqa: F401  (fills the table)
from plugins.checkpoint import Checkpoint
from plugins.early_stopping import EarlyStopping
from plugins.nan_guard import NanGuard
from trainer import Run
from trainer.errors import UsageError
from trainer.registry import plugins as registry


def looks(plugin: EarlyStopping, values: list[float], monitor: str = "val_loss") -> tuple[int, str]:
    """Return how many of the values were looked at before the run was stopped, and why it was."""
    for count, value in enumerate(values, start=1):
        run = Run(logs={monitor: value})
        plugin.on_validation_end(run)
        plugin.on_epoch_end(run)
        if run.stop_reason:
            return count, run.stop_reason
    return len(values), ""


def test_early_stopping_waits_for_patience_looks_without_improvement():
    assert looks(EarlyStopping(patience=2), [0.5, 0.4, 0.45, 0.41, 0.3]) == (
        4,
        "val_loss has not improved on 0.4 for 2 looks",
    )


def test_early_stopping_counts_an_improvement_only_beyond_min_delta():
    assert looks(EarlyStopping(patience=2, min_delta=0.1), [0.5, 0.45, 0.41, 0.1])[0] == 3
    assert looks(EarlyStopping(patience=2, min_delta=0.1), [0.5, 0.45, 0.39, 0.38, 0.2]) == (5, "")


def test_early_stopping_knows_that_accuracy_should_rise():
    assert looks(EarlyStopping("val_accuracy", patience=1), [0.5, 0.6, 0.55], "val_accuracy")[0] == 3
    assert looks(EarlyStopping("val_loss", patience=1, mode="max"), [0.5, 0.6, 0.55])[0] == 3


def test_early_stopping_looks_at_epoch_numbers_only_at_the_end_of_an_epoch():
    plugin, run = EarlyStopping("loss", patience=1), Run(logs={"loss": 1.0})
    plugin.on_validation_end(run)
    assert plugin.best.value == math.inf
    plugin.on_epoch_end(run)
    assert plugin.best.value == 1.0


def test_early_stopping_at_a_threshold_and_at_divergence():
    assert looks(EarlyStopping(threshold=0.3), [0.5, 0.3]) == (2, "val_loss 0.3 reached the threshold 0.3")
    assert looks(EarlyStopping(divergence=1.0), [0.5, 1.5]) == (2, "val_loss 1.5 is worse than 1")
    assert looks(EarlyStopping(divergence=1.0), [math.nan])[0] == 1


def test_nan_is_never_an_improvement():
    assert looks(EarlyStopping(patience=2), [math.nan, math.nan])[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": 0}, "patience must be at least 1: 0"),
        ({"min_delta": -1.0}, "min_delta must be at least 0"),
        ({"mode": "down"}, "mode='down'"),
        ({"patince": 3}, "no argument 'patince'; did you mean 'patience'"),
    ],
)
def test_wrong_arguments_of_a_plugin_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        registry.build("early_stopping", **arguments)


def saved(plugin: Checkpoint, values: list[float], refused: tuple[int, ...] = ()) -> list[list[str]]:
    """Return the roles asked for after each of the values; at the steps `refused` the disk is full."""
    roles, run = [], Run()
    for value in values:
        run.step += 1
        run.logs["val_loss"] = value
        plugin.on_step_end(run)
        plugin.on_validation_end(run)
        plugin.on_epoch_end(run)
        roles.append(run.saves)
        if run.step not in refused:
            run.saved |= dict.fromkeys(run.saves, run.step)
        run.saves = []
    return roles


def test_checkpoint_saves_the_last_always_and_the_best_when_it_is():
    expected = [["last", "best"], ["last"], ["last"], ["last", "best"]]
    assert saved(Checkpoint(), [0.5, 0.6, math.nan, 0.4]) == expected


def test_a_best_that_the_disk_refused_is_not_the_one_to_beat():
    expected = [["last", "best"], ["last", "best"], ["last", "best"], ["last"]]
    assert saved(Checkpoint(), [0.5, 0.3, 0.4, 0.45], refused=(2,)) == expected


def test_a_restored_checkpoint_plugin_does_not_overwrite_the_best_with_a_worse_one():
    before, after = Checkpoint(), Checkpoint()
    saved(before, [0.3])
    after.restore(json.loads(json.dumps(before.state())))
    assert saved(after, [0.4]) == [["last"]]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_nan_guard_fails_a_run_whose_loss_is_lost(loss):
    run = Run(step=200, epoch=2, read_metrics=lambda: {"loss": loss})
    NanGuard().on_step_end(run)
    assert run.failed
    assert f"the training loss is {loss} at step 200 (epoch 2)" in run.stop_reason


def test_nan_guard_sees_weights_that_are_lost_behind_a_loss_that_is_not():
    model = SimpleNamespace(weights=[np.zeros(3), np.array([1.0, np.nan])])
    run = Run(step=7, epoch=2, logs={"loss": 0.3}, model=model)
    NanGuard().on_epoch_end(run)
    assert (run.failed, run.stop_reason.split(";")[0]) == (True, "a weight is no longer finite at step 7 (epoch 2)")


def test_nan_guard_leaves_a_sound_run_alone():
    run = Run(read_metrics=lambda: {"loss": 2.3}, logs={"loss": 2.3})
    NanGuard().on_step_end(run)
    NanGuard().on_epoch_end(run)
    assert not run.stop_reason


def test_no_plugin_module_imports_tensorflow_mlflow_or_matplotlib():
    code = (
        "import sys, plugins; from trainer.registry import plugins as p\n"
        "for e in p.entries(): p.resolve(e.name)\n"
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"
