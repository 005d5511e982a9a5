"""Settings of TensorFlow that depend on the machine: threads, cores, oneDNN, the clock."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Settings that determine TensorFlow's speed on this machine, and the last bits of its results.

    Attributes:
        onednn: `on`, `off`, or `default`, which leaves the choice to TensorFlow.
        inter_op_threads: Threads that run independent operations in parallel; 0 leaves the number to TensorFlow.
        intra_op_threads: Threads that share one operation; 0 means one per core.
        cores: Cores that this process may use.
    """

    onednn: str
    inter_op_threads: int
    intra_op_threads: int
    cores: int


def environment() -> Environment:
    """Return the settings in effect."""
    tensorflow = sys.modules.get("tensorflow")
    chosen = tensorflow.config.threading if tensorflow is not None else None
    return Environment(
        onednn={"1": "on", "0": "off"}.get(os.environ.get("TF_ENABLE_ONEDNN_OPTS", ""), "default"),
        inter_op_threads=(chosen.get_inter_op_parallelism_threads() if chosen else 0) or _threads("INTER"),
        intra_op_threads=(chosen.get_intra_op_parallelism_threads() if chosen else 0) or _threads("INTRA"),
        cores=usable_cores(),
    )


@cache  # TensorFlow makes its threads once
def usable_cores() -> int:
    """Return how many cores this process may use, counted like TensorFlow, which ignores a container's quota."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads(kind: str) -> int:
    """Return the number of threads set in the environment; like TensorFlow, read anything but a number as 0."""
    text = os.environ.get(f"TF_NUM_{kind}OP_THREADS", "")
    return int(text) if text.isdecimal() and len(text) < 6 else 0


def clock_is_allowed() -> bool:
    """Return True if TensorFlow may read a clock inside a function, which op determinism forbids."""
    import tensorflow as tf

    try:
        tf.timestamp()
    except tf.errors.OpError:
        return False
    return True
