"""Checkpoints: one directory each, written atomically, verified when read, free of pickle.

checkpoints/
  epoch=0003-step=0001404/
    state.npz        every variable of model, optimizer and the epoch's metrics, by position
    manifest.json    counters, plugin states, configuration, data digest, versions; names, shapes and dtypes
    SHA256SUMS       digests of both, in the format of `sha256sum`
  best, last, previous   text files (pointers) that name a checkpoint, replaced atomically
"""

from trainer.checkpoint.content import LAYOUT, MANIFEST, STATE, SUMS, Checkpoint, Snapshot, snapshot
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
    "Snapshot",
    "check_fits",
    "check_layout",
    "conform",
    "is_finite",
    "read",
    "restore",
    "snapshot",
    "step_of",
]
