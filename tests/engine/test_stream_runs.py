"""Does a run on a stream train, resume and fail as one line says?"""

from __future__ import annotations

import logging
import random
import re

import numpy as np
import pytest
from conftest import make_images, small_net

from plugins.checkpoint import Checkpoint
from trainer import Durations, Every, Plugin, Run
from trainer.errors import DataError, UsageError


def batches(number: int = 5, seed: int = 0):
    """Yield batches of 20 images as bytes, with labels."""
    images = make_images(20 * number, seed=seed)
    for first in range(0, 20 * number, 20):
        yield images.images[first : first + 20], images.labels[first : first + 20]


class Stopper(Plugin):
    """Stops the run after a step, in the middle of an epoch."""

    every = Every(steps=1)

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step:
            raise KeyboardInterrupt


def trainer_of(keras, folder=None, plugins=()):
    """Return a trainer of a model with dropout and batch normalisation, whose rate is constant."""
    from trainer import Trainer

    keras.utils.set_random_seed(0)
    optimizer = keras.optimizers.Adam(1e-2)
    own = [Checkpoint(monitor=None), *plugins]
    return Trainer(small_net(keras), optimizer=optimizer, plugins=own, run_dir=folder, kernels="keras")


def state(trainer) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in trainer.loop.variables]


def assert_same(ours, theirs) -> None:
    for one, other in zip(state(ours), state(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def shuffled():
    """Return a dataset that gives every pass another order of the same images."""
    import tensorflow as tf

    images = make_images(100)
    return tf.data.Dataset.from_tensor_slices((images.images, images.labels)).shuffle(100, seed=5).batch(20)


@pytest.fixture(scope="module")
def whole(keras):
    """A trainer after 15 steps on the shuffled dataset without a break."""
    trainer = trainer_of(keras)
    trainer.fit(shuffled(), epochs=3)
    return trainer


def test_a_run_stopped_at_a_random_step_resumes_on_a_stream_bit_for_bit_and_says_what_it_skipped(
    keras, whole, tmp_path, caplog
):
    step = random.randint(1, 14)
    with pytest.raises(KeyboardInterrupt):
        trainer_of(keras, tmp_path / "run", [Stopper(step)]).fit(shuffled(), epochs=3)
    resumed = trainer_of(keras, tmp_path / "run")
    with caplog.at_level(logging.INFO, "trainer"):
        run = resumed.resume(shuffled(), epochs=3)
    assert (run.status, run.step) == ("done", 15)
    assert_same(resumed, whole)
    assert re.search(rf"skipping {step} batch(es)? of the stream took [\d.]+ s; ", caplog.text)


def test_a_shuffled_dataset_gives_the_weights_of_model_fit(keras, whole):
    import tensorflow as tf

    dataset = shuffled()  # `Model.fit` takes a batch from it to build the model, and so gets the orders of later passes
    read = [batch for _ in range(3) for batch in dataset.as_numpy_iterator()]
    rows = tf.data.Dataset.from_tensor_slices(tuple(map(np.concatenate, zip(*read, strict=True))))
    keras.utils.set_random_seed(0)
    theirs = small_net(keras)
    theirs.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    passes = rows.batch(20).map(lambda x, y: (tf.cast(x, tf.float32) / 255.0, y))
    theirs.fit(passes, epochs=1, verbose=0, shuffle=False)
    for one, other in zip(whole.model.variables, theirs.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_a_generator_trains_at_a_constant_rate_and_validates_to_its_end_without_a_length(keras, caplog):
    trainer = trainer_of(keras)
    with caplog.at_level(logging.INFO, "trainer"):
        run = trainer.fit(batches, validation_data=lambda: batches(2, seed=1), epochs=2)
    assert "counting 5 batches of the stream took" in caplog.text
    assert (run.steps_per_epoch, run.step, run.validation_steps) == (5, 10, 2)
    held_out = make_images(40, seed=1)
    scores = trainer.evaluate(held_out.images, held_out.labels)
    assert run.logs["val_loss"] == pytest.approx(scores.loss, rel=1e-5)
    assert trainer.evaluate(lambda: batches(2, seed=1)).accuracy == scores.accuracy
    np.testing.assert_allclose(trainer.predict(batches(2, seed=1)), trainer.predict(held_out.images), atol=1e-5)
    with pytest.raises(
        DataError, match=r"^cannot predict: the data cannot be read: OSError: the disk is gone \(test_s"
    ):
        trainer.predict(breaking(1))


def test_without_a_length_a_schedule_is_refused_and_steps_are_one_epoch(keras):
    from trainer import Trainer

    falling = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 100))
    for optimizer in (None, falling):
        trainer = Trainer(small_net(keras), optimizer=optimizer, plugins=[])
        with pytest.raises(UsageError, match=r"^cannot train: the number of batches is unknown, and the learning rate"):
            trainer.fit(batches)
    run = trainer.fit(batches, durations=Durations(steps=12))
    assert (run.step, run.epochs, run.steps_per_epoch) == (12, 1, 12)


def breaking(after: int):
    """Return a generator function that fails after some batches, in its first pass."""

    def made():
        yield from list(batches())[:after]
        raise OSError("the disk is gone")

    return made


def test_a_stream_that_breaks_is_one_line_and_the_run_is_saved_up_to_there(keras, tmp_path):
    after = 4  # in the middle of a span
    broken = trainer_of(keras, tmp_path / "run")
    lengths = Durations(epochs=2, steps_per_epoch=5)
    said = rf"^cannot continue after step {after}: the data cannot be read: OSError: the disk is gone \(test_stream"
    with pytest.raises(DataError, match=said):
        broken.fit(breaking(after), durations=lengths)
    assert (broken.run.status, broken.run.step, broken.run.saved) == ("failed", after, {"last": after})
    resumed, unbroken = trainer_of(keras, tmp_path / "run"), trainer_of(keras)
    resumed.resume(batches, durations=lengths)
    unbroken.fit(batches, durations=lengths)
    assert_same(resumed, unbroken)


def test_a_generator_object_that_ends_early_is_one_line_with_the_step(keras, tmp_path):
    trainer = trainer_of(keras, tmp_path / "run")
    with pytest.raises(DataError, match=r"^cannot continue after step 5: the data ended; give more"):
        trainer.fit(batches(), durations=Durations(steps=8))
    assert trainer.run.saved == {"last": 5}


def test_a_validation_that_ends_early_is_one_line(keras):
    lengths = Durations(epochs=1, steps_per_epoch=5, validation_steps=3)
    with pytest.raises(DataError, match=r"^cannot evaluate after 2 batches: the data ended; give more"):
        trainer_of(keras).fit(batches, validation_data=lambda: batches(2), durations=lengths)


def test_single_rows_and_lengths_of_arrays_are_refused_in_one_line(keras):
    import tensorflow as tf

    images = make_images(40)
    x = images.images / np.float32(255)
    rows = tf.data.Dataset.from_tensor_slices((x, images.labels))
    with pytest.raises(UsageError, match=r"^cannot use single rows: y has no batch axis; give batches, such as "):
        trainer_of(keras).fit(rows)
    vectors = tf.data.Dataset.from_tensor_slices((x, images.labels[:, None]))
    with pytest.raises(UsageError, match=r"^cannot train: x is a single row \(12, 12, 1\), not a batch of them; "):
        trainer_of(keras).fit(vectors)
    with pytest.raises(UsageError, match=r"^steps_per_epoch is for data that are given as batches; "):
        trainer_of(keras).fit(images, durations=Durations(steps_per_epoch=3))
    with pytest.raises(UsageError, match=r"^validation_steps is for data that are given as batches; "):
        trainer_of(keras).fit(images, validation_data=images, durations=Durations(validation_steps=3))


@pytest.mark.slow
def test_a_py_dataset_resumes_exactly_without_skipping(keras, tmp_path, caplog):
    given = list(batches())

    class Images(keras.utils.PyDataset):
        def __len__(self):
            return len(given)

        def __getitem__(self, index):
            return given[index]

    whole, stopped, resumed = (trainer_of(keras, folder) for folder in (None, tmp_path / "run", tmp_path / "run"))
    run = whole.fit(Images(), epochs=3)
    assert (run.steps_per_epoch, run.step) == (5, 15)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(Images(), epochs=3, callbacks=[Stopper(7)])
    with caplog.at_level(logging.INFO, "trainer"):
        resumed.resume(Images(), epochs=3)
    assert "skipping" not in caplog.text
    assert_same(resumed, whole)
