"""Can something else be learnt without changing the loop?"""

from __future__ import annotations

import numpy as np
from conftest import make_images

from trainer import Task
from trainer.tasks.classification import Classification


class Reconstruction(Task):
    """An autoencoder: the images are their own targets."""

    def forward(self, model, batch, training, seed):
        import keras

        images, _ = batch
        rebuilt = model(images, training=training)
        return keras.ops.mean(keras.ops.square(rebuilt - images)), rebuilt


class Distillation(Classification):
    """Learn from a teacher's logits instead of labels."""

    def __init__(self, teacher) -> None:
        super().__init__()
        self.teacher = teacher
        teacher.trainable = False

    def forward(self, model, batch, training, seed):
        import keras

        logits = model(batch[0], training=training)
        wanted = keras.ops.softmax(self.teacher(batch[0], training=False))
        return keras.losses.CategoricalCrossentropy(from_logits=True)(wanted, logits), logits


def dense(keras, outputs: int):
    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 1))
    x = keras.layers.Dense(32, activation="relu")(keras.layers.Flatten()(images))
    return images, keras.layers.Dense(outputs)(x)


def train(keras, model, task, epochs: int):
    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    trainer = Trainer(model, task=task, optimizer=keras.optimizers.Adam(1e-2), plugins=[])
    batches = TrainingRows(make_images(200), batch_size=50, augmentation="none")
    held_out = {"validation_data": make_images(40, seed=1), "test_data": make_images(40, seed=2)}
    return trainer.fit(batches, **held_out, epochs=epochs)


def test_an_autoencoder_learns_to_rebuild_images(keras):
    images, flat = dense(keras, 144)
    model = keras.Model(images, keras.layers.Reshape((12, 12, 1))(flat))
    run = train(keras, model, Reconstruction(), epochs=8)
    assert run.history[-1]["val_loss"] < run.history[0]["val_loss"] / 3
    assert set(run.result["test"]) == {"loss", "overlap"}


def test_a_student_learns_from_its_teacher_without_labels(keras):
    teacher = keras.Model(*dense(keras, 4))
    train(keras, teacher, Classification(), epochs=8)
    before = [np.asarray(v) for v in teacher.variables]
    run = train(keras, keras.Model(*dense(keras, 4)), Distillation(teacher), epochs=8)
    assert run.result["test"]["accuracy"] > 0.95
    for weight, was in zip(teacher.variables, before, strict=True):
        np.testing.assert_array_equal(weight, was)


def test_label_smoothing_acts_on_training_alone(keras):
    images = make_images(8)
    batch = (images.images / np.float32(255), images.labels)
    model = keras.Model(*dense(keras, 4))
    plain, smooth = Classification(), Classification(label_smoothing=0.2)
    assert float(smooth.forward(model, batch, False, None)[0]) == float(plain.forward(model, batch, False, None)[0])
    assert float(smooth.forward(model, batch, True, None)[0]) != float(plain.forward(model, batch, True, None)[0])


def test_a_plain_tf_data_dataset_can_be_trained_on(keras):
    import tensorflow as tf

    from trainer.trainer import Trainer

    images = make_images(100)
    batches = tf.data.Dataset.from_tensor_slices((images.images / np.float32(255), images.labels)).batch(30)
    run = Trainer(keras.Model(*dense(keras, 4)), plugins=[]).fit(batches, epochs=2)
    assert (run.step, run.steps_per_epoch) == (8, 4)
