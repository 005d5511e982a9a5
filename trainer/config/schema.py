"""The configuration of a run: frozen dataclasses, read from defaults, a TOML file, overrides and flags.

Later sources win: defaults, then the file, then overrides (`--set`), then flags. Types and ranges are checked by
pydantic, which reports every problem as data, so that each can be said in one line with a suggestion.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from trainer.errors import UsageError, did_you_mean, explain

Args = dict[str, Any]


def parse_duration(value: Any) -> Any:
    """Return seconds for texts such as `"90s"`, `"10m"` or `"1h30m"`; anything else is returned as it is."""
    if not isinstance(value, str):
        return value
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", value.strip())
    if not parts or not any(parts.groups()):
        raise ValueError(f"{value!r} is not a duration such as 90s, 10m or 1h30m")
    return sum(float(number or 0) * unit for number, unit in zip(parts.groups(), (3600, 60, 1), strict=True))


Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0, strict=True, allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
PositiveNumber = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]


def _section(cls: type) -> type:
    """Make a frozen, keyword-only dataclass whose unknown keys and loose types pydantic refuses."""
    cls.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]
    return cls


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which architecture: a registered name and the arguments of its builder."""

    name: str = "lenet"
    args: Args = dataclasses.field(default_factory=dict)


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """What is learnt: a registered name and the arguments of its class."""

    name: str = "classification"
    args: Args = dataclasses.field(default_factory=dict)


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images.

    Attributes:
        name: A registered data source, a TFDS name or a path.
        folder: Where prepared and downloaded data lie.
        test: Another data source, whose test images (all its images, if it has no test split) replace the test split.
        batch_size: Images a training batch.
        augmentation: Strength of the random changes.
        augmentation_args: Values that replace those of this strength; see `trainer.data.augmentation.strength`.
    """

    name: str = "auto"
    folder: str = "data"
    test: str | None = None
    batch_size: Positive = 128
    augmentation: Literal["none", "light", "strong"] = "light"
    augmentation_args: Args = dataclasses.field(default_factory=dict)


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How weights are updated.

    Attributes:
        name: A Keras optimizer in snake case.
        args: More arguments of its class, such as `weight_decay`.
        learning_rate: Peak of the schedule.
        schedule: `cosine` (a linear rise, then a half cosine to 0) or `constant`.
        warm_up: Share of the steps in which `cosine` rises to the peak.
        clip_norm: Largest global norm of the gradients; none by default.
    """

    name: str = "adam"
    args: Args = dataclasses.field(default_factory=dict)
    learning_rate: PositiveNumber = 2e-3
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.05
    clip_norm: PositiveNumber | None = None


@_section
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How long and how exactly.

    Attributes:
        epochs: Passes over the training images.
        steps: Optimizer steps; given, it replaces `epochs`.
        max_time: Seconds after which training ends at the next span; texts such as "10m" are read too.
        validate_every_steps: Validate every n steps instead of after every epoch.
        log_every_steps: Steps from one line of a batch in the history to the next.
        seed: Seed of everything random.
        deterministic: Use TensorFlow's deterministic operations only.
        dtype: Keras dtype policy.
        strategy: How a step is computed: `single`, as Keras does; `fused`, with batch normalisation and Adam's update
            as one operation each; `blocks`, which is faster for narrow convolutions; or `auto`: `fused`, and `blocks`
            after 2,000 steps where it is known to be faster. All give the same to rounding.
    """

    epochs: Positive = 10
    steps: Positive | None = None
    max_time: Seconds | None = None
    validate_every_steps: Positive | None = None
    log_every_steps: Positive = 50
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = 0
    deterministic: Annotated[bool, Field(strict=True)] = False
    dtype: Literal["float32", "mixed_bfloat16"] = "float32"
    strategy: Literal["auto", "single", "fused", "blocks"] = "auto"


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
@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides what a run computes; saved as `config.toml` before step 0.

    Attributes:
        plugins: Arguments by plugin name, in the order in which the plugins run. A file that has this table replaces
            the default list as a whole.
    """

    model: ModelConfig = ModelConfig()
    task: TaskConfig = TaskConfig()
    data: DataConfig = DataConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    imports: tuple[str, ...] = ()
    plugins: dict[str, Args] = dataclasses.field(default_factory=_default_plugins)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values; what is None is left out, since TOML has no word for it."""
        return _without_none(dataclasses.asdict(self))

    def to_toml(self) -> str:
        """Return the text of `config.toml`."""
        return tomli_w.dumps(self.to_dict())


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return list(value) if isinstance(value, tuple) else value


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file.

    Raises:
        UsageError: If the file cannot be read or is no TOML; the message names the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def resolve(layers: Iterable[Mapping[str, Any]], origin: str = "") -> Config:
    """Return the configuration that results from `layers` of nested values, later ones winning.

    Args:
        layers: Nested mappings as in `config.toml`; those of `REPLACED` are not merged but replaced.
        origin: Where the values come from, for messages.

    Raises:
        UsageError: If a key is unknown (with a suggestion) or a value has the wrong type or range.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, layer)
    try:
        return TypeAdapter(Config).validate_python(merged)
    except ValidationError as error:
        problem = error.errors()[0]
        keys = [str(key) for key in problem["loc"]]
        prefix = f"{origin}: " if origin else ""
        if problem["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            raise UsageError(prefix + _unknown_key(keys)) from None
        raise UsageError(f"{prefix}{'.'.join(keys)} = {problem['input']!r}: {explain(problem)}") from None


REPLACED = ("args", "augmentation_args", "plugins")
"""Tables with keys of their own, which replace those of a layer before them as a whole."""


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict) and key not in REPLACED:
            _merge(into[key], value)
        else:
            into[key] = {**value} if isinstance(value, Mapping) else value


def _unknown_key(keys: list[str]) -> str:
    section: Any = Config()
    for key in keys[:-1]:
        section = getattr(section, key)
    known = [f.name for f in dataclasses.fields(section)]
    where = ".".join(keys)
    elsewhere = [key for key in _dotted_keys() if key.endswith(f".{keys[-1]}")]
    near = f"; did you mean {elsewhere[0]!r}?" if elsewhere else did_you_mean(keys[-1], known)
    return f"unknown key {where!r}{near} (known: {', '.join(known)})"


def _dotted_keys() -> list[str]:
    sections = {f.name: getattr(Config(), f.name) for f in dataclasses.fields(Config)}
    tables = {name: section for name, section in sections.items() if dataclasses.is_dataclass(section)}
    return [f"{name}.{key.name}" for name, section in tables.items() for key in dataclasses.fields(section)]


def override(config: Config, assignments: Iterable[str]) -> Config:
    """Return `config` with `--set` assignments applied, such as `optimizer.learning_rate=0.01`.

    Raises:
        UsageError: If an assignment has no `=`, its key is unknown or its value does not fit.
    """
    tree = dataclasses.asdict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise UsageError(f"--set {assignment}: write key=value, such as --set training.epochs=3")
        *parents, key = path.strip().split(".")
        section: dict[str, Any] = tree
        for depth, parent in enumerate(parents):
            if depth and _is_open(parents[:depth]):
                section.setdefault(parent, {})
            if parent not in section:
                raise UsageError(f"--set {assignment}: unknown key {parent!r}{did_you_mean(parent, section)}")
            if not isinstance(section[parent], dict):
                raise UsageError(f"--set {assignment}: {'.'.join(parents[: depth + 1])} is a value and has no keys")
            section = section[parent]
        section[key] = parse_value(text)
    return resolve([tree], "--set")


def _is_open(path: list[str]) -> bool:
    """Return whether keys below `path` are free: the arguments of things that are found by name."""
    return path[0] == "plugins" or path[-1] in REPLACED


def parse_value(text: str) -> Any:
    """Return `text` read as a TOML value, else as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


_ARGUMENT = re.compile(
    r"""\s*([A-Za-z_]\w*)\s*=\s*                                 # key =
        ("[^"]*" | '[^']*'                                      # text in quotes
        | (?:\[.*?\]|\{.*?\})(?=\s*(?:,\s*[A-Za-z_]\w*\s*=|$))  # a list or table, up to the next key or the end
        | [^,]*?)\s*(?:,|$)                                     # or anything without a comma
    """,
    re.VERBOSE,
)


def parse_spec(spec: str) -> tuple[str, Args]:
    """Return name and arguments of `NAME[:key=value,…]`; a value with a comma is quoted.

    Raises:
        UsageError: If the text is not of that form.
    """
    name, colon, rest = spec.partition(":")
    args: Args = {}
    position = 0
    while position < len(rest):
        match = _ARGUMENT.match(rest, position)
        if match is None:
            raise UsageError(f"{spec!r}: write NAME:key=value,key=value; cannot read {rest[position:]!r}")
        args[match[1]] = parse_value(match[2])
        position = match.end()
    if not name or (colon and not args):
        raise UsageError(f"{spec!r}: write NAME or NAME:key=value,key=value")
    return name.strip(), args
