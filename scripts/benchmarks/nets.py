"""The networks as Keras and PyTorch users write them; Inkwell's own are in `models/`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

    from .worker import Job

LEARNING_RATE, EPSILON, CHECKED = 1e-3, 1e-7, 5
"""Adam's settings for all contenders, and the number of first steps that are compared."""

PLAIN = ("lenet", "simple_cnn")
"""Models that are written out here; for any other, Keras gets the registered one and PyTorch is left out."""


def registered(job: Job, **changes: Any) -> keras.Model:
    """Return the model from Inkwell's registry, with the initial weights of the job, if it has any."""
    from trainer import registry
    from trainer.runs.imports import import_named

    import_named(job.imports)
    shape = job.train()[0].shape[1:]
    known = inspect.signature(registry.models.resolve(job.model)).parameters
    args = {**job.args, **{name: value for name, value in changes.items() if name in known}}
    model = registry.models.build(job.model, tuple(map(int, shape)), job.classes, **args)
    if job.weights:
        model.set_weights(job.initial())
    return model


def keras_net(job: Job, dropout: bool = True) -> keras.Model:
    """Return the model as Keras users write it, with the initial weights of the job.

    Args:
        job: The job.
        dropout: True to keep the network's dropout; without it, the losses of two programs are comparable.
    """
    changes = {} if dropout else {"dropout": 0.0}
    if job.model not in PLAIN or job.args:
        return registered(job, **changes)
    build = {"lenet": _keras_lenet, "simple_cnn": _keras_simple_cnn}[job.model]
    model = build(job.train()[0].shape[1:], job.classes, 0.5 if dropout else 0.0)
    model.set_weights(job.initial())
    return model


def _keras_lenet(shape: Sequence[int], classes: int, _: float) -> keras.Model:
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(classes),
        ]
    )


def _keras_simple_cnn(shape: Sequence[int], classes: int, dropout: float) -> keras.Model:
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(dropout),
            layers.Dense(classes),
        ]
    )


def torch_net(job: Job, dropout: bool = True) -> Any:
    """Return the model as PyTorch users write it, with the initial weights of the job."""
    import torch  # type: ignore[import-not-found,unused-ignore]

    weights = job.initial()
    images = torch.zeros(1, *(job.train()[0].shape[i] for i in (3, 1, 2)))
    build: Callable[..., Any] = {"lenet": _torch_lenet, "simple_cnn": _torch_simple_cnn}[job.model]
    features, head = build([weight.shape for weight in weights[::2]], 0.5 if dropout else 0.0)
    maps = tuple(features(images).shape[1:])
    net = torch.nn.Sequential(*features, torch.nn.Flatten(), *head)
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), _transposed(weights, maps), strict=True):
            parameter.copy_(torch.from_numpy(value))
    return net


def _torch_lenet(shapes: Sequence[tuple[int, ...]], _: float) -> tuple[Any, Any]:
    from torch import nn  # type: ignore[import-not-found,unused-ignore]

    c1, c3, c5, f6, logits = shapes
    features = nn.Sequential(
        *(nn.Conv2d(c1[2], c1[3], 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(c3[2], c3[3], 5), nn.ReLU(), nn.MaxPool2d(2)),
    )
    return features, nn.Sequential(_dense(c5), nn.ReLU(), _dense(f6), nn.ReLU(), _dense(logits))


def _torch_simple_cnn(shapes: Sequence[tuple[int, ...]], dropout: float) -> tuple[Any, Any]:
    from torch import nn  # type: ignore[import-not-found,unused-ignore]

    conv1, conv2, logits = shapes
    features = nn.Sequential(
        *(nn.Conv2d(conv1[2], conv1[3], 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(conv2[2], conv2[3], 3), nn.ReLU(), nn.MaxPool2d(2)),
    )
    return features, nn.Sequential(nn.Dropout(dropout), _dense(logits))


def _dense(shape: Sequence[int]) -> Any:
    from torch import nn  # type: ignore[import-not-found,unused-ignore]

    return nn.Linear(shape[0], shape[1])


def _transposed(weights: Sequence[np.ndarray], maps: tuple[int, int, int]) -> list[np.ndarray]:
    """Return Keras weights with their axes in PyTorch's order.

    Args:
        weights: Kernels and biases, alternating.
        maps: Channels, height and width of the flattened layer; PyTorch puts the channels first.
    """
    channels, height, width = maps
    flattened, turned = False, []
    for weight in weights:
        if weight.ndim == 4:
            weight = weight.transpose(3, 2, 0, 1)
        elif weight.ndim == 2 and not flattened:
            flattened = True
            weight = weight.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(weight.shape[1], -1)
        elif weight.ndim == 2:
            weight = weight.T
        turned.append(weight.copy())
    return turned
