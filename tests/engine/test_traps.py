"""Do the optimizer, the hooks and the learning rate behave as their names promise, where mistakes are easy?"""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_images

from plugins.checkpoint import Checkpoint
from plugins.early_stopping import EarlyStopping
from trainer import Durations, Every, Plugin, Run, Task
from trainer.errors import UsageError
from trainer.tasks.classification import Classification


def net(keras, dtype: str | None = None):
    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 1))
    x = keras.layers.Dense(16, activation="relu", dtype=dtype)(keras.layers.Flatten()(images))
    return keras.Model(images, keras.layers.Dense(4, dtype="float32")(x), name="small")


def train(keras, optimizer, *plugins: Plugin, epochs: int = 2, run_dir=None, resumed: bool = False, **arguments):
    from trainer.trainer import Trainer

    trainer = Trainer(net(keras), optimizer=optimizer, plugins=plugins, run_dir=run_dir, **arguments)
    data = {"validation_data": make_images(60, seed=1), "test_data": make_images(40, seed=2)}
    (trainer.resume if resumed else trainer.fit)(make_images(200), batch_size=50, epochs=epochs, **data)
    return trainer


class Norms(Plugin):
    """Records the gradient norm of every step."""

    every = Every(steps=1)
    gradient_norms = True

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_step_end(self, run: Run) -> None:
        self.norms += np.asarray(run.gradient_norms).tolist()


# Loss scaling


def test_the_norm_of_the_gradients_is_that_of_the_loss_however_it_is_scaled(keras):
    plain, scaled, dynamic = Norms(), Norms(), Norms()
    train(keras, keras.optimizers.SGD(0.01), plain)
    train(keras, keras.optimizers.SGD(0.01, loss_scale_factor=1024.0), scaled)
    train(keras, keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=256.0), dynamic)
    assert plain.norms[0] > 0.1
    np.testing.assert_allclose(scaled.norms, plain.norms, rtol=1e-4)
    np.testing.assert_allclose(dynamic.norms, plain.norms, rtol=1e-4)


def test_clipping_means_the_same_whether_the_loss_is_scaled_or_not(keras):
    weights = []
    for factor in (None, 1024.0):
        trainer = train(keras, keras.optimizers.SGD(0.1, loss_scale_factor=factor), clip_norm=0.05)
        weights.append([np.asarray(weight) for weight in trainer.model.weights])
    for plain, scaled in zip(*weights, strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=1e-4, atol=1e-6)


def test_accumulated_gradients_are_refused_in_one_line_before_anything_is_written(keras, tmp_path):
    optimizer = keras.optimizers.Adam(1e-3, gradient_accumulation_steps=4)
    with pytest.raises(UsageError, match=r"^cannot train with gradient_accumulation_steps=4: .*; remove it and use"):
        train(keras, optimizer, Checkpoint(), run_dir=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# Averages of the weights


class Evaluating(Plugin):
    """Evaluates the weights that it sees in the validation hooks."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.told: list[float] = []

    def on_validation_start(self, run: Run) -> None:
        self.seen.append(self._loss(run))

    def on_validation_end(self, run: Run) -> None:
        self.seen.append(self._loss(run))
        self.told.append(run.logs["val_loss"])

    def _loss(self, run: Run) -> float:
        from trainer.evaluator import Evaluator

        return Evaluator(run.model).evaluate(make_images(60, seed=1)).loss


def test_the_hooks_of_a_validation_see_the_weights_that_are_validated(keras):
    watch = Evaluating()
    train(keras, keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.9), watch)
    expected = [loss for told in watch.told for loss in (told, told)]
    np.testing.assert_allclose(watch.seen, expected, rtol=1e-5)


# User-defined metrics


class TopTwo(Classification):
    """Classification with an additional metric."""

    names = ("loss", "accuracy", "top_k_accuracy")

    def metrics(self):
        import keras

        return {**super().metrics(), "top_k_accuracy": keras.metrics.SparseTopKCategoricalAccuracy(k=2)}

    def update(self, metrics, batch, outputs) -> None:
        super().update(metrics, batch, outputs)
        metrics["top_k_accuracy"].update_state(batch[1], outputs)


def test_best_holds_every_metric_of_the_weights_that_were_tested(keras, tmp_path):
    for folder in (None, tmp_path / "run"):
        task: Task = TopTwo()
        watch = Checkpoint("val_top_k_accuracy")
        run = train(keras, keras.optimizers.SGD(0.05), watch, task=task, run_dir=folder, epochs=3).run
        best = run.result.best
        (line,) = [line for line in run.history if line["step"] == best.step]
        names = {f"{phase}{name}" for phase in ("", "val_") for name in task.names}
        assert names <= set(best)
        assert {name: best[name] for name in names} == {name: line[name] for name in names}
        assert (best.checkpoint is None) == (folder is None)


def test_every_metric_has_a_chart_of_its_own(keras):
    from plugins.report.pictures.curves import curves

    run = train(keras, keras.optimizers.SGD(0.05), task=TopTwo()).run
    charts = [panel.name for panel in curves(run.history)]
    assert charts == ["loss", "accuracy", "top k accuracy", "learning rate"]


# Inputs of predictions


def test_only_uint8_is_taken_for_0_to_255(keras):
    from trainer.evaluator import Evaluator

    evaluator, images = Evaluator(net(keras)), make_images(10).images
    as_bytes = evaluator.predict(images)
    np.testing.assert_allclose(evaluator.predict(images / np.float32(255)), as_bytes, atol=1e-6)
    np.testing.assert_allclose(evaluator.predict(images[..., 0]), as_bytes, atol=1e-6)
    for dtype in (np.int64, np.uint16, np.int32, bool):
        with pytest.raises(UsageError, match=r"^images must be uint8 .* or floats .*, not .*; convert them: x\.astype"):
            evaluator.predict(images.astype(dtype))
    with pytest.raises(UsageError, match="there are no inputs"):
        evaluator.predict(images[:0])


# The device


def test_auto_keeps_blocks_for_the_cpu(keras):
    from trainer.kernels.select import gains, is_on_cpu

    images = keras.Input((12, 12, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(images))
    model = keras.Model(images, keras.layers.Dense(4)(x))
    assert is_on_cpu(model.variables)
    assert gains(model)
    elsewhere = SimpleNamespace(value=SimpleNamespace(device="/job:localhost/replica:0/task:0/device:GPU:0"))
    assert not is_on_cpu([*model.variables, elsewhere])


# The learning rate of a resumed run


def rates(steps: int, epochs: int, keras, folder, resumed: bool = False):
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps))
    return train(keras, optimizer, Checkpoint(), epochs=epochs, run_dir=folder, resumed=resumed)


def test_a_resume_that_stretches_the_schedule_says_both_rates(keras, tmp_path, caplog):
    rates(8, 2, keras, tmp_path / "run")
    with caplog.at_level(logging.WARNING, "trainer"):
        rates(16, 4, keras, tmp_path / "run", resumed=True)
    assert [record.getMessage() for record in caplog.records] == [
        "the learning rate goes from 0 to 0.005 at step 8, since the run has 16 steps now instead of 8; "
        "optimizer.schedule_steps=8 keeps the old curve"
    ]


def test_a_resume_that_keeps_the_curve_says_nothing(keras, tmp_path, caplog):
    rates(100, 2, keras, tmp_path / "run")
    with caplog.at_level(logging.WARNING, "trainer"):
        rates(100, 4, keras, tmp_path / "run", resumed=True)
    assert caplog.records == []


def test_the_curve_can_be_kept_in_the_configuration():
    from trainer.config.merge import resolve
    from trainer.config.optimizers import build_optimizer
    from trainer.runs.find import differences

    longer = resolve([{"optimizer": {"schedule_steps": 100}, "training": {"steps": 200}}])
    shorter = resolve([{"training": {"steps": 100}}])
    assert differences(shorter.to_dict(), longer.to_dict()) == []
    kept, old = (build_optimizer(config.optimizer, steps) for config, steps in ((longer, 200), (shorter, 100)))
    for step in (0, 50, 99):
        kept.iterations.assign(step)
        old.iterations.assign(step)
        assert float(kept.learning_rate) == float(old.learning_rate)


# Plugins that cannot work


class Refusing(Plugin):
    """Refuses every run."""

    def check(self, run: Run) -> None:
        raise UsageError("not like this; do it like that")


def test_a_plugin_can_refuse_a_run_before_anything_is_written(keras, tmp_path):
    with pytest.raises(UsageError, match=r"^not like this; do it like that$"):
        train(keras, keras.optimizers.SGD(0.1), Refusing(), run_dir=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_stopping_and_time_limits_are_one_object():
    with pytest.raises(UsageError, match="give epochs or steps, not both: 3 epochs, 5 steps"):
        Durations(epochs=3, steps=5)
    assert (Durations(epochs=3).total(7), Durations(steps=5).total(7), Durations(epochs=10).total(7)) == (21, 5, 70)
    assert EarlyStopping("val_loss", 0.1, 3).patience == 3
