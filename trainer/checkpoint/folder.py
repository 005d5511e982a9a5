"""The folder of a run's checkpoints: writing, pointers and pruning."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path

from trainer.bounds.regular import read_bounded
from trainer.checkpoint.archive import pack
from trainer.checkpoint.content import MANIFEST, STATE, SUMS, Snapshot
from trainer.checkpoint.reading import sums_of
from trainer.display.shown import Shown
from trainer.errors import CheckpointError
from trainer.files import aside, delete, sync_folder, to_json, write_atomic, write_synced
from trainer.text import in_line

NAME = re.compile(r"epoch=[\w.-]+-step=[\w.-]+", re.ASCII)
"""Valid names of checkpoints; anything else in a pointer could lead out of the folder."""
POINTER = 255
"""Size limit of a pointer in bytes, the longest file name that any system allows."""


class Checkpoints(Shown):
    """The checkpoints of one run, and the roles (`best`, `last`) that point to them.

    Args:
        folder: The folder of the checkpoints, created with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _line(self) -> str:
        named = ((role, self._named(role)) for role in ("best", "last", "previous"))
        roles = ", ".join(f"{role} {path.name}" for role, path in named if path is not None)
        return f"{in_line(self.folder)}: {roles or 'none'}"

    def write(self, snapshot: Snapshot, roles: Collection[str], drops: Collection[str] = ()) -> Path:
        """Write a checkpoint, point `roles` to it, and delete checkpoints without a role.

        When `last` moves, `previous` moves to its old place, so that there is always a checkpoint to fall back to.

        Args:
            snapshot: The content; if a checkpoint of this name already exists from an earlier moment of the same step,
                a number is appended to the name.
            roles: Names of the pointers to move.
            drops: Names of pointers to delete.

        Raises:
            OSError: If it cannot be written; earlier checkpoints are intact.
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

        Damaged pointers are skipped, since the checkpoints that they named are among the others.
        """
        others = sorted(self._all(), key=lambda path: path.name.rpartition("=")[2], reverse=True)
        roles = [path for path in map(self._named, ("last", "previous")) if path in others]
        yield from dict.fromkeys([*roles, *others])

    def by_step(self) -> list[Path]:
        """Return all checkpoints, latest step first."""
        return sorted(self._all(), key=lambda path: (step_of(path), path.name), reverse=True)

    def go_back(self, path: Path) -> None:
        """Point `last` to a checkpoint, and delete the pointers to later ones.

        Raises:
            OSError: If the pointers cannot be written.
        """
        write_atomic(self.folder / "last", path.name + "\n")
        for pointer in self.folder.iterdir():
            named = self._named(pointer.name)
            if named is not None and step_of(named) > step_of(path):
                pointer.unlink()

    def set_aside(self, path: Path) -> None:
        """Rename a damaged checkpoint, so that it is ignored but not lost."""
        if path in self._all():
            path.rename(path.with_name(f"damaged-{path.name}"))

    def clean(self) -> None:
        """Delete incomplete checkpoints of killed processes; call it only while this process owns the run."""
        for path in self.folder.glob(".tmp-*"):
            delete(path)

    def _write(self, path: Path, snapshot: Snapshot) -> None:
        self.folder.mkdir(exist_ok=True)
        draft = aside(path)
        shutil.rmtree(draft, ignore_errors=True)
        try:
            draft.mkdir()
            files = {STATE: pack(snapshot.arrays), MANIFEST: to_json(snapshot.manifest).encode()}
            for name, content in {**files, SUMS: sums_of(files)}.items():
                write_synced(draft / name, content)
            sync_folder(draft)
            draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(self.folder)

    def _prune(self) -> None:
        pointers = {path.name: self._named(path.name) for path in self.folder.iterdir() if path.is_file()}
        if any(path is None and "." not in name for name, path in pointers.items()):
            return  # a damaged pointer may have named any checkpoint; files with a dot, such as .DS_Store, are foreign
        for path in self._all():
            if path not in pointers.values():
                shutil.rmtree(path, ignore_errors=True)

    def _all(self) -> list[Path]:
        return list(self.folder.glob("epoch=*-step=*"))

    def role(self, role: str) -> Path | None:
        """Return the checkpoint that `role` points to, or None if the role is not assigned.

        Raises:
            CheckpointError: If the pointer is damaged, that is, does not contain the name of a checkpoint.
        """
        found, pointer = self._named(role), self.folder / role
        if found is None and os.path.lexists(pointer):
            raise CheckpointError(
                f"the pointer {pointer} is damaged: it names no checkpoint; "
                "replace its content with the name of a folder next to it, or delete it"
            )
        return found

    def _named(self, role: str) -> Path | None:
        """Return the checkpoint that `role` points to, or None if the pointer is missing or damaged."""
        try:
            name = read_bounded(self.folder / role, POINTER).decode().strip()
        except (OSError, ValueError):
            return None
        return self.folder / name if NAME.fullmatch(name) else None


def step_of(path: Path) -> int:
    """Return the step in a checkpoint's name, or -1 if there is none."""
    number = re.search(r"-step=(\d+)", path.name)
    return int(number[1]) if number else -1
