"""A GAN that draws digits (Radford et al. 2016, arXiv 1511.06434), as two networks that play against each other."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from trainer import Task, Trainer
from trainer.data import load

EPOCHS, BATCH, CODE = 40, 64, 32
AT_LEAST = 4.0
"""The worst score that counts as learnt; noise gives about 1, the digits themselves about 9."""


def data(count: int | None = None) -> dict:
    """Return digits to learn from, uint8 `[N, 28, 28, 1]`, and digits with labels to judge by."""
    digits = load("mnist5k")
    return {"train": digits.train.images[:count], "judge": (digits.train.images, digits.train.labels)}


def generator() -> keras.Model:
    layers = keras.layers
    code = keras.Input((CODE,))
    x = layers.Reshape((7, 7, 48))(layers.Dense(7 * 7 * 48, use_bias=False)(code))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(24, 4, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="sigmoid")(x)
    return keras.Model(code, x, name="generator")


def critic() -> keras.Model:
    layers = keras.layers
    images = keras.Input((28, 28, 1))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(24, 4, strides=2, padding="same", use_bias=False)(images))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(48, 4, strides=2, padding="same", use_bias=False)(x))
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return keras.Model(images, layers.Dense(1)(x), name="critic")


def adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(5e-4, beta_1=0.5)


def against(logits: tf.Tensor, real: float) -> tf.Tensor:
    """Return the cross-entropy of the critic's judgement with "real" (1) or "drawn" (0)."""
    return keras.losses.BinaryCrossentropy(from_logits=True)(tf.fill(tf.shape(logits), real), logits)


class Gan(keras.Model):
    """The game as a Keras model with a training step of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator, self.critic = generator(), critic()
        self.noise = keras.random.SeedGenerator(seed)

    def compile(self) -> None:
        super().compile()
        self.generator_optimizer, self.critic_optimizer = adam(), adam()

    def train_step(self, images):
        code = keras.random.normal((tf.shape(images)[0], CODE), seed=self.noise)
        with tf.GradientTape() as ours, tf.GradientTape() as theirs:
            drawn = self.generator(code, training=True)
            on_drawn, on_real = self.critic(drawn, training=True), self.critic(images, training=True)
            generator_loss = against(on_drawn, 1.0)
            critic_loss = (against(on_real, 1.0) + against(on_drawn, 0.0)) / 2
        for model, loss, tape, optimizer in (
            (self.generator, generator_loss, ours, self.generator_optimizer),
            (self.critic, critic_loss, theirs, self.critic_optimizer),
        ):
            weights = model.trainable_variables
            optimizer.apply(tape.gradient(loss, weights), weights)
        return {"generator_loss": generator_loss, "critic_loss": critic_loss}


class Game(Task):
    """The same game as a task: one step moves both players."""

    def step(self, models, optimizers, batch, seed):
        (images,) = batch
        code = tf.random.stateless_normal((tf.shape(images)[0], CODE), seed)
        with tf.GradientTape() as ours, tf.GradientTape() as theirs:
            drawn = models["generator"](code, training=True)
            on_drawn, on_real = models["critic"](drawn, training=True), models["critic"](images, training=True)
            losses = {
                "generator": against(on_drawn, 1.0),
                "critic": (against(on_real, 1.0) + against(on_drawn, 0.0)) / 2,
            }
        for name, tape in (("generator", ours), ("critic", theirs)):
            weights = models[name].trainable_variables
            optimizers[name].apply(tape.gradient(losses[name], weights), weights)
            self.scalars[f"{name}_loss"] = losses[name]
        return losses["generator"], drawn


def keras_version(seed: int, sets: dict, epochs: int = EPOCHS) -> keras.Model:
    keras.utils.set_random_seed(seed)
    gan = Gan(seed)
    gan.compile()
    gan.fit(sets["train"] / np.float32(255), batch_size=BATCH, epochs=epochs, verbose=0)
    return gan.generator


def inkwell_version(seed: int, sets: dict, epochs: int = EPOCHS) -> Trainer:
    keras.utils.set_random_seed(seed)
    models = {"generator": generator(), "critic": critic()}
    trainer = Trainer(models=models, optimizers={name: adam() for name in models}, task=Game(), seed=seed)
    trainer.fit(sets["train"], epochs=epochs, batch_size=BATCH)
    return trainer


def drawings(model: keras.Model, number: int = 1000) -> np.ndarray:
    """Return digits that a generator draws, float32 `[number, 28, 28, 1]` from 0 to 1."""
    codes = np.random.default_rng(0).standard_normal((number, CODE)).astype(np.float32)
    return model.predict(codes, batch_size=500, verbose=0)


def score(drawn: np.ndarray, judge: keras.Model) -> float:
    """Return the inception score, from 1 to 10, by a classifier of digits (Salimans et al. 2016, arXiv 1606.03498)."""
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(judge.predict(drawn, batch_size=500, verbose=0)))
    surprise = np.log(probabilities + 1e-9) - np.log(probabilities.mean(axis=0) + 1e-9)
    return float(np.exp((probabilities * surprise).sum(axis=1).mean()))


def judge(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Return a classifier of digits to judge drawings by."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    pixels = keras.Input((28, 28, 1))
    x = layers.MaxPooling2D()(layers.Conv2D(16, 3, activation="relu")(pixels))
    x = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(x))
    model = keras.Model(pixels, layers.Dense(10)(layers.Dropout(0.4)(layers.Flatten()(x))))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images / np.float32(255), labels, epochs=10, verbose=0)
    return model


def draw(drawn: np.ndarray, path: Path) -> None:
    """Write the first 64 drawings as one picture, eight in a row."""
    rows = (drawn[:64, ..., 0] * 255).astype(np.uint8).reshape(8, 8, 28, 28)
    Image.fromarray(rows.transpose(0, 2, 1, 3).reshape(224, 224)).resize((672, 672)).save(path)


if __name__ == "__main__":
    draw(drawings(inkwell_version(0, data()).models["generator"]), Path("digits.png"))
