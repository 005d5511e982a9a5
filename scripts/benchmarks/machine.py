"""The machine that a measurement was made on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("inkwell-trainer", "tensorflow", "keras", "numpy", "mlflow", "torch", "lightning")
BUSY = 0.25
"""Load per core above which a measurement is unreliable."""
FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe() -> dict[str, Any]:
    """Return CPU, memory, operating system, versions, commit, command line and date."""
    info = _cpuinfo()
    known = info.get("flags", "").split()
    return {
        "cpu": info.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "flags": {flag: flag in known for flag in FLAGS} if known else {},
        "ram_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "load": list(psutil.getloadavg()),
        "os": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "command": " ".join(["python", *sys.argv]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def sentence(machine: dict[str, Any]) -> str:
    """Return the note for a table."""
    flags = [flag for flag in ("avx2", "avx512f") if machine["flags"].get(flag)]
    versions = [f"{name} {number}" for name, number in machine["versions"].items() if number]
    busy = machine["load"][0] > BUSY * machine["cores"]
    return (
        f"{machine['cores']} cores of {machine['cpu']} ({', '.join(flags) or 'no AVX2'}), {machine['ram_gb']} GB, "
        f"{machine['os']}, Python {machine['python']}, {', '.join(versions)}; "
        f"load {machine['load'][0]:.1f} at the start"
        f"{': THE MACHINE WAS BUSY, so these numbers are unreliable' if busy else ''}; {machine['date']}"
    )


def _cpuinfo() -> dict[str, str]:
    """Return Linux's description of the first CPU; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    first = path.read_text(errors="replace").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the code, with the suffix `-dirty` if files were changed; None outside a repository."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
