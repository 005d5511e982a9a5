"""The contents of a report, from the files of a run directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.evaluation.assessment import hardest
from trainer.evaluation.robustness.measure import summary
from trainer.runs import reported
from trainer.runs.files import RunFiles, RunRecord


@dataclass(frozen=True)
class Contents:
    """The contents of the page and the model card of a run.

    Attributes:
        folder: The run directory.
        name: The run's name.
        status: How the run stands.
        run: The content of `run.json`.
        result: The content of `result.json`, or what it is about to be; empty while the run is not done.
        config: The configuration, nested.
        config_text: The same as TOML.
        evaluation: The content of `report/evaluation.json` about the test images; empty if it does not exist.
        others: The contents of `evaluation.json` about other images or other weights, by their `data`.
        corruptions: The rows of `report/robustness.csv`, none if robustness was not measured.
    """

    folder: Path
    name: str
    status: str
    run: RunRecord
    result: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    evaluation: Mapping[str, Any]
    others: Sequence[Mapping[str, Any]]
    corruptions: list[dict[str, Any]]

    @property
    def model(self) -> str:
        """The name of the architecture."""
        return str((self.config.get("model") or {}).get("name") or self.result.get("model") or "model")

    @property
    def data(self) -> dict[str, Any]:
        """Name, digest, sizes and class names of the data; empty if nothing is known of them."""
        known = self.run.data
        return {"name": "data without a name", "class_names": [], "notices": [], **known} if known else {}

    @property
    def means(self) -> dict[str, Any]:
        """The mean accuracies under corruptions, none if robustness was not measured."""
        return summary(self.corruptions) if self.corruptions else {}

    @property
    def hardest(self) -> list[Mapping[str, Any]]:
        """The classes that are found least often, the worst first."""
        return hardest(self.evaluation["per_class"]) if self.evaluation else []

    @property
    def confusions(self) -> list[tuple[str, str, int]]:
        """The most frequent errors: true class, class read, and how often; the most frequent first, at most five."""
        if not self.evaluation:
            return []
        names = [scores["class"] for scores in self.evaluation["per_class"]]
        counts = enumerate(self.evaluation["confusion"])
        found = [(names[i], names[j], n) for i, row in counts for j, n in enumerate(row) if n and i != j]
        return sorted(found, key=lambda error: -error[2])[:5]

    @property
    def time(self) -> list[tuple[str, float, float]]:
        """The time ledger: what took time, its seconds and its share of the longest; the longest first."""
        spent = sorted((self.result.get("time") or {}).items(), key=lambda entry: -entry[1])
        most = spent[0][1] if spent else 1.0
        return [
            (name.replace("_", " "), seconds, seconds / (most or 1.0)) for name, seconds in spent if seconds >= 0.001
        ]


def gather(files: RunFiles, result: Mapping[str, Any] | None = None) -> Contents:
    """Return the contents of a run's report.

    Args:
        files: The run.
        result: What `result.json` is about to be, of a run that ends.

    Raises:
        InkwellError: If a file is damaged.
    """
    result = dict(files.result or {} if result is None else result)  # a template asks for what may be missing
    return Contents(
        folder=files.path,
        name=files.name,
        status="done" if result else files.status(),
        run=files.run,
        result=result,
        config=files.config,
        config_text=files.config_text,
        evaluation=reported.evaluation(files),
        others=reported.other_evaluations(files),
        corruptions=reported.corruptions(files),
    )
