"""Loading of a trained model from its run directory: built by name, with the weights of a verified checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import Field

from trainer import checkpoint, startup
from trainer.checkpoint import Checkpoints, conform
from trainer.config.build import build_model
from trainer.config.merge import resolve
from trainer.config.schema import Config, ModelConfig
from trainer.data import load
from trainer.data.batch import described
from trainer.data.imageset import ImageSet
from trainer.data.seen import Seen
from trainer.data.sources.find import load_source
from trainer.data.sources.labels import MAX_CLASSES
from trainer.data.split import Data, as_known, as_shapes, content_digest, of_shapes, split
from trainer.data.structure import Signature
from trainer.display.shown import Shown
from trainer.errors import CheckpointError, DataError, UsageError
from trainer.registry import models
from trainer.result import Result
from trainer.run import LEARNING_RATE_FACTOR
from trainer.runs.files import MODEL, RunFiles, is_run
from trainer.runs.find import find_checkpoint
from trainer.runs.imports import import_named
from trainer.runs.manifest import Saved, read_saved
from trainer.runs.untrusted_keras import build_untrusted
from trainer.text import first_line, in_line

if TYPE_CHECKING:
    import keras


Side = Annotated[int, Field(ge=1, le=2**14, strict=True)]
"""Height, width or channels of images."""
ClassNames = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(min_length=1, max_length=MAX_CLASSES)]
"""Class names of at most 1,000 characters each."""


@dataclass(frozen=True)
class Known:
    """Properties of the training data; see `trainer.data.split.Data.describe`."""

    digest: str
    source_digest: str


@dataclass(frozen=True)
class Images(Known):
    """Properties of the training images that a classifier needs."""

    input_shape: tuple[Side, Side, Side]
    class_names: ClassNames


class NotAClassifier(UsageError):  # noqa: N818, the name says what is refused
    """A model that does not classify images, where nothing else can be used."""


class Undescribed(CheckpointError):  # noqa: N818, a state rather than an error
    """A run without a description of its model, such as that of a subclassed model."""


class Chosen(NamedTuple):
    """Images to evaluate on.

    Attributes:
        what: Description of the images.
        images: The images.
        notices: Lines that the user must see.
        own: True if they are the images that the run itself was tested on.
    """

    what: str
    images: ImageSet
    notices: tuple[str, ...]
    own: bool


@dataclass(frozen=True, repr=False)
class Trained(Shown):
    """A model with the weights of a checkpoint.

    Attributes:
        model: The model.
        config: The configuration it was trained with; the default for a run without configuration.
        data: Name and digests of the data it was trained on, and image shape and class names if these are labelled
            images, as `trainer.data.split.Data.describe` returns them. The digests are empty if unknown.
        path: The checkpoint.
        temperature: Divisor of its logits for calibrated probabilities; 1 if it was not fitted.
        from_config: True if the run has a configuration, which names its data.
        seen: The images that it was trained and validated on; None if unknown.
        learned_classes: True if its task was classification, as far as known.
    """

    model: keras.Model
    config: Config
    data: Mapping[str, Any]
    path: Path
    temperature: float = 1.0
    from_config: bool = True
    seen: Seen | None = None
    learned_classes: bool = True

    def _line(self) -> str:
        return f"{in_line(self.model.name)} from {in_line(self.path)}"

    @property
    def classifies(self) -> bool:
        """True if the model tells classes of images apart: by a number per class, or a single one for two."""
        shape, names = self.data.get("input_shape"), self.data.get("class_names")
        if shape is None or names is None or not self.learned_classes:
            return False
        return classes_for(self.model, shape) == len(names)

    def check_classifies(self, purpose: str) -> None:
        """Refuse a model that does not classify images.

        Args:
            purpose: The purpose for which it must, as a verb with an object: `export`.

        Raises:
            NotAClassifier: If it does not.
        """
        if not self.classifies:
            raise NotAClassifier(
                f"cannot {purpose} {self.path}: its model {described_model(self.model)}, and this needs one that maps "
                "images to one logit per class; use it from Python: trainer.runs.trained.load_trained(PATH).model"
            )

    def images(self, name: str | None, folder: str | None, part: str) -> Chosen:
        """Return the images to evaluate on.

        Args:
            name: A data source; default: the one that the model was trained on.
            folder: The data folder; default: that of the run.
            part: `train`, `validation` or `test`, for the data that the model was trained on. Of other data, the test
                images are used, or all images if there is no test split.

        Raises:
            UsageError: If the name is unknown, `part` is not `test` for other data, or the model takes no images.
            DataError: If the data cannot be read, do not match the model, or have changed since the run.
        """
        if "input_shape" not in self.data and "input_shapes" not in self.data:
            self.check_classifies("evaluate")
        own = self.config.data
        folder = folder or own.folder
        if name is None and not self.from_config:
            raise DataError(f"the run of {self.path} does not name its data; choose data with --data")
        if name is None:
            seed = self.config.training.seed
            data = load(own.name, folder, seed, own.test, args=own.args, test_args=own.test_args)
            if data.digest != self.data["digest"]:
                raise DataError(
                    f"{data.name} is not what the model was trained on: its digest is {data.digest[:12]}…, that of the "
                    f"run {self.data['digest'][:12]}…; choose other data with --data"
                )
            return Chosen(_named(data, part), getattr(data, part), data.notices, part == "test")
        source = load_source(name, Path(folder), whole=False)
        if content_digest(source) == self.data["source_digest"]:
            data = split(source, self.config.training.seed)
            tested = part == "test" and own.test is None
            return Chosen(_named(data, part), getattr(data, part), data.notices, tested)
        if part != "test":
            raise UsageError(
                f"cannot use the {part} split of {name}: the model was not trained on these data; use the test split"
            )
        which = "all" if source.test is None else "test"
        if (shapes := self.data.get("input_shapes")) is not None:
            return Chosen(
                f"{source.name}, {which} rows", of_shapes(source, as_shapes(shapes)), source.notices, own=False
            )
        images = as_known(source, self.data["input_shape"], self.data["class_names"])
        return Chosen(f"{source.name}, {which} images", images, source.notices, own=False)


def _named(data: Data, part: str) -> str:
    """Return the name of a part of the data."""
    return f"{data.name}, {part} {'images' if data.are_images else 'rows'}"


def load_trained(path: Path, imports: Sequence[str] = (), model: keras.Model | None = None) -> Trained:
    """Start TensorFlow and load the model of a run directory or checkpoint, without running any code in it.

    If the optimizer keeps averaged weights (`use_ema`), the model gets those.

    Args:
        path: The run directory or checkpoint.
        imports: Modules to import first, which register models, or the Keras classes used by the model of a run without
            configuration. They must include the modules that the run was trained with, unless those are already
            imported or an installed package offers them by entry point.
        model: The built model, whose weights are set to those of the checkpoint; required for a subclassed model, which
            only its own code can build. Default: the model is built from its description.

    Raises:
        UsageError: If `path` is neither, a module is not named or cannot be imported, or the model's name is not
            registered.
        Undescribed: If the run has no description of its model, and none is given.
        CheckpointError: If there is no checkpoint, or it is damaged, describes no model or does not match the model.
    """
    saved, config = _read(path, imports)
    startup.start(config.training.seed, config.training.deterministic, config.training.dtype)
    model = _model(saved, config, imports, model)
    if not saved.manifest.config:
        config = dataclasses.replace(config, model=ModelConfig(name=model.name))
    folder = saved.path.parent.parent
    files = RunFiles(folder) if is_run(folder) else None
    classified = files.run.classifies if files is not None else True
    return Trained(
        model,
        config,
        _known_data(saved, model, classified),
        saved.path,
        temperature=_temperature(saved.path),
        from_config=bool(saved.manifest.config),
        seen=files.seen if files is not None else None,
        learned_classes=classified,
    )


def restore_task(path: Path, variables: Sequence[Any]) -> None:
    """Restore a task's own variables from a checkpoint, which has them last, before the factors of learning rates.

    Raises:
        CheckpointError: If it has others.
    """
    if not variables:
        return
    saved = read_saved(path).checkpoint
    names = [each["name"] for each in saved.manifest["variables"] if each["name"] != LEARNING_RATE_FACTOR]
    checkpoint.restore(saved, variables, max(0, len(names) - len(variables)))


def load_model(path: Path) -> keras.Model:
    """Return the model of a run directory or checkpoint in a process that is training another model.

    The configuration of the run does not change settings of the process; errors are those of `load_trained`.
    """
    return _model(*_read(path, ()), ())


def _read(path: Path, imports: Sequence[str]) -> tuple[Saved, Config]:
    """Return a verified checkpoint and its configuration; import the modules that the user names."""
    saved = read_saved(find_checkpoint(path))
    try:
        config = resolve([saved.manifest.config or {"training": {"seed": saved.manifest.seed}}], str(saved.path))
    except UsageError as error:
        raise CheckpointError(str(error)) from error
    import_named(imports, config.imports, f"checkpoint {saved.path}")
    return saved, config


def _model(saved: Saved, config: Config, imports: Sequence[str], given: keras.Model | None = None) -> keras.Model:
    """Build the model, unless it is given, and restore the weights of a checkpoint, averaged ones if there are any."""
    if given is None:
        given = _named_model(saved, config) if saved.manifest.config else _described_model(saved, imports)
    _restore(saved, given)
    return given


def _named_model(saved: Saved, config: Config) -> keras.Model:
    """Build the model that the configuration names."""
    if (shapes := saved.manifest.data.get("input_shapes")) is not None:
        inputs, count = as_shapes(shapes), len(saved.manifest.data.get("class_names") or ())
    else:
        images = conform(Images, saved.manifest.data, f"checkpoint {saved.path}")
        inputs, count = images.input_shape, len(images.class_names)
    models.find(config.model.name)
    try:
        return build_model(config, inputs, count)
    except Exception as error:  # forged values can make a builder raise anything
        raise CheckpointError(f"cannot build the model of checkpoint {saved.path}: {first_line(error)}") from error


def _described_model(saved: Saved, imports: Sequence[str]) -> keras.Model:
    """Build the model of a run without configuration from its `model.json`."""
    folder = saved.path.parent.parent
    described = RunFiles(folder).model_text if is_run(folder) else ""
    if not described:
        raise Undescribed(
            f"cannot load the model of {saved.path}: it comes from a Trainer without configuration, and {MODEL} is "
            f"missing from {folder}, as for a subclassed model; build it in Python and pass it: "
            "load_trained(path, model=…), or register its builder and train it with scripts/fit.py"
        )
    return build_untrusted(described, f"{folder / MODEL}", imports)


def _restore(saved: Saved, model: keras.Model) -> None:
    """Restore the weights of a model, averaged ones if its optimizer kept averages (`use_ema`)."""
    first = "".join(saved.manifest.models[:1])  # of several models, the one that predicts
    checkpoint.restore(saved.checkpoint, [checkpoint.Named(first, each) for each in model.variables])
    weights, prefix = model.trainable_variables, checkpoint.without_counters(f"{first}/" if first else "")
    described = zip(saved.checkpoint.manifest["variables"], saved.checkpoint.arrays, strict=True)
    rest = [(str(each["name"]), array) for each, array in described][len(model.variables) :]
    averages = [array for name, array in rest if name.startswith(prefix) and name.endswith("_average")]
    averages = averages[: len(weights)]  # the averages of a task's own variables follow
    if [array.shape for array in averages] == [tuple(weight.shape) for weight in weights]:
        for weight, average in zip(weights, averages, strict=True):
            weight.assign(average)


def _known_data(saved: Saved, model: keras.Model, classified: bool) -> dict[str, Any]:
    """Return the description of the data in the checkpoint, completed from a classifier where it is missing."""
    data = saved.manifest.data
    if saved.manifest.config:
        return data
    known = {"name": "unnamed data", "digest": "", "source_digest": "", **data}
    shape = image_shape(model) if classified else None
    count = classes_for(model, shape) if shape is not None else None
    if shape is None or count is None:
        conform(Known, known, f"checkpoint {saved.path}")
        return {key: value for key, value in known.items() if key not in ("input_shape", "class_names")}
    unknown = {"input_shape": list(shape), "class_names": [str(number) for number in range(count)]}
    known = unknown | known
    images = conform(Images, known, f"checkpoint {saved.path}")
    return known if (images.input_shape, len(images.class_names)) == (shape, count) else known | unknown


def image_shape(model: keras.Model) -> tuple[int, int, int] | None:
    """Return height, width and channels of the images that a model takes; None if it takes anything else."""
    signature = Signature.of(model)
    if signature is None:  # a subclassed model knows the shape that it was built with
        built = (model.get_build_config() or {}).get("input_shape")
        shape = tuple(built[1:]) if isinstance(built, tuple | list) else ()
    else:
        shape = tuple(signature.inputs.tree.shape[1:]) if signature.inputs.single else ()
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 and all(isinstance(side, int) for side in shape) else None


def classes_for(model: keras.Model, shape: Sequence[int]) -> int | None:
    """Return the number of classes that a model tells apart in images, where a single output stands for two.

    None if it does not take images of the shape or return a vector.
    """
    import keras

    try:
        outputs = model.compute_output_spec(keras.KerasTensor((None, *shape), "float32"))
    except Exception:  # the call of a user's class may raise anything
        return None
    sides: tuple[int | None, ...] = getattr(outputs, "shape", ())
    return max(2, sides[1]) if len(sides) == 2 and sides[1] is not None else None


def described_model(model: keras.Model) -> str:
    """Return what a model takes and returns as part of a sentence."""
    signature = Signature.of(model)
    if signature is None:
        return f"is a {in_line(type(model).__name__)}"
    return f"takes {described(signature.inputs.tree)} and returns {described(signature.outputs.tree)}"


def _temperature(path: Path) -> float:
    """Return the temperature that the run fitted, if it was for this checkpoint; otherwise 1."""
    folder = path.parent.parent
    result = (RunFiles(folder).result if is_run(folder) else None) or Result()
    tested = (result.get("best") or {}).get("checkpoint") or Checkpoints(path.parent).role("last")
    value = result.get("temperature")
    fits = tested is not None and Path(tested).name == path.name
    return float(value) if fits and isinstance(value, int | float) and 0 < value < math.inf else 1.0
