"""Brings a trained model back from its run directory: built by name, filled from a verified checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import backend, checkpoint
from trainer.assemble import build_model, import_user_module
from trainer.checkpoint import MANIFEST, Checkpoints
from trainer.config import Config, resolve
from trainer.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Trained:
    """A model with the weights of a checkpoint.

    Attributes:
        model: The model.
        config: The configuration it was trained with.
        data: Facts about the data it was trained on; see `trainer.data.split.Data.facts`.
        path: The checkpoint.
    """

    model: keras.Model
    config: Config
    data: Mapping[str, Any]
    path: Path


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that `path` stands for: itself, or the best of a run, or its last if none is the best.

    Raises:
        UsageError: If `path` is neither a run directory nor a checkpoint.
        CheckpointError: If the run has no checkpoint.
    """
    if (path / MANIFEST).is_file():
        return path
    if not (path / "config.toml").is_file():
        raise UsageError(f"{path} is neither a run directory nor a checkpoint")
    saved = Checkpoints(path / "checkpoints")
    found = saved.role("best") or saved.role("last")
    if found is None:
        raise CheckpointError(f"run {path} has no checkpoint")
    return found


def load_trained(path: Path) -> Trained:
    """Start TensorFlow and load the model of a run directory or checkpoint; nothing saved is ever executed.

    Raises:
        UsageError: If `path` is neither, or the model's name is not registered here.
        CheckpointError: If there is no checkpoint, or it is damaged or does not fit.
    """
    found = checkpoint.read(find_checkpoint(path))
    config = resolve([found.manifest["config"]], str(found.path))
    for module in config.imports:
        import_user_module(module)
    backend.start(config.training.seed, config.training.deterministic, config.training.dtype)
    data = found.manifest["data"]
    height, width, channels = data["input_shape"]
    model = build_model(config, (height, width, channels), len(data["class_names"]))
    checkpoint.restore(found, model.variables)
    return Trained(model, config, data, found.path)
