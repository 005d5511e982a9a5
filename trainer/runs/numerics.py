"""The conditions, besides the configuration, that determine a run bit for bit: machine, threads, oneDNN, kernels.

Sums of floats depend on the order of their parts. The number of parts follows from the number of threads that share an
operation, their lengths from oneDNN, the instruction set and the kernels. On 2026-11-28, after 12 steps of lenet,
resnet20 and vit_tiny on two cores of an AMD EPYC, each of the following had changed the weights of all three models:
another number of such threads (the only effect of the number of cores), oneDNN off, `ONEDNN_MAX_CPU_ISA=AVX2`. The
number of concurrent operations (`TF_NUM_INTEROP_THREADS`) and of OpenMP threads had no effect.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from trainer import startup
from trainer.text import count, in_line

VARIABLES = ("ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "XLA_FLAGS", "TF_XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")
"""Environment variables that select instructions or precision."""
INSTRUCTIONS = ("amx", "asimd", "avx", "bf16", "f16c", "fma", "i8mm", "sse4", "sve")
"""Prefixes of the names of SIMD instruction sets."""
PACKAGES = ("inkwell-trainer", "keras", "tensorflow", "numpy")
"""The packages that affect numerical results."""

Number = Annotated[int, Field(strict=True, ge=0, le=2**20)]


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """The conditions that determine results bit for bit.

    Attributes:
        kernels: Kernels that compute a step, as text.
        cores: Number of cores that this process may use.
        threads: Number of threads that share an operation; 0 means one per core.
        onednn: `on`, `off`, or `default` (TensorFlow's choice).
        processor: Name of the processor.
        instructions: SIMD instruction sets of the processor, sorted; empty if unknown.
        accelerators: Names of the devices besides the processor.
        variables: Values of those `VARIABLES` that are set.
    """

    kernels: str
    cores: Annotated[Number, Field(ge=1)]
    threads: Number
    onednn: str
    processor: str
    instructions: list[str]
    accelerators: list[str]
    variables: dict[str, str]

    @classmethod
    def here(cls, kernels: str) -> Numerics:
        """Return the conditions in this process.

        Args:
            kernels: Kernels that compute a step, as text.
        """
        known, (processor, instructions) = startup.environment(), _processor()
        return cls(
            kernels=kernels,
            cores=known.cores,
            threads=known.intra_op_threads,
            onednn=known.onednn,
            processor=processor,
            instructions=list(instructions),
            accelerators=list(_accelerators()),
            variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
        )


def differences(before: Numerics, now: Numerics) -> list[str]:
    """Return the differences in a few words each, such as `1 core instead of 2`."""
    found = []
    parts, former = now.threads or now.cores, before.threads or before.cores
    if parts != former:
        found.append(f"{count(parts, 'thread' if now.threads or before.threads else 'core')} instead of {former:,}")
    if now.processor != before.processor:
        found.append(_instead(now.processor, before.processor))
    else:
        found += _less("with", now.instructions, before.instructions)
        found += _less("without", before.instructions, now.instructions)
    if now.onednn != before.onednn:
        found.append(f"oneDNN {_instead(now.onednn, before.onednn)}")
    if now.kernels != before.kernels:
        found.append(f"kernels {_instead(now.kernels, before.kernels)}")
    if now.accelerators != before.accelerators:
        found.append(_instead(*(", ".join(each.accelerators) or "no accelerator" for each in (now, before))))
    return found + _changed(before.variables, now.variables, VARIABLES)


def version_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the differences in versions of `PACKAGES`, such as `numpy 2.3 instead of 2.2`."""
    return _changed(before, now, PACKAGES)


def _changed(before: Mapping[str, str], now: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    changed = [name for name in names if before.get(name) != now.get(name)]
    return [f"{name} {_instead(now.get(name) or 'unset', before.get(name) or 'unset')}" for name in changed]


def _instead(now: str, before: str) -> str:
    return f"{in_line(now) or 'unknown'} instead of {in_line(before) or 'unknown'}"


def _less(word: str, ours: list[str], theirs: list[str]) -> list[str]:
    left = sorted(set(ours) - set(theirs))
    return [in_line(f"{word} {' '.join(left)}")] if left and theirs else []


@cache  # needed for every checkpoint
def _processor() -> tuple[str, tuple[str, ...]]:
    """Return the name of the processor and its SIMD instruction sets, as far as the system reports them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = fields.get("flags", fields.get("Features", "")).split()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name, tuple(sorted(flag for flag in flags if flag.startswith(INSTRUCTIONS)))


@cache
def _accelerators() -> tuple[str, ...]:
    """Return the names of TensorFlow's visible devices besides the processor, in its order."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return ()
    experimental = tensorflow.config.experimental
    devices = [device for device in tensorflow.config.get_visible_devices() if device.device_type != "CPU"]
    return tuple(experimental.get_device_details(device).get("device_name", device.name) for device in devices)
