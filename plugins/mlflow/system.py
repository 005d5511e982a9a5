"""System metrics, written to `system.jsonl` of the run directory and sent from there like the history."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from trainer.files import append, to_json

SYSTEM = "system.jsonl"
EVERY = 10.0


class Sampler:
    """Samples the same metrics as MLflow's own monitor (CPU, memory, disk, network, GPU), every ten seconds.

    Only MLflow's readings are used, not its thread, which gives up for good when the store fails once.

    Args:
        run_dir: The run directory.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / SYSTEM
        self._monitors: list[Any] | None = None
        self._step = sum(1 for _ in self.path.open()) if self.path.exists() else 0
        self._next = 0.0

    def sample(self) -> None:
        """Append a line if a sample is due.

        Raises:
            OSError: If the disk is full.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        if self._monitors is None:
            self._monitors = monitors()
        readings: dict[str, float] = {}
        for monitor in self._monitors:
            monitor.collect_metrics()
            readings |= monitor.aggregate_metrics()
            monitor.clear_metrics()
        line = {"step": self._step, "time": round(time.time(), 3), **readings}
        append(self.path, to_json(line, indent=None))
        self._step += 1


def monitors() -> list[Any]:
    """Return MLflow's monitors for this machine; its pages know their metric names."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    found = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    try:
        return [*found, GPUMonitor()]
    except Exception:  # no GPU, or the library that reads it is missing
        return found
