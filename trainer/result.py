"""The result of a run: typed objects on top of the JSON of `result.json`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from trainer.display.shown import Shown
from trainer.text import count, in_line


class Record(Shown, Mapping[str, Any]):
    """JSON values, accessible by key and, for the common ones, by attribute.

    Args:
        values: The content, which is copied; default: empty.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def _line(self) -> str:
        return ", ".join(f"{in_line(key)}: {in_line(value)}" for key, value in self._values.items()) or "empty"

    def _card(self) -> str:
        from trainer.display.html import card, definitions

        return card(type(self).__name__, definitions((key, in_line(value)) for key, value in self._values.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain nested values, ready for JSON."""
        return {key: value.to_dict() if isinstance(value, Record) else value for key, value in self._values.items()}


REPORTED = ("loss", "accuracy", "precision", "recall", "f1", "ece", "nll", "calibrated_ece", "calibrated_nll")
"""Numbers that the loss and a report on classes consist of."""

HEADLINE = 4
"""Numbers of a headline, where there is no accuracy."""


def own_scores(numbers: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers that are neither the loss nor part of a report on classes: a task's own metrics."""
    return {name: value for name, value in numbers.items() if name not in REPORTED and isinstance(value, float)}


class Scores(Record):
    """The numbers of an evaluation; attributes that the task does not report are None."""

    def _line(self) -> str:
        return self.headline() or "empty"

    def _card(self) -> str:
        from trainer.display.html import card, definitions

        plain = [(key.replace("_", " "), f"{value:.4f}") for key, value in self.items() if isinstance(value, float)]
        return card(self.headline() or repr(self), definitions(plain))

    def headline(self, what: str = "image") -> str:
        """Return the numbers in one line: `97.60 % of 500 images, 95 %: 95.86 to 98.62`, by Wilson's interval.

        That is the loss, followed by the task's own numbers, where there is no accuracy; nothing without numbers.

        Args:
            what: What the images are, in the singular.
        """
        from trainer.evaluation.statistics import wilson_interval

        if self.accuracy is None or not math.isfinite(self.accuracy):
            numbers = [("loss", self.loss), *own_scores(self).items()][:HEADLINE] if self.loss is not None else []
            return ", ".join(f"{in_line(name.replace('_', ' '))} {value:.4f}" for name, value in numbers)
        share = f"{100 * self.accuracy:.2f} %"
        images = sum(sum(row) for row in self.get("confusion") or ())
        if not images:
            return f"accuracy {share}{self.balanced}"
        low, high = wilson_interval(round(self.accuracy * images), images)
        return f"{share} of {count(images, what)}, 95 %: {100 * low:.2f} to {100 * high:.2f}{self.balanced}"

    @property
    def balanced(self) -> str:
        """The accuracy that does not follow the majority, as the end of a sentence; empty if it was not measured."""
        share = self.get("balanced_accuracy")
        return f"; balanced accuracy {100 * share:.2f} %" if share is not None else ""

    @property
    def loss(self) -> float | None:
        """Mean loss."""
        return self.get("loss")

    @property
    def accuracy(self) -> float | None:
        """Share of correctly classified images, from 0 to 1."""
        return self.get("accuracy")

    @property
    def precision(self) -> float | None:
        """Mean precision over the classes, from 0 to 1."""
        return self.get("precision")

    @property
    def recall(self) -> float | None:
        """Mean recall over the classes, from 0 to 1."""
        return self.get("recall")

    @property
    def f1(self) -> float | None:
        """Mean F1 over the classes, from 0 to 1."""
        return self.get("f1")

    @property
    def ece(self) -> float | None:
        """Expected calibration error over 15 bins, from 0 to 1."""
        return self.get("ece")


class Best(Record):
    """The tested weights; besides the attributes, all numbers logged with them are accessible by key."""

    def _line(self) -> str:
        numbers = [f"{key} {value:.4f}" for key, value in self.items() if isinstance(value, float)]
        return ", ".join([f"epoch {self.epoch}", f"step {self.step:,}", *numbers])

    @property
    def epoch(self) -> int:
        """1-based number of the epoch of these weights."""
        return int(self["epoch"])

    @property
    def step(self) -> int:
        """Number of optimizer steps completed when the weights were saved."""
        return int(self["step"])

    @property
    def validation(self) -> Scores:
        """The numbers of the validation of these weights."""
        return Scores({name.removeprefix("val_"): value for name, value in self.items() if name.startswith("val_")})

    @property
    def checkpoint(self) -> str | None:
        """Name of the checkpoint; None if the weights are those of the last step, or nothing was written."""
        return self.get("checkpoint")


class Result(Record):
    """The result of a run; empty until its test data have been evaluated.

    `run.result.test.accuracy` and `run.result["test"]["accuracy"]` are the same number.
    """

    def _line(self) -> str:
        if not self:
            return "nothing was tested yet"
        data = in_line(self["data"]["name"] or "unnamed data")
        return f"{in_line(self.model)} on {data}: {self.headline or 'no test data'}"

    def _card(self) -> str:
        from trainer.display.html import card
        from trainer.display.outcome import outcome

        return card(self.headline or "no test data", outcome(self)) if self else card(repr(self))

    @property
    def headline(self) -> str:
        """The numbers on the test data in one line; empty if there are none."""
        return self.test.headline("test image") if self else ""

    @property
    def model(self) -> str:
        """Name of the architecture."""
        return str(self["model"])

    @property
    def parameters(self) -> int:
        """Number of parameters of the model."""
        return int(self["params"]["count"])

    @property
    def epochs(self) -> int:
        """Number of epochs begun."""
        return int(self["epochs"])

    @property
    def steps(self) -> int:
        """Number of completed optimizer steps."""
        return int(self["steps"])

    @property
    def best(self) -> Best:
        """The tested weights."""
        return Best(self["best"])

    @property
    def test(self) -> Scores:
        """The numbers on the test data; empty if there were none."""
        return Scores(self["test"])

    @property
    def temperature(self) -> float | None:
        """Divisor of the logits for calibrated probabilities; None if it was not fitted."""
        return self["temperature"]

    @property
    def train_seconds(self) -> float:
        """Wall seconds of training."""
        return float(self["train_seconds"])

    @property
    def stop_reason(self) -> str:
        """Reason why training ended early; empty if it did not."""
        return str(self["stop_reason"])

    @property
    def versions(self) -> dict[str, str]:
        """Versions of Python and of the packages that determine the results of a run."""
        return dict(self["versions"])
