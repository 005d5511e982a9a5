"""What the files of a run directory say, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.report.pictures.tables import read_table
from trainer.config.merge import read_toml
from trainer.evaluation.assessment import hardest
from trainer.evaluation.robustness.measure import summary
from trainer.runs.directory import CONFIG, RESULT, RUN, read_json


@dataclass(frozen=True)
class Facts:
    """A run, as its directory tells it.

    Attributes:
        folder: The run directory.
        run: What `run.json` says.
        result: What `result.json` says or will say; empty while the run is not done.
        config: The configuration, nested.
        config_text: The same as TOML.
        evaluation: What `report/evaluation.json` says about the test images; empty if it is not there.
        corruptions: The rows of `report/robustness.csv`, none if robustness was not measured.
    """

    folder: Path
    run: Mapping[str, Any]
    result: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    evaluation: Mapping[str, Any]
    corruptions: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.absolute().name

    @property
    def status(self) -> str:
        """How the run stands."""
        return "done" if self.result else str(self.run.get("status", "unknown"))

    @property
    def model(self) -> str:
        """The name of the architecture."""
        return str((self.config.get("model") or {}).get("name") or self.result.get("model") or "model")

    @property
    def data(self) -> dict[str, Any]:
        """Facts about the data; empty if nothing is known of them."""
        known = self.run.get("data") or {}
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


def gather(folder: Path, result: Mapping[str, Any] | None = None) -> Facts:
    """Return the facts of a run.

    Args:
        folder: The run directory.
        result: What `result.json` will say, of a run that is about to end.

    Raises:
        InkwellError: If a file is damaged.
    """
    report = folder / "report"
    known = (folder / name for name in (RUN, RESULT))
    run, finished = (read_json(path) if path.is_file() else {} for path in known)
    has_config = (folder / CONFIG).is_file()
    evaluation = report / "evaluation.json"
    robustness = report / "robustness.csv"
    return Facts(
        folder=folder,
        run=run,
        result=finished if result is None else result,
        config=read_toml(folder / CONFIG) if has_config else {},
        config_text=(folder / CONFIG).read_text(encoding="utf-8") if has_config else "",
        evaluation=read_json(evaluation) if evaluation.is_file() else {},
        corruptions=read_table(robustness) if robustness.is_file() else [],
    )
