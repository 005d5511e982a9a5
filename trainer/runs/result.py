"""Assembly of `result.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trainer import startup
from trainer.display.model import parameters
from trainer.result import Result
from trainer.run import ENGINE_LOGS, Run
from trainer.runs.manifest import Saved
from trainer.runs.provenance import versions


def make_result(
    run: Run, best: Saved | None, test: Mapping[str, Any], speed: float, temperature: float | None
) -> Result:
    """Return the result of a run.

    Args:
        run: A run whose training has ended.
        best: The checkpoint whose weights were tested; None if they were those of the last step.
        test: The numbers on the test data.
        speed: Images per second of training steps.
        temperature: Divisor of the logits for calibrated probabilities; None if it was not fitted.

    Returns:
        The content of `result.json`; the engine fills in `wall_seconds`, `time` and `bottleneck` at the end.
    """
    data, written = run.data, run.directory is not None
    saved = best.manifest if best is not None else None
    counters, logs = (saved.counters, saved.logs) if saved is not None else (run, run.logs)
    model = dict(run.config.get("model") or {})
    values = {
        "model": model.get("name", run.model.name if run.model is not None else ""),
        "params": {**model.get("args", {}), "count": parameters(run.models)},
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
            **{"epoch": counters.epoch, "step": counters.step},
            **{"val_loss": None, "val_accuracy": None},
            **{name: value for name, value in logs.items() if name not in {*ENGINE_LOGS, *run.learning_rates}},
            "checkpoint": best.path.name if best is not None and written else None,
        },
        "test": dict(test),
        "temperature": temperature,
        "backend": {"kernels": run.kernels, **asdict(startup.environment())},
        "versions": versions(),
        "time": {},
        "bottleneck": "",
    }
    return Result(values)
