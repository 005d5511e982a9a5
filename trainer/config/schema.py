"""The configuration of a run: frozen dataclasses, and the one home of every default, from Python and terminal alike.

`trainer.config.merge` combines values from several places. A field with a `Flag` can be set by a flag of the command
line, whose help is the first sentence about the field under `Attributes`; see `trainer.config.flags`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import ConfigDict

from trainer.config.spec import SOURCE, SPEC, parse_source, parse_spec
from trainer.config.types import BelowOne, Count, ModuleName, Positive, Seconds, Seed, Switch
from trainer.display.shown import Shown
from trainer.text import in_line, unseen

Args = dict[str, Any]
EITHER = {"training": ("epochs", "steps")}
"""Keys by section that replace each other: the one in the later layer counts, and it alone is saved."""

UNLESS_CHOSEN = {"training": ("min_steps",)}
"""Keys by section whose default no longer applies once a layer chooses one of `EITHER`."""


@dataclasses.dataclass(frozen=True)
class Flag:
    """A flag of the command line that sets a field, as part of the field's type.

    Attributes:
        name: The flag, such as `--lr`.
        metavar: Placeholder of its value in the help (default: the choices, or a letter for numbers).
        args: Field of the same section that gets the arguments after the name (default: it takes none).
        parse: Splits the value into name and arguments, if it takes some.
    """

    name: str
    metavar: str = ""
    args: str = ""
    parse: Callable[[str], tuple[str, Args]] = parse_spec


def _section(cls: type) -> type:
    """Have pydantic refuse unknown keys and loose types of a frozen, keyword-only dataclass."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return cls


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The architecture.

    Attributes:
        name: Architecture, and the arguments of its builder.
        args: Arguments of its builder.
    """

    name: Annotated[str, Flag("--model", SPEC, args="args")] = "lenet"
    args: Args = dataclasses.field(default_factory=dict)


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The task to learn.

    Attributes:
        name: Task to learn, and the arguments of its class.
        args: Arguments of its class.
    """

    name: Annotated[str, Flag("--task", SPEC, args="args")] = "classification"
    args: Args = dataclasses.field(default_factory=dict)


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images.

    Attributes:
        name: Data to train on, such as auto, mnist, mnist5k, fashion_mnist, the name of a TFDS set, or a path.
        args: Arguments of a registered data source.
        folder: Folder of downloaded and prepared data.
        test: Data to test on instead of the test images that belong to the training data. All its images are used if it
            has no test split.
        test_args: Arguments of the data source to test on.
        batch_size: Training batch size.
        augmentation: Strength of the random changes to training images.
        augmentation_args: Values that replace those of this strength; see `trainer.data.augmentation.strength`.
    """

    name: Annotated[str, Flag("--data", SOURCE, args="args", parse=parse_source)] = "auto"
    args: Args = dataclasses.field(default_factory=dict)
    folder: Annotated[str, Flag("--data-dir", "DIR")] = "data"
    test: Annotated[str | None, Flag("--test-data", SOURCE, args="test_args", parse=parse_source)] = None
    test_args: Args = dataclasses.field(default_factory=dict)
    batch_size: Annotated[Count, Flag("--batch-size")] = 128
    augmentation: Annotated[Literal["none", "light", "strong"], Flag("--augment")] = "light"
    augmentation_args: Args = dataclasses.field(default_factory=dict)


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The update of the weights.

    Attributes:
        name: Name of a Keras optimizer in lower case.
        args: Other arguments of its class, such as `weight_decay`.
        learning_rate: Peak learning rate.
        schedule: Learning rate schedule. `cosine` is a linear warm-up followed by half a cosine down to 0.
        warm_up: Share of the steps in which `cosine` rises to the peak.
        schedule_steps: Steps over which the schedule runs (default: the whole run).
        clip_norm: Largest global norm of the gradients (default: no limit).
    """

    name: Annotated[str, Flag("--optimizer", "NAME")] = "adam"
    args: Args = dataclasses.field(default_factory=dict)
    learning_rate: Annotated[Positive, Flag("--lr")] = 2e-3
    schedule: Annotated[Literal["cosine", "constant"], Flag("--schedule")] = "cosine"
    warm_up: BelowOne = 0.05
    schedule_steps: Count | None = None
    clip_norm: Positive | None = None


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The duration and the numerics of training.

    Attributes:
        epochs: Passes over the training images.
        steps: Optimizer steps, instead of epochs.
        min_steps: Optimizer steps to take at least, in as many epochs as that needs; early stopping waits for them. The
            default holds only while neither epochs nor steps are chosen, so that few images are learned well too.
        max_time: Time limit for training. It ends at the first span of steps that is over it; in seconds, or a text
            such as "10m".
        validate_every_steps: Validate every n steps instead of after every epoch.
        log_every_steps: Steps between two lines about batches in the history.
        seed: Seed of initial weights, data order, augmentation and dropout.
        deterministic: Use deterministic operations only.
        dtype: Keras dtype policy.
        kernels: Implementation of a training step. `keras` computes it as `Model.fit` does, `fused` has one operation
            each for batch normalisation and Adam's update, `blocks` is faster for narrow convolutions, `auto` is
            `fused`, and after 2,000 steps `blocks` where that is known to be faster. All agree up to rounding.
    """

    epochs: Annotated[Count, Flag("--epochs")] = 10
    steps: Annotated[Count | None, Flag("--steps")] = None
    min_steps: Count | None = 800
    max_time: Annotated[Seconds | None, Flag("--max-time", "10m")] = None
    validate_every_steps: Count | None = None
    log_every_steps: Count = 50
    seed: Annotated[Seed, Flag("--seed")] = 0
    deterministic: Annotated[Switch, Flag("--deterministic")] = False
    dtype: Literal["float32", "mixed_bfloat16"] = "float32"
    kernels: Annotated[Literal["auto", "keras", "fused", "blocks"], Flag("--kernels")] = "auto"


DEFAULT_PLUGINS: Mapping[str, Args] = {
    "nan_guard": {},
    "early_stopping": {"monitor": "val_loss", "patience": 5},
    "report": {},
    "mlflow": {},
    "checkpoint": {},
    "progress": {},
}


def _default_plugins() -> dict[str, Args]:
    return {name: dict(args) for name, args in DEFAULT_PLUGINS.items()}


@_section
@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Config(Shown):
    """Everything that determines what a run computes; saved as `config.toml` before step 0.

    Attributes:
        model: Architecture, and the arguments of its builder.
        task: Task to learn, and the arguments of its class.
        data: Images to learn from.
        optimizer: Update of the weights.
        training: Duration and numerics.
        imports: Modules that were imported first because they register names: a record of `--import`, never a reason to
            import them again.
        plugins: Arguments by plugin name, in the order in which the plugins run. A file that has this table replaces
            the default list as a whole.
    """

    model: ModelConfig = ModelConfig()
    task: TaskConfig = TaskConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    imports: tuple[ModuleName, ...] = ()
    plugins: dict[str, Args] = dataclasses.field(default_factory=_default_plugins)

    def _line(self) -> str:
        training = self.training
        length = f"{training.epochs} epochs" if training.steps is None else f"{training.steps:,} steps"
        return f"{in_line(self.model.name)} on {in_line(self.data.name)}, {length}, plugins {', '.join(self.plugins)}"

    def _card(self) -> str:
        from trainer.display.html import card, text_block

        return card(repr(self), text_block(self.to_toml()))

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values.

        None is left out, since TOML cannot express it, and so are the epochs of a run whose steps are given.
        """
        values: dict[str, Any] = _without_none(dataclasses.asdict(self))
        for section, (replaced, replacing) in EITHER.items():
            if replacing in values[section]:
                del values[section][replaced]
        return values

    def to_toml(self) -> str:
        """Return the text of `config.toml`."""
        return unseen(tomli_w.dumps(self.to_dict()), lambda character: f"\\U{ord(character):08x}")


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return list(value) if isinstance(value, tuple) else value
