"""Does a slip in one of these jobs get one line with the cure, before the first step?"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest

from trainer.errors import InkwellError


def job(name: str) -> tuple[Any, Any, Any]:
    """Return a job, and inputs and labels of a few rows."""
    module = import_module(name)
    return module, *module.data(count=40)["train"]


def fit(network, x, y=None, task=None, **arguments: Any) -> None:
    from trainer.trainer import Trainer

    Trainer(network, task=task, plugins=[]).fit(x, y, epochs=1, **arguments)


def pairs_with(**changed: Any) -> None:
    """Train the siamese network on inputs and labels that were changed."""
    from trainer.tasks.supervised import Supervised

    module, x, y = job("siamese")
    given = {"x": x, "y": y, "sample_weight": None} | {name: change(x, y) for name, change in changed.items()}
    fit(module.network(), given.pop("x"), task=Supervised("binary_crossentropy"), **given)


def by_default(name: str) -> None:
    """Train a job without saying what is learned."""
    module, x, y = job(name)
    fit(module.network(), x, y)


def evaluated_gan() -> None:
    from trainer.trainer import Trainer

    module = import_module("gan")
    models = {"generator": module.generator(), "critic": module.critic()}
    optimizers = {name: module.adam() for name in models}
    Trainer(models=models, optimizers=optimizers, task=module.Game(), plugins=[]).evaluate(module.data(8)["train"])


def segmented(change) -> None:
    from trainer.tasks.supervised import Supervised

    module, x, y = job("segmentation")
    fit(module.network(), x, change(y), Supervised("sparse_categorical_crossentropy"))


def weighted(weights: Any) -> None:
    from trainer.tasks.classification import Classification

    module = import_module("imbalance")
    fit(module.network(), *module.data(20, 4)["train"], Classification(class_weight=weights))


MISTAKES = {
    "an input misspelt": (
        lambda: pairs_with(x=lambda x, y: {"left": x["left"], "rigth": x["right"]}),
        "the data are {left: float32 [N, 28, 28, 1], rigth: float32 [N, 28, 28, 1]}, the model has {left: ",
    ),
    "inputs by order": (
        lambda: pairs_with(x=lambda x, y: (x["left"], x["right"])),
        "name the parts of x like those of the model",
    ),
    "labels forgotten": (lambda: pairs_with(y=lambda x, y: None), "batches must be (x, y) or (x, y, sample_weight)"),
    "a label too few": (lambda: pairs_with(y=lambda x, y: y[1:]), "x.left 40, x.right 40, y 39"),
    "pixels not scaled": (
        lambda: pairs_with(x=lambda x, y: {name: images.astype(np.float32) for name, images in x.items()}),
        "divide by 255, or pass uint8",
    ),
    "a weight of NaN": (
        lambda: pairs_with(sample_weight=lambda x, y: np.full(40, np.nan)),
        "sample_weight has NaN or infinite values in row 0",
    ),
    "numbers taken for classes": (
        lambda: by_default("regression"),
        "for a number instead of a class, use the task supervised and a loss such as mean_squared_error",
    ),
    "several labels taken for classes": (
        lambda: by_default("multi_label"),
        "for any number of classes per row, use the task supervised and loss=binary_crossentropy",
    ),
    "pixels taken for one class": (lambda: by_default("segmentation"), "use task supervised"),
    "classes from 1": (lambda: segmented(lambda y: y + 1), "labels go from 1 to 11: subtract 1"),
    "a mask of half the size": (lambda: segmented(lambda y: y[:, ::2]), "do not suit the output"),
    "weights of an unknown class": (lambda: weighted({10: 2.0}), "cannot weigh class 10: classes are 0 to 9"),
    "balanced misspelt": (lambda: weighted("balancd"), "give 'balanced' or a weight for each class"),
    "a game without forward is evaluated": (evaluated_gan, "the task Game: it has no method forward; add it"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_slip_gets_one_line_with_the_cure(keras, name):
    make, said = MISTAKES[name]
    with pytest.raises(InkwellError) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
