"""What decides the last bits of what a run computes, besides its configuration: machine, threads, oneDNN, kernels.

Sums of floats depend on the order of their parts. How many parts there are follows from the number of threads that
share an operation, and how long each is from oneDNN, the instruction set and the kernels. On 2026-11-28, after 12 steps
of lenet, resnet20 and vit_tiny on two cores of an AMD EPYC, each of these had changed the weights of all three: another
number of such threads (the only thing by which cores count), oneDNN off, `ONEDNN_MAX_CPU_ISA=AVX2`. The number of
operations beside one another (`TF_NUM_INTEROP_THREADS`) and of OpenMP's threads had changed none.
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
"""Environment variables by which a user chooses other instructions or another precision."""
INSTRUCTIONS = ("amx", "asimd", "avx", "bf16", "f16c", "fma", "i8mm", "sse4", "sve")
"""Beginnings of the names of instructions that compute with several numbers at once."""
PACKAGES = ("inkwell-trainer", "keras", "tensorflow", "numpy")
"""The packages that compute."""

Number = Annotated[int, Field(strict=True, ge=0, le=2**20)]


@dataclass(frozen=True, kw_only=True)
class Numerics:
    """What the last bits depend on.

    Attributes:
        kernels: How a step is computed, as `Kernels` says it.
        cores: Cores that this process may use.
        threads: Threads that share an operation; 0 is one for each core.
        onednn: `on`, `off`, or `default`, which is TensorFlow's choice.
        processor: Its name.
        instructions: Those of its instructions that compute with several numbers at once, in order; empty if unknown.
        accelerators: Names of the devices besides the processor.
        variables: Those of `VARIABLES` that are set.
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
        """Return what holds in this process.

        Args:
            kernels: How a step is computed.
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
    """Return in what two differ, a few words each: `1 core instead of 2`."""
    said = []
    parts, former = now.threads or now.cores, before.threads or before.cores
    if parts != former:
        said.append(f"{count(parts, 'thread' if now.threads or before.threads else 'core')} instead of {former:,}")
    if now.processor != before.processor:
        said.append(_instead(now.processor, before.processor))
    else:
        said += _less("with", now.instructions, before.instructions)
        said += _less("without", before.instructions, now.instructions)
    if now.onednn != before.onednn:
        said.append(f"oneDNN {_instead(now.onednn, before.onednn)}")
    if now.kernels != before.kernels:
        said.append(f"kernels {_instead(now.kernels, before.kernels)}")
    if now.accelerators != before.accelerators:
        said.append(_instead(*(", ".join(each.accelerators) or "no accelerator" for each in (now, before))))
    return said + _changed(before.variables, now.variables, VARIABLES)


def version_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return in what the packages that compute differ: `numpy 2.3 instead of 2.2`."""
    return _changed(before, now, PACKAGES)


def _changed(before: Mapping[str, str], now: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    changed = [name for name in names if before.get(name) != now.get(name)]
    return [f"{name} {_instead(now.get(name) or 'unset', before.get(name) or 'unset')}" for name in changed]


def _instead(now: str, before: str) -> str:
    return f"{in_line(now) or 'unknown'} instead of {in_line(before) or 'unknown'}"


def _less(word: str, ours: list[str], theirs: list[str]) -> list[str]:
    left = sorted(set(ours) - set(theirs))
    return [in_line(f"{word} {' '.join(left)}")] if left and theirs else []


@cache  # asked for at every save
def _processor() -> tuple[str, tuple[str, ...]]:
    """Return the name of the processor and its instructions, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    flags = said.get("flags", said.get("Features", "")).split()
    name = said.get("model name") or platform.processor() or platform.machine()
    return name, tuple(sorted(flag for flag in flags if flag.startswith(INSTRUCTIONS)))


@cache
def _accelerators() -> tuple[str, ...]:
    """Return the names of the devices that TensorFlow may compute on besides the processor, in its order."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return ()
    experimental = tensorflow.config.experimental
    devices = [device for device in tensorflow.config.get_visible_devices() if device.device_type != "CPU"]
    return tuple(experimental.get_device_details(device).get("device_name", device.name) for device in devices)
