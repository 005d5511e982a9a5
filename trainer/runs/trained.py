"""Brings a trained model back from its run directory: built by name, filled from a verified checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field

from trainer import checkpoint, startup
from trainer.checkpoint import MANIFEST, Checkpoints, conform
from trainer.config.build import build_model, import_user_module
from trainer.config.merge import resolve
from trainer.config.optimizers import build_optimizer
from trainer.config.schema import Config
from trainer.data import load
from trainer.data.imageset import ImageSet
from trainer.data.sources.find import load_source
from trainer.data.split import as_known, content_digest, split
from trainer.errors import CheckpointError, DataError, UsageError
from trainer.registry import models
from trainer.runs.directory import CONFIG, RESULT, read_json
from trainer.text import first_line, in_line

if TYPE_CHECKING:
    import keras


Side = Annotated[int, Field(ge=1, le=2**14, strict=True)]


@dataclass(frozen=True)
class DataFacts:
    """What must be known of the data to build the model again; see `trainer.data.split.Data.facts`."""

    digest: str
    source_digest: str
    input_shape: tuple[Side, Side, Side]
    class_names: Annotated[list[str], Field(min_length=1)]


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as a manifest says it; of a `Trainer` that was given no configuration, both are empty.

    Attributes:
        config: The configuration, as in `config.toml`.
        data: Facts about the data.
    """

    config: dict[str, Any]
    data: dict[str, Any]


class Chosen(NamedTuple):
    """Images to evaluate on.

    Attributes:
        what: What they are, for people.
        images: The images.
        notices: Lines that the user must see.
        own: Whether they are the images that the run itself was tested on.
    """

    what: str
    images: ImageSet
    notices: tuple[str, ...]
    own: bool


@dataclass(frozen=True)
class Trained:
    """A model with the weights of a checkpoint.

    Attributes:
        model: The model.
        config: The configuration it was trained with.
        data: Facts about the data it was trained on; see `trainer.data.split.Data.facts`.
        path: The checkpoint.
        temperature: What its logits are divided by for calibrated probabilities; 1 if the run did not get that far.
    """

    model: keras.Model
    config: Config
    data: Mapping[str, Any]
    path: Path
    temperature: float = 1.0

    def images(self, name: str | None, folder: str | None, part: str) -> Chosen:
        """Return the images to evaluate on.

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
            data = load(own.name, folder, self.config.training.seed, own.test)
            if data.digest != self.data["digest"]:
                raise DataError(
                    f"{data.name} is not what the model was trained on: its digest is {data.digest[:12]}…, that of the "
                    f"run {self.data['digest'][:12]}…; name other data with --data"
                )
            return Chosen(f"{data.name}, {part} images", getattr(data, part), data.notices, part == "test")
        source = load_source(name, Path(folder), whole=False)
        if content_digest(source) == self.data["source_digest"]:
            data = split(source, self.config.training.seed)
            tested = part == "test" and own.test is None
            return Chosen(f"{data.name}, {part} images", getattr(data, part), data.notices, tested)
        if part != "test":
            raise UsageError(f"{name} is not what the model was trained on: it has no {part} part here")
        images = as_known(source, self.data["input_shape"], self.data["class_names"])
        what = f"{source.name}, {'test' if source.test else 'all'} images"
        return Chosen(what, images, source.notices, own=False)


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that `path` stands for: itself, or the best of a run, or its last if none is the best.

    Raises:
        UsageError: If `path` is neither a run directory nor a checkpoint.
        CheckpointError: If the run has no checkpoint, or the pointer to it is damaged.
    """
    if _is_file(path / MANIFEST):
        return path
    if not _is_file(path / CONFIG):
        raise UsageError(f"{in_line(path)} is neither a run directory nor a checkpoint")
    saved = Checkpoints(path / "checkpoints")
    found = saved.role("best") or saved.role("last")
    if found is None:
        raise CheckpointError(f"run {path} has no checkpoint")
    if not _is_file(found / MANIFEST):
        raise CheckpointError(f"checkpoint {found} is gone or damaged: it has no {MANIFEST}")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long, a folder that may not be looked into
        return False


def load_trained(path: Path) -> Trained:
    """Start TensorFlow and load the model of a run directory or checkpoint; no code in it is run.

    The modules that its configuration names are imported, as `--import` did when it was trained.
    Where the optimizer keeps averages of the weights (`use_ema`), the model gets those.

    Raises:
        UsageError: If `path` is neither, or the model's name is not registered here.
        CheckpointError: If there is no checkpoint, or it is damaged, says nothing of a model or does not fit.
    """
    found, config, data = _read(path)
    startup.start(config.training.seed, config.training.deterministic, config.training.dtype)
    model = _fill(found, config, data)
    return Trained(model, config, found.manifest["data"], found.path, _temperature(found.path))


def load_model(path: Path) -> keras.Model:
    """Return the model of a run directory or checkpoint in a process that has another one in training.

    Nothing of the process is set as the configuration of the run says; errors are those of `load_trained`.
    """
    return _fill(*_read(path))


def _read(path: Path) -> tuple[checkpoint.Checkpoint, Config, DataFacts]:
    """Return a verified checkpoint, and what it says of configuration and data; import what it names."""
    found = checkpoint.read(find_checkpoint(path))
    origin = conform(Origin, found.manifest, f"checkpoint {found.path}")
    if not origin.config or not origin.data:
        raise CheckpointError(f"{found.path} names no model: it comes from a Trainer that was given no configuration")
    data = conform(DataFacts, origin.data, f"checkpoint {found.path}")
    try:
        config = resolve([origin.config], str(found.path))
    except UsageError as error:
        raise CheckpointError(str(error)) from error
    for module in config.imports:
        import_user_module(module)
    return found, config, data


def _fill(found: checkpoint.Checkpoint, config: Config, data: DataFacts) -> keras.Model:
    """Build the model and give it the weights of a checkpoint, or their averages where they were kept."""
    model = _build(found.path, config, data)
    optimizer = build_optimizer(config.optimizer, steps=1)
    if optimizer.use_ema:
        optimizer.build(model.trainable_variables)
        checkpoint.restore(found, [*model.variables, *optimizer.variables])
        optimizer.finalize_variable_values(model.trainable_variables)
    else:
        checkpoint.restore(found, model.variables)
    return model


def _temperature(path: Path) -> float:
    """Return the temperature that the run of a checkpoint found, if it was for this checkpoint."""
    result = path.parent.parent / RESULT
    facts = read_json(result) if result.is_file() else {}
    tested = (facts.get("best") or {}).get("checkpoint") or Checkpoints(path.parent).role("last")
    value = facts.get("temperature")
    fits = tested is not None and Path(tested).name == path.name
    return float(value) if fits and isinstance(value, int | float) and 0 < value < math.inf else 1.0


def _build(path: Path, config: Config, data: DataFacts) -> keras.Model:
    models.find(config.model.name)
    try:
        return build_model(config, data.input_shape, len(data.class_names))
    except Exception as error:  # what a builder makes of forged facts can be anything
        raise CheckpointError(f"checkpoint {path}: its model cannot be built: {first_line(error)}") from error
