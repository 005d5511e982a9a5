"""Checkpoints: one directory each, written atomically, verified when read, free of pickle.

checkpoints/
  epoch=0003-step=0001404/
    state.npz        every variable of models, optimizers, the epoch's metrics and the task, by position
    manifest.json    counters, plugin states, configuration, data digest, versions; names, shapes and dtypes
    SHA256SUMS       digests of both, in the format of `sha256sum`
  best, last, previous   text files (pointers) that name a checkpoint, replaced atomically
"""

from trainer.checkpoint.content import (
    LAYOUT,
    MANIFEST,
    STATE,
    SUMS,
    Checkpoint,
    Named,
    Snapshot,
    snapshot,
    without_counters,
)
from trainer.checkpoint.fitting import check_fits, is_finite, restore
from trainer.checkpoint.folder import Checkpoints, step_of
from trainer.checkpoint.manifest import check_layout, conform
from trainer.checkpoint.reading import read

__all__ = [
    "LAYOUT",
    "MANIFEST",
    "STATE",
    "SUMS",
    "Checkpoint",
    "Checkpoints",
    "Named",
    "Snapshot",
    "check_fits",
    "check_layout",
    "conform",
    "is_finite",
    "read",
    "restore",
    "snapshot",
    "step_of",
    "without_counters",
]
