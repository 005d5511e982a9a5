"""Predictions for many images, and for one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nets import keras_net, registered
from ..worker import Job, Turns


def trainer(job: Job, turns: Turns) -> None:
    """Run `Trainer.predict` on bytes."""
    from trainer import startup

    startup.start(seed=0)
    from trainer.trainer import Trainer

    images, made = job.test()[0], Trainer(registered(job))
    _take_turns(job, turns, images, made.predict, made.predict)


def as_written(job: Job, turns: Turns) -> None:
    """Run `Model.predict` on floats, with its default batch size of 32."""
    model = keras_net(job)
    _take_turns(job, turns, _floats(job), model.predict, model.predict)


def tuned(job: Job, turns: Turns) -> None:
    """Run `Model.predict` on floats in batches of 500, and call the model for a single image."""
    model = keras_net(job)

    def many(images: np.ndarray) -> Any:
        return model.predict(images, batch_size=500, verbose=0)

    def one(images: np.ndarray) -> Any:
        return np.asarray(model(images, training=False))

    _take_turns(job, turns, _floats(job), many, one)


def _floats(job: Job) -> np.ndarray:
    return job.test()[0].astype(np.float32) / 255


def _take_turns(
    job: Job, turns: Turns, images: np.ndarray, many: Callable[[Any], Any], one: Callable[[Any], Any]
) -> None:
    """Predict all images in one call, then some of them one by one, and report both times."""
    outputs = np.asarray(many(images[:64]))
    turns.ready(sum=float(np.abs(outputs).sum()))
    found: dict[str, Any] = {}
    while True:
        turns.wait(**found)
        started = time.perf_counter()
        many(images)
        found = {"many": time.perf_counter() - started, "one": []}
        for k in range(min(job.extra["singles"], len(images))):
            started = time.perf_counter()
            one(images[k : k + 1])
            found["one"].append(time.perf_counter() - started)
