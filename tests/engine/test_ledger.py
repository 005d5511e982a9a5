"""Does the ledger account for all of the time, without counting any twice?"""

from __future__ import annotations

import pytest
from conftest import SILENT, Script, make_images

from trainer import Plugin, Run
from trainer.engine.ledger import Ledger, bottleneck


class Clock:
    """A clock that is advanced by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_time_inside_another_is_counted_once(clock: Clock):
    ledger = Ledger(clock=clock)
    with ledger("loop"):
        clock.now += 1
        with ledger("steps"):
            clock.now += 5
        with ledger("checkpoints"):
            clock.now += 2
        clock.now += 1
    assert ledger.rounded() == {"steps": 5.0, "checkpoints": 2.0, "loop": 2.0}
    assert ledger.wall() == 9


def test_what_has_no_name_is_the_rest(clock: Clock):
    ledger = Ledger(started=90.0, clock=clock)
    ledger.rest("imports")
    with ledger("steps"):
        clock.now += 4
    ledger.move(1.5, "steps", "data_wait")
    clock.now += 0.25
    ledger.rest("other")
    assert ledger.rounded() == {"imports": 10.0, "steps": 2.5, "data_wait": 1.5, "other": 0.25}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ({"steps": 90.0, "data_wait": 5.0}, ""),
        ({"steps": 60.0, "data_wait": 40.0}, "input pipeline, which steps waited for (40 % of the time)"),
        ({"steps": 60.0, "plugins.mine": 30.0, "plugins.mlflow": 10.0}, "plugin mine (30 % of the time)"),
        ({"steps": 1.0, "data_wait": 1.0}, ""),  # a second does not matter
        ({"imports": 100.0, "steps": 1.0}, ""),
        ({}, ""),
    ],
)
def test_the_bottleneck_is_stated_plainly(seconds, said):
    assert bottleneck(seconds) == said


class Slow(Plugin):
    """Adds 3 seconds to training."""

    def on_epoch_end(self, run: Run) -> None:
        import time

        time.sleep(3)


@pytest.mark.slow
def test_a_slow_plugin_is_named(keras):
    from trainer.trainer import Trainer

    images = keras.Input((12, 12, 1))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    run = Trainer(model, plugins=[Slow()]).fit(
        make_images(100), validation_data=make_images(20), test_data=make_images(20), epochs=1
    )
    assert run.result["bottleneck"].startswith("plugin slow (")
    assert run.result["time"]["plugins.slow"] >= 3


def test_a_slow_pipeline_is_named(keras):
    import tensorflow as tf

    from trainer.trainer import Trainer

    def slow(image, label):
        with tf.control_dependencies([tf.py_function(lambda: __import__("time").sleep(0.25), [], [])]):
            return tf.identity(image), label

    images = keras.Input((12, 12, 1))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    data = make_images(120)
    stream = tf.data.Dataset.from_tensor_slices((data.images / 255.0, data.labels)).batch(10).map(slow)
    run = Trainer(model, plugins=[]).fit(stream, test_data=make_images(20), epochs=1)
    assert run.result["bottleneck"].startswith("input pipeline, which steps waited for (")
    assert run.result["time"]["data_wait"] > run.result["time"]["steps"]


def test_the_entries_of_a_run_sum_to_its_wall_time(keras):
    from trainer.trainer import Trainer

    images = keras.Input((12, 12, 1))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    trainer = Trainer(model, plugins=[])
    held_out = {"validation_data": make_images(20), "test_data": make_images(20)}
    result = trainer.fit(make_images(200), **held_out, epochs=2).result
    assert sum(result["time"].values()) == pytest.approx(result["wall_seconds"], abs=0.02)
    assert {"trace", "preflight", "steps", "data_wait", "validation", "test", "loop", "other"} <= set(result["time"])


@pytest.mark.slow
def test_deterministic_operations_forbid_the_clock_and_training_continues(script: Script, tiny):
    done = script("fit.py", "--data", tiny, "--epochs", "1", "--run-dir", "run", "--deterministic", *SILENT)
    assert done.returncode == 0, done.stderr


def test_nothing_is_computed_of_a_batch_while_it_is_counted_as_waited_for(keras):
    """Otherwise a wide first layer would be mistaken for a slow pipeline."""
    import tensorflow as tf

    from trainer.engine.step import next_batch

    spec = (tf.TensorSpec([2, 4], tf.float32), tf.TensorSpec([2], tf.int32))
    traced = tf.function(lambda batches: next_batch(batches)[0], input_signature=[tf.data.IteratorSpec(spec)])
    for used in traced.get_concrete_function().graph.structured_outputs:
        given = used.op.inputs[0].op  # the function returns a copy
        assert [op.type for op in given.control_inputs] == ["Timestamp"]
        (end,) = given.control_inputs
        assert "IteratorGetNext" in {op.type for op in end.control_inputs}
