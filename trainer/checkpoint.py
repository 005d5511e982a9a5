"""Checkpoints: a directory each, written aside and renamed, verified when read, free of pickle.

checkpoints/
  epoch=0003-step=0001404/
    state.npz        every variable of model, optimizer and the epoch's metrics, by position
    manifest.json    counters, plugin states, configuration, data digest, versions; names, shapes and dtypes
    SHA256SUMS       over both, in the format of `sha256sum`
  best, last, previous   text files (pointers) that name a checkpoint, replaced atomically
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import reprlib
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trainer.errors import CheckpointError, explain, first_line
from trainer.files import sync_folder, to_json, write_atomic, write_synced

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")
FORMAT = 1
STATE, MANIFEST, SUMS = "state.npz", "manifest.json", "SHA256SUMS"
LIMITS = {STATE: 4 * 2**30, MANIFEST: 16 * 2**20, SUMS: 1024}
"""The files of a checkpoint and their limits in bytes: what is longer is forged, and is not read into memory."""
NAME = re.compile(r"epoch=[\w.-]+-step=[\w.-]+", re.ASCII)
"""Names of checkpoints: whatever else stands in a pointer could lead out of the folder."""
POINTER = 255
"""The longest pointer in bytes, since no system has longer names of files."""
NO_NPY = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
"""Types of variables that .npy knows nothing of: they are kept as whole numbers of the same bits."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint in memory.

    Attributes:
        path: Its directory.
        manifest: What `manifest.json` says.
        arrays: The variables by position: model, optimizer, metrics of the epoch in progress.
    """

    path: Path
    manifest: Mapping[str, Any]
    arrays: Sequence[np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint will hold, at one moment; a worker can write it while training goes on.

    Attributes:
        name: Name of the checkpoint's directory.
        arrays: Values of the variables, which nobody changes any more: NumPy arrays or tensors.
        manifest: The content of `manifest.json`.
    """

    name: str
    arrays: Sequence[Any]
    manifest: Mapping[str, Any]


def snapshot(name: str, variables: Sequence[Any], facts: Mapping[str, Any]) -> Snapshot:
    """Take the state of a run, as quickly as can be, since training waits for it.

    Args:
        name: Name of the checkpoint's directory.
        variables: Keras variables: model, optimizer, metrics of the epoch in progress.
        facts: What else to keep, as JSON can hold it; must not change afterwards.
    """
    manifest = {"format": FORMAT, **facts, "variables": describe(variables)}
    return Snapshot(name, [_value(variable) for variable in variables], manifest)


def _value(variable: Any) -> Any:
    """Return the value of a variable as it is now.

    TensorFlow copies a variable when it is written to while somebody holds what was read, so that nobody else has to.
    """
    import numpy as np

    read = getattr(variable.value, "read_value", None)
    return read() if read is not None else np.asarray(variable).copy()


class Checkpoints:
    """The checkpoints of one run, and the roles (`best`, `last`) that point to them.

    Args:
        folder: Where they lie; made with the first checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, snapshot: Snapshot, roles: Collection[str], drops: Collection[str] = ()) -> Path:
        """Write a checkpoint, point `roles` to it, and delete those that no role points to any more.

        When `last` moves on, `previous` follows to where it was, so that there is always one to fall back to.

        Args:
            snapshot: What to write; if a checkpoint of its name exists, which was written at an earlier moment of the
                same step, the new one gets a number behind its name.
            roles: Names of the pointers to move.
            drops: Names of pointers to delete.

        Raises:
            OSError: If it cannot be written; the checkpoints before it are intact.
        """
        names = (snapshot.name if n == 1 else f"{snapshot.name}-{n}" for n in count(1))
        path = next(path for path in map(self.folder.joinpath, names) if not path.exists())
        self._write(path, snapshot)
        before = self._named("last")
        if "last" in roles and before is not None and before != path:
            write_atomic(self.folder / "previous", before.name + "\n")
        for role in roles:
            write_atomic(self.folder / role, path.name + "\n")
        for role in drops:
            (self.folder / role).unlink(missing_ok=True)
        self._prune()
        return path

    def newest(self) -> Iterator[Path]:
        """Yield the checkpoints to resume from, best first: `last`, `previous`, then any other by step.

        A pointer that is damaged is passed over, since what it named is among the others.
        """
        others = sorted(self._all(), key=lambda path: path.name.rpartition("=")[2], reverse=True)
        roles = [path for path in map(self._named, ("last", "previous")) if path in others]
        yield from dict.fromkeys([*roles, *others])

    def by_step(self) -> list[Path]:
        """Return all checkpoints, those of the latest step first."""
        return sorted(self._all(), key=lambda path: (step_of(path), path.name), reverse=True)

    def go_back(self, path: Path) -> None:
        """Point `last` to a checkpoint, and give up the roles of those of later steps.

        Raises:
            OSError: If the pointers cannot be written.
        """
        write_atomic(self.folder / "last", path.name + "\n")
        for pointer in self.folder.iterdir():
            named = self._named(pointer.name)
            if named is not None and step_of(named) > step_of(path):
                pointer.unlink()

    def set_aside(self, path: Path) -> None:
        """Rename a damaged checkpoint, so that nothing takes it for one and nothing is lost."""
        if path in self._all():
            path.rename(path.with_name(f"damaged-{path.name}"))

    def clean(self) -> None:
        """Delete what a killed process left half-written."""
        for path in self.folder.glob(".tmp-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        self.folder.mkdir(exist_ok=True)
        aside = self.folder / f".tmp-{os.getpid()}-{path.name}"
        shutil.rmtree(aside, ignore_errors=True)
        try:
            aside.mkdir()
            files = {STATE: _pack(snapshot.arrays), MANIFEST: to_json(snapshot.manifest).encode()}
            for name, content in {**files, SUMS: _sums(files)}.items():
                write_synced(aside / name, content)
            sync_folder(aside)
            aside.rename(path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        sync_folder(self.folder)

    def _prune(self) -> None:
        pointers = {path.name: self._named(path.name) for path in self.folder.iterdir() if path.is_file()}
        if any(path is None and "." not in name for name, path in pointers.items()):
            return  # a damaged pointer may have named any of them (what has a dot, such as .DS_Store, is none of ours)
        for path in self._all():
            if path not in pointers.values():
                shutil.rmtree(path, ignore_errors=True)

    def _all(self) -> list[Path]:
        return list(self.folder.glob("epoch=*-step=*"))

    def role(self, role: str) -> Path | None:
        """Return the checkpoint that `role` points to, or None if nothing has that role.

        Raises:
            CheckpointError: If the pointer is damaged: it does not hold the name of a checkpoint.
        """
        found, pointer = self._named(role), self.folder / role
        if found is None and os.path.lexists(pointer):
            raise CheckpointError(
                f"the pointer {pointer} is damaged: it names no checkpoint; "
                "write the name of one of the folders beside it into it, or delete it"
            )
        return found

    def _named(self, role: str) -> Path | None:
        """Return the checkpoint that `role` points to, or None if nothing has that role or the pointer is damaged."""
        try:
            name = _content(self.folder / role, POINTER).decode().strip()
        except (OSError, ValueError):
            return None
        return self.folder / name if NAME.fullmatch(name) else None


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name says, or -1 if it says none."""
    number = re.search(r"-step=(\d+)", path.name)
    return int(number[1]) if number else -1


def is_finite(checkpoint: Checkpoint) -> bool:
    """Return whether no number of a checkpoint is NaN or infinite."""
    import numpy as np

    return all(bool(np.isfinite(array).all()) for array in checkpoint.arrays)


def read(path: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointError: If a file is missing, damaged or not what its SHA-256 says.
    """
    try:
        contents = {name: _content(path / name, limit) for name, limit in LIMITS.items()}
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}: {error.filename}") from error
    except ValueError as error:  # something else than a file has its name, or the path is one that no file can have
        raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from error
    sums = contents.pop(SUMS)
    for name, content in contents.items():
        if _sums({name: content}) not in sums:
            raise CheckpointError(f"checkpoint {path} is damaged: {name} does not match {SUMS}")
    if sums != _sums(contents):
        raise CheckpointError(f"checkpoint {path} is damaged: {SUMS} is not as it was written")
    manifest, arrays = _manifest(path, contents[MANIFEST]), _unpack(path, contents[STATE])
    if len(arrays) == len(manifest["variables"]):
        arrays = [_typed(a, variable["dtype"]) for a, variable in zip(arrays, manifest["variables"], strict=True)]
    held = [(list(array.shape), array.dtype.name) for array in arrays]
    if held != [(variable["shape"], variable["dtype"]) for variable in manifest["variables"]]:
        raise CheckpointError(f"checkpoint {path}: {STATE} does not hold what {MANIFEST} says")
    return Checkpoint(path, manifest, arrays)


def _content(path: Path, limit: int) -> bytes:
    """Return what a file holds.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no file, such as a device, which never ends, or longer than `limit`.
    """
    size = path.stat().st_size
    if not path.is_file() or size > limit:
        raise ValueError(f"{path.name} is not a file of at most {limit:,} bytes")
    return path.read_bytes()


def _manifest(path: Path, content: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
        json.dumps(manifest, ensure_ascii=False).encode()  # half a character could be read and never written again
        written = manifest["format"]
        _ = [(variable["name"], variable["shape"], variable["dtype"]) for variable in manifest["variables"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path}: {MANIFEST} cannot be read: {first_line(error)}") from error
    if written != FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {written}, this version reads {FORMAT}")
    return manifest


def restore(checkpoint: Checkpoint, variables: Sequence[Any]) -> None:
    """Assign a checkpoint's arrays to `variables`; fewer of them (the model's alone) take the first arrays.

    Raises:
        CheckpointError: If the checkpoint does not fit; nothing was assigned then.
    """
    check_fits(checkpoint, variables)
    for variable, array in zip(variables, checkpoint.arrays, strict=False):
        variable.assign(array)


def conform(schema: type[T], values: Any, whose: str) -> T:
    """Return values of a manifest, which may be forged or of another version, as a dataclass says that they are.

    Args:
        schema: A dataclass with types that pydantic checks; what it does not name is left out.
        values: A manifest or a part of it.
        whose: What to call the checkpoint in a message.

    Raises:
        CheckpointError: With the first value that is missing, or is of the wrong type or out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = in_line(".".join(map(str, problem["loc"]))) or "all of it"
        is_missing = problem["type"] == "missing"
        fault = f"{key} is missing" if is_missing else f"{key} = {reprlib.repr(problem['input'])}: {explain(problem)}"
        raise CheckpointError(
            f"{whose} does not hold what a run writes: {MANIFEST}: {fault}; move its folder away to use another"
        ) from None


def in_line(value: Any) -> str:
    """Return a value of a manifest, which may hold anything, as one line of bounded length."""
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:79]}…"


def check_fits(checkpoint: Checkpoint, variables: Sequence[Any]) -> None:
    """Compare names, shapes and dtypes of a checkpoint's arrays with `variables`, or the first of them with fewer.

    Raises:
        CheckpointError: If they differ; the message names the first variable that does.
    """
    saved = checkpoint.manifest["variables"]
    for want, have in zip(describe(variables), saved, strict=False):
        if want != have:
            raise CheckpointError(
                f"checkpoint {checkpoint.path} does not fit: it has {_say(have)}, the model needs {_say(want)}"
            )
    if len(variables) > len(saved):
        raise CheckpointError(f"checkpoint {checkpoint.path} has {len(saved)} variables, {len(variables)} are needed")


def describe(variables: Sequence[Any]) -> list[dict[str, Any]]:
    """Return name, shape and dtype of each variable; names are free of the counters that Keras appends to layers."""
    return [
        {
            "name": re.sub(r"_\d+(?=[/_]|$)", "", variable.path),
            "shape": list(variable.shape),
            "dtype": str(variable.dtype),
        }
        for variable in variables
    ]


def _sums(files: Mapping[str, bytes]) -> bytes:
    """Return the content of `SHA256SUMS` over `files`, in their order."""
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()).encode()


def _say(variable: Mapping[str, Any]) -> str:
    return f"{in_line(variable['name'])} {in_line(variable['dtype'])}{in_line(variable['shape'])}"


def _pack(arrays: Sequence[Any]) -> bytes:
    import numpy as np  # where it is used, since command lines import this module to ask for help

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{f"{i:04d}": _plain(np.asarray(array)) for i, array in enumerate(arrays)})
    return buffer.getvalue()


def _plain(array: np.ndarray) -> np.ndarray:
    """Return an array as .npy can hold it."""
    return array.view(f"u{array.dtype.itemsize}") if array.dtype.name in NO_NPY else array


def _typed(array: np.ndarray, dtype: Any) -> np.ndarray:
    """Return what `_plain` was given, if `array` can be that; any other array as it is."""
    if dtype not in NO_NPY:
        return array
    import ml_dtypes
    import numpy as np

    wanted = np.dtype(getattr(ml_dtypes, dtype))
    return array.view(wanted) if array.dtype == np.dtype(f"u{wanted.itemsize}") else array


def _unpack(path: Path, content: bytes) -> list[np.ndarray]:
    """Return the arrays of `state.npz`, which take no more memory than `content` does, whatever they declare."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if [member.filename for member in members] != [f"{i:04d}.npy" for i in range(len(members))]:
                raise ValueError("its members are not 0000.npy, 0001.npy and so on")
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise ValueError("it is compressed")
            if sum(member.file_size for member in members) > len(content):
                raise ValueError("it declares more than it holds")
            return [_array(archive.read(member)) for member in members]
    except Exception as error:  # what a forged file makes of its parsers can be anything
        raise CheckpointError(f"checkpoint {path}: {STATE} cannot be read: {first_line(error)}") from error


def _array(content: bytes) -> np.ndarray:
    """Return the array in a .npy file.

    Raises:
        ValueError: If it is not one of numbers, or does not hold what it declares.
    """
    import numpy as np

    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array is of another version")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "biufc" or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError("an array does not hold the numbers that it declares")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
