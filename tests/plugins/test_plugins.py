"""Does each small plugin do what it says? Hooks are called with a hand-made run; no TensorFlow."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from plugins.checkpoint import Checkpoint
from plugins.early_stopping import EarlyStopping
from plugins.monitor import direction
from plugins.nan_guard import NanGuard
from trainer import Run
from trainer.errors import UsageError
from trainer.plugin import snake_case
from trainer.registry import plugins as registry


def looks(plugin: EarlyStopping, values: list[float], monitor: str = "val_loss") -> tuple[int, str]:
    """Return the number of values read before the run was stopped, and the reason for stopping."""
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
        "val_loss has not improved on 0.4 for 2 validations",
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
        ({"monitor": "val_foo"}, "cannot tell whether val_foo should rise or fall; give mode=max or mode=min$"),
        ({"monitor": "val_los"}, r"give mode=max or mode=min \(or did you mean val_loss\?\)$"),
        ({"patince": 3}, "no argument 'patince'; did you mean 'patience'"),
    ],
)
def test_wrong_arguments_of_a_plugin_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        registry.build("early_stopping", **arguments)


def test_early_stopping_takes_its_arguments_in_the_order_of_its_peers():
    """Keras and Lightning start with monitor, min_delta, patience."""
    plugin = EarlyStopping("val_accuracy", 0.1, 3, "min")
    assert (plugin.monitor, plugin.best.min_delta, plugin.patience, plugin.best.sign) == ("val_accuracy", 0.1, 3, -1)


def test_a_number_that_is_not_there_in_time_is_reported_in_a_line():
    with pytest.raises(UsageError, match="val_loss has not been logged yet; the plugin that logs it must do so in"):
        EarlyStopping().on_validation_end(Run())


# The direction of improvement

RISING = (
    *("accuracy", "acc", "val_accuracy", "val_acc", "val_sparse_categorical_accuracy", "val_accuracy_1", "valAccuracy"),
    *(
        "val_top_k_categorical_accuracy",
        "val_top5",
        "val_top_5",
        "val_auc",
        "val_AUC",
        "val_auroc",
        "val_mAP",
        "val_map50",
    ),
    *(
        "val_precision",
        "val_recall",
        "val_recall@5",
        "val_f1",
        "val_f1_score",
        "val_F1Score",
        "val_fbeta",
        "val_f_score",
    ),
    *("val_iou", "val_IoU", "val_mIoU", "val_mean_io_u", "val_one_hot_io_u", "val_dice", "val/dice", "val_dice_score"),
    *("val_r2", "val_r2_score", "val_sensitivity", "val_specificity", "val_sensitivity_at_specificity", "val_kappa"),
    *("val_mcc", "val_bleu", "val_bleu4", "val_psnr", "val_ssim", "val_cosine_similarity", "val_true_positives"),
    *("images_per_second", "val_recall_at_error", "val_log_likelihood"),
)
FALLING = (
    *(
        "loss",
        "val_loss",
        "batch_loss",
        "val_dice_loss",
        "val_iou_loss",
        "val_accuracy_loss",
        "val_top_5_error",
        "val_err",
    ),
    *("val_mae", "val_MSE", "val_mean_squared_error", "val_rmse", "val_mean_absolute_percentage_error", "val_msle"),
    *("val_nll", "val_calibrated_nll", "val_negative_log_likelihood", "val_perplexity", "val_binary_crossentropy"),
    *("val_ece", "val_brier", "val_brier_score", "val_logcosh", "val_log_cosh", "val_hinge", "val_kl_divergence"),
    *("val_false_positives", "val_false_positive_rate", "seconds", "val_poisson", "val_fpr_at_tpr", "val_l1_loss"),
)
UNKNOWN = (
    "val_foo",
    "learning_rate",
    "gradient_norm",
    "val_score",
    "val_racc",
    "val_lossy",
    "val_",
    "val_mapping",
    "val_f",
)


@pytest.mark.parametrize(
    ("monitor", "sign"),
    [*((name, 1) for name in RISING), *((name, -1) for name in FALLING), *((name, None) for name in UNKNOWN)],
)
def test_the_name_tells_which_values_are_better(monitor, sign):
    assert direction(monitor) == sign


def test_every_metric_of_keras_is_known(keras):
    classes = [thing.__name__ for thing in vars(keras.metrics).values() if inspect.isclass(thing)]
    names = [snake_case(name) for name in classes if name not in ("Metric", "Mean", "Sum", "MeanMetricWrapper")]
    assert len(names) > 30
    assert [name for name in names if direction(name) is None] == []


def test_the_best_weights_are_those_of_the_highest_iou():
    plugin, run, best = Checkpoint("val_iou"), Run(), []
    for run.step, value in enumerate((0.3, 0.5, 0.4), start=1):
        run.logs, run.inbox.saves = {"val_iou": value}, []
        plugin.on_validation_end(run)
        best.append("best" in run.inbox.saves)
        run.saved["best"] = run.step if best[-1] else run.saved["best"]
    assert best == [True, True, False]


# Checkpoints


def saved(plugin: Checkpoint, values: list[float], refused: tuple[int, ...] = ()) -> list[list[str]]:
    """Return the roles requested after each of the values; the disk is full at the steps `refused`."""
    roles, run = [], Run()
    for value in values:
        run.step += 1
        run.logs["val_loss"] = value
        plugin.on_step_end(run)
        plugin.on_validation_end(run)
        plugin.on_epoch_end(run)
        roles.append(run.inbox.saves)
        if run.step not in refused:
            run.saved |= dict.fromkeys(run.inbox.saves, run.step)
        run.inbox.saves = []
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
    assert (run.failed, run.stop_reason.split(";")[0]) == (True, "a weight is NaN or infinite at step 7 (epoch 2)")


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
