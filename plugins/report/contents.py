"""The contents of a report, from the files of a run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.report import evaluated
from plugins.report.evaluated import Evaluated
from trainer.console.tables import score_rows
from trainer.runs import reported
from trainer.runs.files import RunFiles, RunRecord

UNNAMED = "data without a name"
DIGITS = [str(digit) for digit in range(10)]


@dataclass(frozen=True)
class Contents:
    """The contents of the page and the model card of a run.

    Attributes:
        folder: The run directory.
        name: Name of the run.
        status: Status of the run.
        run: The content of `run.json`.
        result: The content of `result.json`, or what it is about to be; empty while the run is not done.
        config: The configuration, nested.
        config_text: The same as TOML.
        history: The lines of `history.jsonl`.
        steps_per_epoch: Steps in an epoch; 0 if unknown.
        test: The findings about the test images.
        others: Those about other images or other weights, by the names of their folders.
    """

    folder: Path
    name: str
    status: str
    run: RunRecord
    result: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    history: Sequence[Mapping[str, Any]]
    steps_per_epoch: int
    test: Evaluated
    others: Mapping[str, Mapping[str, Any]]

    @property
    def model(self) -> str:
        """Name of the architecture."""
        return str((self.config.get("model") or {}).get("name") or self.result.get("model") or "model")

    @property
    def data(self) -> dict[str, Any]:
        """Name, digest, sizes and, for a classifier, class names of the data; empty if nothing is known about them."""
        known = {key: value for key, value in self.run.data.items() if key != "class_names" or self.run.classifies}
        return {"name": UNNAMED, "class_names": [], "notices": [], **known} if known else {}

    @property
    def classifies(self) -> bool:
        """True if the model reads images of classes, as far as is known."""
        return bool(self.test.found or self.data.get("class_names"))

    @property
    def scores(self) -> list[tuple[str, str]]:
        """The numbers on the test data, as names and values; empty if there are none."""
        return score_rows(self.result.get("test") or {})

    @property
    def reads_handwriting(self) -> bool:
        """True if `predict.py` and the page to draw on may refuse pictures: the model reads ten digits in gray."""
        shape = list(self.data.get("input_shape") or [])
        square = len(shape) == 3 and shape[0] == shape[1] and shape[2] == 1
        return square and list(self.data["class_names"]) == DIGITS

    @property
    def time(self) -> list[tuple[str, float, float]]:
        """The time ledger: what took time, its seconds and its share of the longest; the longest first."""
        spent = sorted((self.result.get("time") or {}).items(), key=lambda entry: -entry[1])
        most = spent[0][1] if spent else 1.0
        return [
            (name.replace("_", " "), seconds, seconds / (most or 1.0)) for name, seconds in spent if seconds >= 0.001
        ]


@dataclass(frozen=True)
class Ending:
    """The part of a run that has ended which its directory does not hold yet.

    Attributes:
        result: The future content of `result.json`; empty if the run is not done.
        history: The lines of the history.
        steps_per_epoch: Steps in an epoch.
    """

    result: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    steps_per_epoch: int


def gather(files: RunFiles, ending: Ending | None = None) -> Contents:
    """Return the contents of a run's report.

    Args:
        files: The run.
        ending: What a run that ends knows.

    Raises:
        InkwellError: If a file is damaged.
    """
    if ending is None:
        history = files.history()
        ending = Ending(files.result or {}, history, steps_per_epoch(history))
    return Contents(
        folder=files.path,
        name=files.name,
        status="done" if ending.result else files.status(),
        run=files.run,
        result=dict(ending.result),  # a template asks for what may be missing
        config=files.config,
        config_text=files.config_text,
        history=ending.history,
        steps_per_epoch=ending.steps_per_epoch,
        test=evaluated.read(files),
        others=reported.other_evaluations(files),
    )


def steps_per_epoch(history: Sequence[Mapping[str, Any]]) -> int:
    """Return the steps of the first epoch; one that was cut short is taken for whole."""
    epochs = (line for line in history if line.get("kind") == "epoch" and line.get("epoch"))
    return next((int(line["step"] / line["epoch"]) for line in epochs), 0)
