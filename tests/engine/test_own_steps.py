"""Can a task have more than a loss: its own step, several models, variables, scalars and random numbers?"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Losses, StopAt, make_images

from trainer import Plugin, Run, Task
from trainer.errors import UsageError
from trainer.tasks.classification import Classification

NOISE = 4


class Gan(Task):
    """A generator against a discriminator, which learns twice per step."""

    names = ("loss", "fake")

    def step(self, models, optimizers, batch, seed):
        import tensorflow as tf

        real, generator, discriminator = batch[0], models["generator"], models["discriminator"]
        cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits
        noise = tf.random.stateless_normal([tf.shape(real)[0], NOISE], seed)
        for _ in range(2):
            with tf.GradientTape() as tape:
                on_real, on_fake = (discriminator(x, training=True) for x in (real, generator(noise, training=True)))
                losses = cross_entropy(tf.ones_like(on_real), on_real) + cross_entropy(tf.zeros_like(on_fake), on_fake)
                d_loss = tf.reduce_mean(losses)
            weights = discriminator.trainable_variables
            optimizers["discriminator"].apply(tape.gradient(d_loss, weights), weights)
        with tf.GradientTape() as tape:
            fake = discriminator(generator(noise, training=True), training=True)
            g_loss = tf.reduce_mean(cross_entropy(tf.ones_like(fake), fake))
        weights = generator.trainable_variables
        optimizers["generator"].apply(tape.gradient(g_loss, weights), weights)
        self.scalars["d_loss"] = d_loss
        return g_loss, fake

    def metrics(self):
        import keras

        return {"fake": keras.metrics.Mean()}

    def update(self, metrics, batch, outputs):
        metrics["fake"].update_state(outputs)


def networks(keras) -> dict[str, Any]:
    """Return a generator and a discriminator with normalisation and dropout, whose states are easily lost."""
    keras.utils.set_random_seed(0)
    layers, noise, images = keras.layers, keras.Input((NOISE,)), keras.Input((12, 12, 1))
    x = layers.BatchNormalization()(layers.Dense(36)(noise))
    x = layers.Conv2DTranspose(1, 4, 2, "same")(layers.Reshape((6, 6, 1))(layers.ReLU()(x)))
    y = layers.Dropout(0.3)(layers.Flatten()(layers.Conv2D(2, 3, 2)(images)))
    generator, discriminator = keras.Model(noise, x, name="g"), keras.Model(images, layers.Dense(1)(y), name="d")
    return {"generator": generator, "discriminator": discriminator}


def play(keras, folder: Path | None, *plugins: Plugin, resumed: bool = False, **changed: Any):
    """Train a GAN for 10 steps; return the trainer and the run."""
    from plugins.checkpoint import Checkpoint
    from trainer.trainer import Trainer

    models = networks(keras)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 50)
    optimizers = {
        "generator": keras.optimizers.Adam(schedule, use_ema=True),
        "discriminator": keras.optimizers.Adam(1e-3),
    }
    arguments = {"models": models, "optimizers": optimizers, "task": Gan(), "run_dir": folder} | changed
    trainer = Trainer(plugins=[Checkpoint(monitor=None), *plugins], **arguments)
    fit = trainer.resume if resumed else trainer.fit
    return trainer, fit(make_images(80), epochs=2, batch_size=16)


def state(trainer) -> list[bytes]:
    return [np.asarray(variable).tobytes() for variable in trainer.loop.variables]


def numbers(run: Run) -> list[dict[str, Any]]:
    times = ("time", "seconds", "images_per_second")
    return [{name: value for name, value in line.items() if name not in times} for line in run.history]


@pytest.fixture(scope="module")
def played(keras, tmp_path_factory):
    """A trainer and its run of a GAN, not to be modified."""
    return play(keras, tmp_path_factory.mktemp("gan") / "run")


def test_a_game_trains_both_models_and_one_step_is_one_count(keras, played):
    trainer, run = played
    before = networks(keras)
    assert (run.step, run.steps_per_epoch, run.status) == (10, 5, "done")
    assert [int(optimizer.iterations) for optimizer in run.optimizers.values()] == [10, 20]
    for name, model in trainer.models.items():
        moved = [np.abs(a - b).max() for a, b in zip(model.get_weights(), before[name].get_weights(), strict=True)]
        assert min(moved[:2]) > 0, name
    (last,) = [line for line in run.history if line["kind"] == "epoch" and line["epoch"] == 2]
    assert {"loss", "fake", "learning_rate", "learning_rate_generator", "learning_rate_discriminator"} <= set(last)
    assert last["learning_rate_discriminator"] == pytest.approx(1e-3)
    assert last["learning_rate_generator"] == last["learning_rate"] != pytest.approx(1e-3)


def test_a_game_killed_at_any_step_ends_as_if_it_had_not_been(keras, played, tmp_path):
    step = random.randint(1, 9)
    _, stopped = play(keras, tmp_path / "run", StopAt(step))
    assert (stopped.status, stopped.step) == ("interrupted", step)
    trainer, run = play(keras, tmp_path / "run", resumed=True)
    assert state(trainer) == state(played[0]), f"stopped at step {step}"
    assert numbers(run) == numbers(played[1])


def test_variables_of_several_models_are_saved_under_the_names_of_their_models(keras, played):
    trainer, run = played
    path = run.directory / "checkpoints" / (run.directory / "checkpoints" / "last").read_text().strip()
    saved = json.loads((path / "manifest.json").read_text())
    names = [variable["name"].partition("/")[0] for variable in saved["variables"]]
    assert saved["models"] == list(dict.fromkeys(names))[:2] == ["generator", "discriminator"]
    assert [name for name, label in run.plan if name in trainer.models] == ["generator", "discriminator"]


def test_the_first_of_several_models_is_loaded_from_their_run(keras, played):
    from trainer.runs.trained import load_model

    trainer, run = played
    loaded, noise = load_model(run.directory), np.ones((2, NOISE), np.float32)
    np.testing.assert_allclose(loaded(noise), trainer.model(noise), atol=1e-6)


def test_models_and_optimizers_that_do_not_fit_together_are_refused_in_one_line(keras):
    from trainer.trainer import Trainer

    models, adam = networks(keras), keras.optimizers.Adam
    generator = models["generator"]
    shared, one = adam(), {"generator": adam()}
    several = {"generator": adam(), "discriminator": adam()}
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "give one model, or several by name"),
        ({"model": generator, "models": models}, "give one model, or several by name"),
        ({"model": models, "optimizers": several}, "give one model, or several by name"),
        ({"model": generator, "optimizers": one}, "give optimizer instead of optimizers"),
        ({"models": models}, "give optimizers, by the names of the models"),
        ({"models": models, "optimizer": adam()}, "give optimizers, by the names of the models"),
        ({"models": models, "optimizers": one}, "generator, discriminator with the optimizers generator: the names"),
        ({"models": models, "optimizers": dict.fromkeys(models, shared)}, "with one optimizer"),
        ({"models": {"a": generator, "b": generator}, "optimizers": {}}, "two of the names are of one model"),
        ({"models": {}, "optimizers": {}}, "models without names"),
        ({"models": models, "optimizers": several, "task": Classification()}, "the task Classification does not say"),
        ({"models": models, "optimizers": several, "clip_norm": 1.0}, "give its optimizers global_clipnorm"),
        ({"models": models, "optimizers": several, "kernels": "blocks"}, "cannot use kernels 'blocks'"),
    ]
    for arguments, said in cases:
        with pytest.raises(UsageError) as caught:
            Trainer(**{"task": Gan(), "plugins": []} | arguments).fit(make_images(32), epochs=1)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="it has no method forward; add it, or give training data alone"):
        Trainer(models=models, optimizers=several, task=Gan(), plugins=[]).fit(
            make_images(32), validation_data=make_images(16), epochs=1
        )


# Variables of a task


class Centres(Classification):
    """Classification with center loss (Wen et al. 2016), a learned temperature, and noise from a generator."""

    names = ("loss", "accuracy")

    def __init__(self) -> None:
        import keras

        super().__init__()
        self.centres = keras.Variable(np.zeros((4, 4), np.float32), trainable=False, name="centres")
        self.parts = {"temperature": [keras.Variable(1.0, name="temperature")]}
        self.random = keras.random.SeedGenerator(3)

    def forward(self, model, batch, training, seed):
        import keras
        import tensorflow as tf

        images, labels = batch
        logits = model(images, training=training)
        if not training:
            return super().forward(model, batch, training, seed)
        noisy = logits / self.parts["temperature"][0] + keras.random.normal(tf.shape(logits), 0, 0.1, seed=self.random)
        away = tf.stop_gradient(logits) - tf.gather(self.centres, labels)
        self.centres.assign(tf.tensor_scatter_nd_add(self.centres, labels[:, None], 0.1 * away))
        self.scalars["temperature"] = self.parts["temperature"][0]
        self.scalars["noise"] = tf.random.stateless_uniform([], seed)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, noisy)
        return loss + 0.01 * tf.reduce_mean(away**2), logits


def centre(keras, folder: Path | None, *plugins: Plugin, resumed: bool = False, task: Task | None = None, seed=0):
    from plugins.checkpoint import Checkpoint
    from trainer.engine.durations import Durations
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 1))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    own = [Checkpoint(monitor=None), *plugins]
    trainer = Trainer(
        model, optimizer=keras.optimizers.Adam(1e-2), task=task or Centres(), plugins=own, run_dir=folder, seed=seed
    )
    fit = trainer.resume if resumed else trainer.fit
    return trainer, fit(make_images(80), batch_size=16, durations=Durations(epochs=2, log_every=2))


@pytest.fixture(scope="module")
def centred(keras, tmp_path_factory):
    return centre(keras, tmp_path_factory.mktemp("centres") / "run")


def test_the_variables_of_a_task_are_found_trained_and_named_in_the_plan(centred):
    trainer, run = centred
    found = [variable.path.rpartition("/")[2] for variable in trainer.task.variables]
    assert found == ["centres", "temperature", "seed_generator_state"]
    assert float(trainer.task.parts["temperature"][0]) != 1.0
    assert np.abs(np.asarray(trainer.task.centres)).max() > 0
    assert ("task trains", "temperature, 1 parameter") in run.plan


def test_the_variables_of_a_task_survive_a_kill_bit_for_bit(keras, centred, tmp_path):
    step = random.randint(1, 9)
    centre(keras, tmp_path / "run", StopAt(step))
    trainer, run = centre(keras, tmp_path / "run", resumed=True)
    assert state(trainer) == state(centred[0]), f"stopped at step {step}"
    assert numbers(run) == numbers(centred[1])


def test_the_variables_of_a_task_are_restored_for_an_evaluation_of_the_run(centred):
    from trainer.checkpoint import Checkpoints
    from trainer.errors import CheckpointError
    from trainer.runs.trained import restore_task

    trainer, run = centred
    last, task = Checkpoints(run.directory / "checkpoints").role("last"), Centres()
    restore_task(last, task.variables)
    for ours, theirs in zip(task.variables, trainer.task.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    with pytest.raises(CheckpointError, match="it has centres"):
        restore_task(last, [task.random.state, *task.variables[1:]])


def test_scalars_are_logged_beside_the_loss_of_a_batch(centred):
    _, run = centred
    lines = [line for line in run.history if line["kind"] == "batch"]
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10]
    assert all({"batch_loss", "temperature", "noise"} <= set(line) for line in lines)
    assert lines[0]["temperature"] != lines[-1]["temperature"]


def test_the_seed_is_another_one_at_every_step_and_in_every_run(keras, centred):
    drawn = {line["noise"] for line in centred[1].history if line["kind"] == "batch"}
    other = {line["noise"] for line in centre(keras, None, seed=1)[1].history if line["kind"] == "batch"}
    assert (len(drawn), drawn & other) == (5, set())


class Projected(Task):
    """Classes from a layer and a metric that have no variables before they are called."""

    names = ("loss", "f1")

    def __init__(self) -> None:
        import keras

        keras.utils.set_random_seed(1)
        self.head = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4)])

    def forward(self, model, batch, training, seed):
        import keras

        logits = self.head(model(batch[0], training=training), training=training)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(batch[1], logits), logits

    def metrics(self):
        import keras

        return {"f1": keras.metrics.F1Score("macro")}

    def update(self, metrics, batch, outputs):
        import keras

        metrics["f1"].update_state(keras.ops.one_hot(batch[1], 4), keras.ops.softmax(outputs))


def test_layers_and_metrics_that_nobody_has_called_yet_are_built_trained_and_resumed(keras, tmp_path):
    whole, run = centre(keras, tmp_path / "whole", task=Projected())
    assert any(label == "task trains" and text.endswith(", 76 parameters") for label, text in run.plan)
    assert run.logs["f1"] > 0
    centre(keras, tmp_path / "run", StopAt(7), task=Projected())
    resumed, _ = centre(keras, tmp_path / "run", resumed=True, task=Projected())
    assert state(resumed) == state(whole)
    assert whole.evaluate(make_images(16))["f1"] > 0


class Wrong(Classification):
    """Does something in `forward` that a run could not keep."""

    def __init__(self, do) -> None:
        super().__init__()
        self.do = do

    def forward(self, model, batch, training, seed):
        loss, outputs = super().forward(model, batch, training, seed)
        return self.do(self, loss, outputs) if training else (loss, outputs)


def test_what_no_checkpoint_would_keep_is_refused_before_step_0_with_its_name(keras, tmp_path):
    import tensorflow as tf

    elsewhere, hidden = keras.Variable(0.0, trainable=False, name="elsewhere"), tf.Variable(0.0, name="hidden")
    dropout = keras.layers.Dropout(0.5)

    def counted(task, loss, outputs):
        elsewhere.assign_add(1.0)
        return loss, outputs

    def changed(task, loss, outputs):
        tf.cond(loss > 0, lambda: hidden.assign(loss), lambda: hidden)
        return loss, outputs

    cases = [
        (counted, "changes the variable 'elsewhere', which neither the model nor an attribute of the task Wrong holds"),
        (changed, "changes the variable 'hidden'"),
        (lambda task, loss, outputs: (loss + keras.random.uniform(()), outputs), "from the seed of the step"),
        (lambda task, loss, outputs: (tf.reduce_mean(dropout(outputs, training=True)), outputs), "from the seed of"),
        (lambda task, loss, outputs: (tf.constant(1.0), outputs), "depends on no weight"),
        (lambda task, loss, outputs: loss, "Wrong.forward must return the loss and the outputs, a tuple of two"),
        (lambda task, loss, outputs: (outputs, outputs), "a task must return a scalar"),
        (lambda task, loss, outputs: task.scalars.update(a=outputs) or (loss, outputs), "cannot log 'a'"),
        (lambda task, loss, outputs: task.scalars.update(time=loss) or (loss, outputs), "the name is taken"),
    ]
    for do, said in cases:
        with pytest.raises(UsageError) as caught:
            centre(keras, tmp_path / "run", task=Wrong(do))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
    task = Wrong(counted)
    task.kept = elsewhere  # the cure
    centre(keras, None, task=task)
    assert float(elsewhere) == 10
    task = Wrong(None)
    task.raw = [tf.Variable(1.0)]
    with pytest.raises(UsageError, match=r"no checkpoint would keep its attribute raw, a .*; use keras.Variable"):
        centre(keras, None, task=task)


def test_a_frozen_teacher_stays_as_it_is_and_is_not_saved(keras):
    images = keras.Input((12, 12, 1))
    teacher = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    before = teacher.get_weights()
    shown = np.ones((1, 12, 12, 1), np.float32)
    task = Wrong(lambda task, loss, outputs: (loss + keras.ops.mean((task.teacher(shown) - outputs) ** 2), outputs))
    task.teacher = teacher
    teacher.trainable = False
    centre(keras, None, task=task)
    assert task.variables == []
    for now, then in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    teacher.trainable = True
    _, run = centre(keras, None, task=task)
    assert any(label == "task trains" and "580 parameters" in text for label, text in run.plan)


def test_a_diverging_game_can_be_recovered(keras, tmp_path):
    from plugins.recovery import Recovery

    class Bad(Gan):
        def step(self, models, optimizers, batch, seed):
            import tensorflow as tf

            loss, outputs = super().step(models, optimizers, batch, seed)
            once = tf.equal(optimizers["generator"].iterations, 4)
            return tf.where(once, float("nan"), loss), outputs

    watch = Losses()
    _, run = play(keras, tmp_path / "run", Recovery(), watch, task=Bad())
    assert (run.status, run.step) == ("done", 10)
    assert len(run.recoveries) >= 1
    assert np.isfinite(run.logs["loss"])
    assert int(run.optimizers["discriminator"].iterations) == 2 * int(run.optimizers["generator"].iterations)


def test_sequential_models_are_loaded_from_their_run_although_keras_renames_their_variables(keras, tmp_path):
    from trainer.runs.trained import load_model

    layers = keras.layers
    models = {
        "generator": keras.Sequential([keras.Input((NOISE,)), layers.Dense(144), layers.Reshape((12, 12, 1))]),
        "discriminator": keras.Sequential([keras.Input((12, 12, 1)), layers.Flatten(), layers.Dense(1)]),
    }
    trainer, _ = play(keras, tmp_path / "run", models=models)
    noise = np.ones((2, NOISE), np.float32)
    np.testing.assert_allclose(load_model(tmp_path / "run")(noise), trainer.predict(noise), atol=1e-6)
