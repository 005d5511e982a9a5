"""Brings a trained model back from its run directory: built by name, filled from a verified checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer import backend, checkpoint
from trainer.assemble import build_model, import_user_module, load_data
from trainer.checkpoint import MANIFEST, Checkpoints
from trainer.config import Config, resolve
from trainer.data.imageset import ImageSet
from trainer.data.sources import load_source
from trainer.data.split import as_known, content_digest, split
from trainer.errors import CheckpointError, DataError, UsageError
from trainer.optimizers import build_optimizer

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

    def images(self, name: str | None, folder: str | None, part: str) -> tuple[str, ImageSet, tuple[str, ...]]:
        """Return what the images to evaluate on are, the images, and lines that the user must see.

        Args:
            name: A data source; None is the one that the model was trained on.
            folder: The data folder; None is that of the run.
            part: `train`, `validation` or `test`, of the data that the model was trained on. Of other data, the test
                images are taken, or all if there is no test split.

        Raises:
            UsageError: If the name is unknown, or `part` is not `test` for other data.
            DataError: If the data cannot be read, do not fit the model, or are no longer those of the run.
        """
        own = self.config.data
        folder = folder or own.folder
        if name is None:
            data = load_data(dataclasses.replace(own, folder=folder), self.config.training.seed)
            if data.digest != self.data["digest"]:
                raise DataError(
                    f"{data.name} is not what the model was trained on: its digest is {data.digest[:12]}…, that of the "
                    f"run {self.data['digest'][:12]}…; name other data with --data"
                )
            return f"{data.name}, {part} images", getattr(data, part), data.notices
        source = load_source(name, Path(folder), whole=False)
        if content_digest(source) == self.data["source_digest"]:
            data = split(source, self.config.training.seed)
            return f"{data.name}, {part} images", getattr(data, part), data.notices
        if part != "test":
            raise UsageError(f"{name} is not what the model was trained on: it has no {part} part here")
        images = as_known(source, self.data["input_shape"], self.data["class_names"])
        return f"{source.name}, {'test' if source.test else 'all'} images", images, source.notices


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
    if not (found / MANIFEST).is_file():
        raise CheckpointError(f"checkpoint {found} is gone or damaged: it has no {MANIFEST}")
    return found


def load_trained(path: Path) -> Trained:
    """Start TensorFlow and load the model of a run directory or checkpoint; nothing saved is ever executed.

    Where the optimizer keeps averages of the weights (`use_ema`), the model gets those.

    Raises:
        UsageError: If `path` is neither, or the model's name is not registered here.
        CheckpointError: If there is no checkpoint, or it is damaged or does not fit.
    """
    found = checkpoint.read(find_checkpoint(path))
    if not found.manifest["config"] or not found.manifest["data"]:
        raise CheckpointError(f"{found.path} names no model: it comes from a Trainer that was given no configuration")
    config = resolve([found.manifest["config"]], str(found.path))
    for module in config.imports:
        import_user_module(module)
    backend.start(config.training.seed, config.training.deterministic, config.training.dtype)
    data = found.manifest["data"]
    height, width, channels = data["input_shape"]
    model = build_model(config, (height, width, channels), len(data["class_names"]))
    optimizer = build_optimizer(config.optimizer, steps=1)
    if optimizer.use_ema:
        optimizer.build(model.trainable_variables)
        checkpoint.restore(found, [*model.variables, *optimizer.variables])
        optimizer.finalize_variable_values(model.trainable_variables)
    else:
        checkpoint.restore(found, model.variables)
    return Trained(model, config, data, found.path)
