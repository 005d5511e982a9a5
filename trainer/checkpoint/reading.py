"""Reading a checkpoint: sizes are limited, digests verified, and files checked against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from trainer.bounds.regular import read_bounded
from trainer.checkpoint.archive import typed, unpack
from trainer.checkpoint.content import LIMITS, MANIFEST, STATE, SUMS, Checkpoint
from trainer.checkpoint.manifest import parse_manifest
from trainer.errors import CheckpointError


def read(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointError: If a file is missing or damaged, or does not match its SHA-256.
        LayoutError: If another version wrote it.
    """
    try:
        contents = {name: read_bounded(path / name, limit) for name, limit in LIMITS.items()}
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror}: {error.filename}") from error
    except ValueError as error:  # not a regular file, or an impossible path
        raise CheckpointError(f"cannot read checkpoint {path}: {error}") from error
    sums = contents.pop(SUMS)
    for name, content in contents.items():
        if sums_of({name: content}) not in sums:
            raise CheckpointError(f"checkpoint {path} is damaged: {name} does not match {SUMS}")
    if sums != sums_of(contents):
        raise CheckpointError(f"checkpoint {path} is damaged: {SUMS} has been changed")
    manifest, arrays = parse_manifest(path, contents[MANIFEST]), unpack(path, contents[STATE])
    if len(arrays) == len(manifest["variables"]):
        arrays = [typed(a, variable["dtype"]) for a, variable in zip(arrays, manifest["variables"], strict=True)]
    held = [(list(array.shape), array.dtype.name) for array in arrays]
    if held != [(variable["shape"], variable["dtype"]) for variable in manifest["variables"]]:
        raise CheckpointError(f"checkpoint {path} is damaged: {STATE} does not match {MANIFEST}")
    return Checkpoint(path, manifest, arrays)


def sums_of(files: Mapping[str, bytes]) -> bytes:
    """Return the content of `SHA256SUMS` for `files`, in their order."""
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()).encode()
