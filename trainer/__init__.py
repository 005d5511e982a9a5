"""The trainer: its public API and the plugin contract, on top of engine, kernels, tasks, runs, data and configuration.

Names are imported on first use, so that a plugin's tests and `--help` do not load TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainer.startup import configure

if TYPE_CHECKING:
    from trainer.engine.durations import Durations
    from trainer.evaluator import Evaluator
    from trainer.plugin import Every, Plugin
    from trainer.run import Run
    from trainer.tasks.classification import Classification
    from trainer.tasks.overall import Overall
    from trainer.tasks.supervised import Supervised
    from trainer.tasks.task import Task
    from trainer.trainer import Trainer

_HOMES = {
    "Classification": "trainer.tasks.classification",
    "Durations": "trainer.engine.durations",
    "Evaluator": "trainer.evaluator",
    "Every": "trainer.plugin",
    "Overall": "trainer.tasks.overall",
    "Plugin": "trainer.plugin",
    "Run": "trainer.run",
    "Supervised": "trainer.tasks.supervised",
    "Task": "trainer.tasks.task",
    "Trainer": "trainer.trainer",
}

configure()  # before anything imports Keras

__all__ = [
    "Classification",
    "Durations",
    "Evaluator",
    "Every",
    "Overall",
    "Plugin",
    "Run",
    "Supervised",
    "Task",
    "Trainer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
