"""Loads a recognizer's model from a run, a checkpoint or an export, as one kind of function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from models.recognizer.judge.rejection import THRESHOLD
from trainer.config.types import Share
from trainer.errors import InkwellError, explain
from trainer.export import SPEC, formats, is_export
from trainer.export.format import Classifier, Format
from trainer.files import read_json
from trainer.runs.find import find_checkpoint
from trainer.runs.trained import ClassNames, Side, Trained, load_trained
from trainer.startup import without_chatter
from trainer.text import first_line, in_line

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class Source:
    """A model as a function.

    Attributes:
        classify: Maps images, uint8 `[N, H, W, C]`, to calibrated probabilities, float `[N, K]`.
        input_shape: Height, width and channels.
        class_names: Names of the classes, in the order of the probabilities.
        rejection: Parameters for refusing pictures, from the `spec.json` of an export; empty for a run.
    """

    classify: Classifier
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    rejection: Mapping[str, float]

    @property
    def handwriting(self) -> bool:
        """True if the model reads the ten digits in gray."""
        height, width, channels = self.input_shape
        return self.class_names == DIGITS and channels == 1 and height == width


def load_source(path: Path, imports: Sequence[str] = ()) -> Source:
    """Load the model of a run directory, checkpoint or exported folder.

    Args:
        path: Location of the model.
        imports: Modules that register parts of a run's model; see `trainer.runs.trained.load_trained`.

    Raises:
        UsageError: If `path` is none of these, or the export's format is unknown.
        InkwellError: If the model is damaged or cannot be used here.
    """
    return _exported(path) if is_export(path) else of_trained(load_trained(find_checkpoint(path), imports))


@dataclass(frozen=True)
class _Input:
    shape: tuple[int | None, Side, Side, Side]


@dataclass(frozen=True)
class _Rejection:
    threshold: Share = THRESHOLD


@dataclass(frozen=True)
class _Spec:
    """The fields of an export's `spec.json` that are used."""

    format: str
    class_names: ClassNames
    input: _Input
    rejection: _Rejection | None = None


def _spec(file: Path) -> _Spec:
    """Return the description of an export.

    Raises:
        InkwellError: If it is damaged.
    """
    try:
        return TypeAdapter(_Spec).validate_python(read_json(file))
    except ValidationError as error:
        problem = error.errors()[0]
        where = in_line(".".join(map(str, problem["loc"])))
        raise InkwellError(f"{file} is damaged, or from an older Inkwell: {where}: {explain(problem)}") from None


def _exported(folder: Path) -> Source:
    spec = _spec(folder / SPEC)
    form: Format = formats.resolve(spec.format)
    try:
        with without_chatter():
            classify = form.read(folder)
    except InkwellError:
        raise
    except Exception as error:  # each format's library has its own exceptions
        raise InkwellError(f"cannot load the export {folder}: {first_line(error)}") from error
    return Source(classify, spec.input.shape[1:], tuple(spec.class_names), vars(spec.rejection or _Rejection()))


def of_trained(trained: Trained) -> Source:
    """Return a trained model as a function that gives calibrated probabilities.

    Raises:
        UsageError: If it does not classify images.
    """
    from trainer.export.serving import serving

    trained.check_classifies("read pictures with")
    height, width, channels = shape = tuple(trained.data["input_shape"])
    serve = serving(trained.model, shape, trained.temperature)

    def classify(images: np.ndarray) -> np.ndarray:
        return serve(images)["probabilities"].numpy()

    return Source(classify, (height, width, channels), tuple(trained.data["class_names"]), {})
