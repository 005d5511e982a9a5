"""What `result.json` says about a run."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from trainer import startup
from trainer.checkpoint import Checkpoint
from trainer.run import Run

PACKAGES = ("inkwell-trainer", "keras", "tensorflow", "numpy")


def make_result(
    run: Run, best: Checkpoint | None, test: Mapping[str, Any], speed: float, strategy: str, temperature: float | None
) -> dict[str, Any]:
    """Return the result of a run.

    Args:
        run: A run whose training is over.
        best: The checkpoint whose weights were tested; None if those of the last step were.
        test: The numbers on the test data.
        speed: Images a second of training steps.
        strategy: How steps were computed.
        temperature: What logits are divided by for calibrated probabilities; None if nobody fitted it.

    Returns:
        What `result.json` holds; `wall_seconds`, `time` and `bottleneck` are for the engine to complete when everything
        is done.
    """
    data = run.data
    last = {"epoch": run.epoch, "step": run.step, "logs": run.logs}
    chosen: Mapping[str, Any] = best.manifest if best is not None else last
    model = dict(run.config.get("model") or {})
    return {
        "model": model.get("name", run.model.name if run.model is not None else ""),
        "params": {**model.get("args", {}), "count": run.model.count_params() if run.model is not None else 0},
        "data": {
            **{"name": data.get("name"), "digest": data.get("digest")},
            **{"train": data.get("train"), "val": data.get("validation"), "test": data.get("test")},
        },
        "seed": run.seed,
        "epochs": run.epoch,
        "steps": run.step,
        "run_dir": str(run.directory) if run.directory is not None else None,
        "train_seconds": run.seconds,
        "wall_seconds": 0.0,
        "images_per_second": speed,
        "stop_reason": run.stop_reason,
        "skipped_steps": run.skipped,
        "best": {
            **{"epoch": chosen["epoch"], "step": chosen["step"]},
            **{name: chosen["logs"].get(name) for name in ("val_loss", "val_accuracy")},
            "checkpoint": best.path.name if best is not None else None,
        },
        "test": dict(test),
        "temperature": temperature,
        "backend": {"strategy": strategy, **startup.facts()},
        "versions": versions(),
        "time": {},
        "bottleneck": "",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide what a run computes."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


@cache  # it is asked for at every save
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
