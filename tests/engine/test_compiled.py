"""Is what a model was compiled with used or refused, and never ignored?"""

from __future__ import annotations

import logging

import numpy as np
import pytest

from trainer.errors import UsageError
from trainer.tasks.task import Task
from trainer.trainer import Trainer


def net(keras, **arguments):
    """Return a model of two numbers from three, compiled."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(8, activation="tanh")(inputs)))
    if arguments:
        model.compile(**arguments)
    return model


def rows(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    return x, x[:, :2] * 2


def batches():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(rows()).batch(20)


class Squares(Task):
    """A task of a user's own."""

    def forward(self, model, batch, training, seed):
        import keras

        outputs = model(batch[0], training=training)
        return keras.ops.mean(keras.ops.square(outputs - batch[1])), outputs


def test_a_compiled_model_is_trained_as_by_model_fit(keras, caplog):
    settings = {"loss": "mean_squared_error", "metrics": ["mae"]}
    ours = net(keras, optimizer=keras.optimizers.SGD(0.1), **settings)
    theirs = net(keras, optimizer=keras.optimizers.SGD(0.1), **settings)
    with caplog.at_level(logging.INFO, "trainer"):
        run = Trainer(ours, kernels="keras", plugins=[]).fit(batches(), validation_data=batches(), epochs=2)
    (said,) = [line for line in caplog.messages if "compiled" in line]
    assert said == (
        "the model is compiled: it is trained with its optimizer SGD, its loss mean_squared_error, its metrics [mae]"
    )
    history = theirs.fit(batches(), validation_data=batches(), epochs=2, verbose=0, shuffle=False).history
    for one, other in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    name = next(name for name in run.history[-1] if name.startswith("val_") and name != "val_loss")
    assert run.history[-1][name] == pytest.approx(history["val_mae"][-1], rel=1e-5)


@pytest.mark.parametrize(
    ("compiled", "given", "said"),
    [
        (
            {"optimizer": "adam", "loss": "mse"},
            {"task": Squares()},
            "the model is compiled with mse, and task=Squares is given too; omit task=",
        ),
        ({"optimizer": "adam", "loss": "mse"}, {"optimizer": "SGD"}, "compiled with Adam, and optimizer=SGD is given"),
        ({"optimizer": "adam", "metrics": ["mae"]}, {"task": Squares()}, r"compiled with \[mae\], and task=Squares"),
        ({"optimizer": "adam"}, {}, "compiled without a loss; compile it with loss=, or pass a task="),
        ({"loss": "mse", "run_eagerly": True}, {}, "run_eagerly=True, but steps run in a compiled graph"),
        ({"loss": "mse", "weighted_metrics": ["mae"]}, {}, r"weighted_metrics=\[mae\]; compile it with metrics="),
    ],
    ids=repr,
)
def test_what_cannot_be_used_is_refused_in_one_line(keras, compiled, given, said):
    model = net(keras, **compiled)
    arguments = {key: keras.optimizers.SGD() if value == "SGD" else value for key, value in given.items()}
    with pytest.raises(UsageError, match=said) as caught:
        Trainer(model, **arguments)
    assert "\n" not in str(caught.value)


def test_what_only_changes_the_speed_is_said(keras, caplog):
    model = net(keras, optimizer="sgd", loss="mse", steps_per_execution=5, jit_compile=True)
    with caplog.at_level(logging.INFO, "trainer"):
        Trainer(model)
    assert caplog.messages[-1].endswith(
        "; not used: steps_per_execution=5: steps are fused anyway, jit_compile=True: kernels= decides how a step is "
        "computed"
    )


@pytest.mark.parametrize("name", ["train_step", "test_step", "compute_loss", "compute_metrics"])
def test_a_class_with_a_step_of_its_own_needs_a_task(keras, name):
    own = type("Own", (keras.Model,), {name: lambda self, *args, **kwargs: None})
    inputs = keras.Input((3,))
    model = own(inputs, keras.layers.Dense(2)(inputs))
    model.compile("sgd", "mse")
    with pytest.raises(UsageError, match=f"Own overrides {name}, which the Trainer does not call; write a Task"):
        Trainer(model)
    uncompiled = own(inputs, keras.layers.Dense(2)(inputs))
    run = Trainer(uncompiled, task=Squares(), plugins=[]).fit(batches(), epochs=1)
    assert run.status == "done"


def test_the_scale_of_the_loss_under_mixed_precision_is_kept(keras):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = net(keras, optimizer="sgd", loss="mse")
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(Trainer(model).optimizer, keras.optimizers.LossScaleOptimizer)
