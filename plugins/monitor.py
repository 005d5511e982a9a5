"""The direction in which a monitored metric improves, and its best value so far; shared by several plugins."""

from __future__ import annotations

import difflib
import math
import re
from typing import Literal

from trainer.errors import UsageError
from trainer.plugin import snake_case
from trainer.run import Run

Mode = Literal["auto", "min", "max"]

AUTO = "auto"
"""Monitor that stands for the task's choice, `Run.monitor`."""

RISING = (
    *("accuracy", "acc", "top_k", "top_1", "top_2", "top_3", "top_5", "top_10"),
    *("auc", "auroc", "auprc", "ap", "map", "ndcg", "mrr"),
    *(
        "precision",
        "recall",
        "sensitivity",
        "specificity",
        "tpr",
        "tnr",
        "true_positives",
        "true_negatives",
        "hit_rate",
    ),
    *("f1", "f2", "f_score", "fscore", "f_beta", "fbeta", "kappa", "mcc", "matthews"),
    *("iou", "io_u", "dice", "jaccard"),
    *("r2", "r_squared", "explained_variance", "correlation", "pearson", "spearman", "similarity", "likelihood"),
    *("psnr", "ssim", "bleu", "rouge", "meteor"),
    *("images_per_second", "steps_per_second", "reward"),
)
"""Names of metrics that should rise."""

FALLING = (
    *("loss", "losses", "error", "errors", "err", "cost", "penalty", "regret"),
    *("mae", "mse", "rmse", "mape", "smape", "msle", "rmsle", "logcosh", "log_cosh", "huber", "distance"),
    *("crossentropy", "cross_entropy", "bce", "nll", "negative_log_likelihood", "perplexity", "ppl", "log_loss"),
    *("logloss", "hinge", "poisson", "divergence", "kl", "kld"),
    *("ece", "brier", "fpr", "fnr", "eer", "false_positives", "false_negatives", "false_positive", "false_negative"),
    *("wer", "cer", "fid", "seconds", "minutes", "latency", "duration"),
)
"""Names of metrics that should fall."""


def _words(name: str) -> str:
    """Return a name as lowercase words joined by underscores: `val/F1Score` becomes `val_f_1_score`.

    Digits are separate words, so that `top5` and `top_5` are the same name.
    """
    return "_".join(re.findall(r"[a-z]+|\d+", snake_case(name)))


_SIGNS = {_words(name): 1 for name in RISING} | {_words(name): -1 for name in FALLING}


def direction(monitor: str) -> int | None:
    """Return 1 if a metric of this name should rise, -1 if it should fall, None if the name does not tell.

    Whole words of the name are looked up in `RISING` and `FALLING`, ignoring case and whatever precedes or follows them
    (`val_`, `accuracy_1`). If several are known, the last one decides, as in `dice_loss`; words after `at` are a
    condition and are ignored, as in `sensitivity_at_specificity`.
    """
    words = f"_{_words(monitor)}_".partition("_at_")[0] + "_"
    places = {name: words.rfind(f"_{name}_") for name in _SIGNS}
    found = [(place + len(name), len(name), _SIGNS[name]) for name, place in places.items() if place >= 0]
    return max(found)[2] if found else None


class Best:
    """The best value so far of a metric that should fall or rise.

    Args:
        monitor: Name of the metric; `auto` is that of the run, see `follow`.
        mode: `min`, `max`, or `auto` to infer it from the name (`direction`).
        min_delta: Minimum change that counts as an improvement, at least 0.

    Raises:
        ValueError: If `mode` is unknown or cannot be inferred, or `min_delta` is negative.
    """

    def __init__(self, monitor: str, mode: Mode = "auto", min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be auto, min or max: {mode!r}")
        if min_delta < 0:
            raise ValueError(f"min_delta must be at least 0: {min_delta}")
        self.given, self.mode, self.min_delta = monitor, mode, min_delta
        self._watch("val_loss" if monitor == AUTO else monitor)

    def _watch(self, monitor: str) -> None:
        sign = direction(monitor) if self.mode == "auto" else {"max": 1, "min": -1}[self.mode]
        if sign is None:
            raise ValueError(_undecided(monitor))
        self.monitor, self.sign = monitor, sign
        self.value = -self.sign * math.inf

    def follow(self, run: Run) -> None:
        """Take the metric that the task of a run has chosen, if the choice is left to it."""
        if self.given == AUTO and run.monitor not in (None, self.monitor):
            self._watch(run.monitor)

    def read(self, run: Run) -> float:
        """Return the metric's value in a run.

        Raises:
            UsageError: If it has not been logged yet.
        """
        if self.monitor not in run.logs:
            raise UsageError(
                f"{self.monitor} has not been logged yet; the plugin that logs it must do so in on_validation_end if "
                "its name begins with val_, else in on_epoch_end"
            )
        return run.logs[self.monitor]

    def improved(self, value: float) -> bool:
        """Return True if `value` is the best so far, and store it; NaN never is."""
        if not self.sign * (value - self.value) > self.min_delta:
            return False
        self.value = value
        return True

    def state(self) -> float | None:
        """Return the best value, or None before the first one."""
        return self.value if math.isfinite(self.value) else None

    def restore(self, state: float | None) -> None:
        """Restore what `state` returned."""
        self.value = -self.sign * math.inf if state is None else state

    def reached(self, value: float, threshold: float) -> bool:
        """Return True if `value` is at least as good as `threshold`."""
        return self.sign * (value - threshold) >= 0


def _undecided(monitor: str) -> str:
    """Return the error for a name that does not tell, with a suggestion if its last word is only misspelt."""
    before, underscore, last = monitor.rpartition("_")
    near = difflib.get_close_matches(last, [*RISING, *FALLING], n=1, cutoff=0.75)
    meant = f" (or did you mean {before}{underscore}{near[0]}?)" if near else ""
    return f"cannot tell whether {monitor} should rise or fall; give mode=max or mode=min{meant}"
