"""Scripts run in separate processes, timed from their start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.errors import InkwellError

from . import FILE
from .arena import LONGEST, ROOT, environment
from .images import Images
from .options import Options

FIT = str(ROOT / "scripts" / "fit.py")
NAMED = ("--import", "scripts.benchmarks.first_step")
"""Flags that allow a run to use the plugin `first_step`."""
IMPORTED = (*NAMED, "--plugin", "first_step")


def timed(command: Sequence[str], folder: Path, changes: Mapping[str, str] | None = None, status: int = 0) -> float:
    """Run Python with arguments in a folder and return the seconds from its start to its end.

    Args:
        command: The arguments.
        folder: Working directory.
        changes: Changes to its environment variables.
        status: The expected exit status.

    Raises:
        InkwellError: If it ends with another status; the message has the last line of stderr.
    """
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(changes or {}),
        capture_output=True,
        text=True,
        timeout=LONGEST,
    )
    spent = time.perf_counter() - started
    if done.returncode != status:
        errors = [line for line in done.stderr.splitlines() if line.strip()] or ["without an error message"]
        raise InkwellError(f"{Path(command[0]).name} ended with status {done.returncode}: {errors[-1]}")
    return spent


def to_first_step(arguments: Sequence[str], folder: Path) -> tuple[float, dict[str, Any]]:
    """Run `fit.py` up to its first step; return the seconds from its start, and the report of the plugin `first_step`.

    Raises:
        InkwellError: If it fails before that.
    """
    file = folder / "first-step.json"
    file.unlink(missing_ok=True)
    started = time.time()
    timed([FIT, *arguments], folder, {FILE: str(file)})
    report: dict[str, Any] = json.loads(file.read_text())
    return report["time"] - started, report


def flags(options: Options, images: Images) -> list[str]:
    """Return the flags of `fit.py` for any folder: model, data, and modules to import."""
    named = ["--model", options.spec, "--data", images.source, "--data-dir", str(Path(options.data_dir).absolute())]
    return [*named, *(part for module in options.imports for part in ("--import", module)), *IMPORTED]


def to_import(module: str, folder: Path) -> float:
    """Return the seconds from the start of a process to the end of an import, excluding its exit.

    Raises:
        InkwellError: If it fails.
    """
    file = folder / "imported"
    program = f"import pathlib, time, {module}; pathlib.Path({str(file)!r}).write_text(str(time.time()))"
    started = time.time()
    timed(["-c", program], folder, {"TF_CPP_MIN_LOG_LEVEL": "2"})
    return float(file.read_text()) - started
