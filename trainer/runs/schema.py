"""Types and ranges of the values in a run directory's files, which may be damaged or forged.

Only values that are read are listed. Others, such as the numbers of a user's own task, are kept unchecked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from trainer.errors import InkwellError, explain
from trainer.text import in_line

STARTED = "%Y-%m-%dT%H:%M:%S%z"
"""Format of the start time of a run."""


def _moment(text: str) -> str:
    try:
        if text:
            datetime.strptime(text, STARTED).timestamp()
    except (ValueError, OverflowError):
        raise ValueError("must be a time such as 2026-01-31T12:00:00+0000") from None
    return text


def _square(rows: list[list[int]]) -> list[list[int]]:
    if any(len(row) != len(rows) for row in rows):
        raise ValueError("must have as many columns as rows")
    if sum(map(sum, rows)) > 2**53:
        raise ValueError(f"must count at most {2**53:,} images")
    return rows


Text = Annotated[str, Field(strict=True, max_length=2**16)]
Name = Annotated[str, Field(strict=True, max_length=2**12)]
Whole = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Number = Annotated[float, Field(strict=True, ge=-1e300, le=1e300, allow_inf_nan=False)]
Logged = Number | None
"""A logged number; None stands for a non-finite one, which JSON cannot represent."""
Seconds = Annotated[float, Field(strict=True, ge=0, le=1e11, allow_inf_nan=False)]
KnownShare = Annotated[float, Field(strict=True, ge=0, le=1)]
Share = KnownShare | None
Moment = Annotated[Text, AfterValidator(_moment)]
Confusion = Annotated[list[list[Whole]], AfterValidator(_square)]
ABSENT: Any = None
"""Default of a value that may be missing but not null."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data as described in `run.json`."""

    name: Name | None = None
    digest: Name | None = None
    source_digest: Name | None = None
    train: Whole | None = None
    validation: Whole | None = None
    test: Whole | None = None
    input_shape: Annotated[list[Whole], Field(max_length=8)] | None = None
    input_shapes: Any = None
    class_names: Annotated[list[Name], Field(max_length=2**16)] | None = None
    notices: Annotated[list[Text], Field(max_length=2**10)] | None = None


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The model's parameters in `result.json`."""

    count: Whole


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The data as described in `result.json`."""

    name: Name | None = None
    digest: Name | None = None
    train: Whole | None = None
    val: Whole | None = None
    test: Whole | None = None


@dataclass(frozen=True, kw_only=True)
class Best:
    """The tested weights as described in `result.json`."""

    epoch: Whole = ABSENT
    val_accuracy: Share = None
    val_loss: Logged = None
    step: Whole = ABSENT
    checkpoint: Name | None = None


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The share of correctly classified images, with its interval."""

    value: Share
    low: Share
    high: Share
    right: Whole
    images: Whole
    set_aside: Whole = 0
    source: Text = ""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """The overlap of training and evaluated images."""

    images: Whole
    trained_on: Whole
    validated_on: Whole
    sentence: Text
    others: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class Test:
    """The numbers on the test images in `result.json`."""

    loss: Logged = None
    accuracy: Share = None
    precision: Share = None
    recall: Share = None
    f1: Share = None
    ece: Share = None
    nll: Logged = None
    calibrated_ece: Share = None
    calibrated_nll: Logged = None
    per_class: list[dict[Name, Any]] = ABSENT
    confusion: Confusion = ABSENT
    overlap: Overlap | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The content of `result.json`."""

    model: Name = ABSENT
    params: Parameters = ABSENT
    data: Sizes = ABSENT
    seed: Whole = ABSENT
    epochs: Whole = ABSENT
    steps: Whole = ABSENT
    run_dir: Text | None = None
    train_seconds: Seconds = ABSENT
    wall_seconds: Seconds = ABSENT
    images_per_second: Number = ABSENT
    stop_reason: Text = ABSENT
    skipped_steps: list[Whole] = ABSENT
    best: Best = ABSENT
    test: Test = ABSENT
    temperature: Logged = None
    backend: dict[Name, Any] = ABSENT
    versions: dict[Name, Name] = ABSENT
    time: dict[Name, Seconds] = ABSENT
    bottleneck: Text = ABSENT


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration metrics in `report/evaluation.json`."""

    ece: Logged
    nll: Logged
    brier: Logged


@dataclass(frozen=True, kw_only=True)
class OfClass:
    """The numbers of one class in `report/evaluation.json`."""

    name: Annotated[Name, Field(alias="class")]
    images: Whole
    right: Whole
    recall: Share
    recall_low: Share
    recall_high: Share
    precision: Share
    taken_for: Whole | None
    taken_for_times: Whole


@dataclass(frozen=True, kw_only=True)
class Bin:
    """A bin of the reliability diagram in `report/evaluation.json`."""

    probabilities: Name
    low: KnownShare
    high: KnownShare
    images: Whole
    confidence: Share = None
    accuracy: Share = None
    accuracy_low: Share = None
    accuracy_high: Share = None

    def __post_init__(self) -> None:
        """Refuse a bin with images but without confidence and accuracy."""
        if self.images and None in (self.confidence, self.accuracy, self.accuracy_low, self.accuracy_high):
            raise ValueError("a bin with images must have a confidence and an accuracy")


@dataclass(frozen=True, kw_only=True)
class Misread:
    """An incorrectly classified image, in `report/evaluation.json`."""

    true: Name
    read: Name
    probability: KnownShare
    doubted: Annotated[bool, Field(strict=True)] = False


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The content of `report/evaluation.json`."""

    accuracy: Interval
    calibration: dict[Name, Calibration]
    per_class: list[OfClass]
    confusion: Confusion
    corrected: Interval | None = None
    data: Text = ""
    overlap: Overlap | None = None
    reliability: list[Bin] = field(default_factory=list)
    surest_errors: list[Misread] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse references to classes that do not exist."""
        classes = len(self.per_class)
        if len(self.confusion) != classes or any((each.taken_for or 0) >= classes for each in self.per_class):
            raise ValueError("per_class and confusion must be about the same classes")


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """A row of `report/robustness.csv`."""

    corruption: Name
    accuracy: KnownShare
    trained_for: Annotated[bool, Field(strict=True)]
    low: Share = None
    high: Share = None


@dataclass(frozen=True, kw_only=True)
class Variation:
    """A row of `report/variations.csv`."""

    variation: Name
    unit: Text
    amount: Number
    accuracy: KnownShare
    low: KnownShare
    high: KnownShare


def conform(schema: Any, values: Any, path: Path) -> Any:
    """Return the content of a file as an instance of a type.

    Args:
        schema: A type that pydantic checks.
        values: The content.
        path: The file, for messages.

    Raises:
        InkwellError: If a value is missing, of the wrong type or out of range; names the first.
    """
    try:
        return _adapter(schema).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = in_line(".".join(map(str, problem["loc"]))) or "its content"
        reason = "is missing" if problem["type"] == "missing" else explain(problem)
        raise InkwellError(f"{path} is damaged: {key}: {in_line(reason)}") from None


@cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def lacking(schema: Any, values: Mapping[str, Any]) -> str | None:
    """Return the first key of a type that is missing from a table, or None; test numbers depend on the task."""
    for name, kind in get_type_hints(schema).items():
        if name not in values:
            return name
        inner = lacking(kind, values[name]) if is_dataclass(kind) and kind is not Test else None
        if inner is not None:
            return f"{name}.{inner}"
    return None
