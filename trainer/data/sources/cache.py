"""A cache of decoded images: a set larger than memory is decoded once, into a folder that is complete or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from trainer.data.imageset import ImageSet
from trainer.data.mapped import Mapped
from trainer.data.sources.arrayfile import ArrayFile, checksum
from trainer.data.sources.decoding import Undecoded, in_memory
from trainer.data.sources.memory import fits
from trainer.errors import DataError
from trainer.files import sync_folder, to_json, write_synced
from trainer.stage import Stage
from trainer.text import in_bytes

logger = logging.getLogger("trainer")

FORMAT = 3
"""Version in every key; raise it when the output of a decoder or the format of the files changes."""

MANIFEST = "cache.json"

TAG = "CACHEDIR.TAG"
TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded images of Inkwell; they may be deleted.\n"
"""Marks a folder as a cache for backups and `trainer.data.sources.folder` (https://bford.info/cachedir)."""

Found = tuple[dict[str, ImageSet], tuple[str, ...]]
"""The splits by name, and the lines that the user must see."""


class Cache:
    """The decoded images of one set: `<folder>/<name>-<key>/`, with one `.npy` file of images per split.

    It is written to a temporary folder under a lock and renamed when complete, so that neither a killed process nor
    concurrent ones can leave an incomplete cache. Checksums are verified when it is opened.

    Args:
        folder: The folder of all caches.
        name: Display name of the images.
        identity: Everything that the images depend on (files, sizes, times, versions), representable as JSON.
    """

    def __init__(self, folder: Path, name: str, identity: Any) -> None:
        key = hashlib.sha256(json.dumps([FORMAT, identity]).encode()).hexdigest()[:16]
        short = re.sub(r"[^\w.-]+", "-", name)[-40:].strip("-.")
        self.folder, self.name, self.place = folder, name, folder / f"{short}-{key}"

    def load(self, prepare: Callable[[], Undecoded]) -> Found:
        """Return the images: in memory if they fit, otherwise from the cache, which is written if necessary.

        Args:
            prepare: Returns the images to decode; not called if they are already cached.

        Raises:
            DataError: If the disk is full or fails, or the decoder raises it.
        """
        if not fits(self._size()) and (found := self._open()):
            return self._with_notice(*found, "from an earlier run")
        undecoded = prepare()
        if fits(undecoded.size):
            return in_memory(undecoded), tuple(undecoded.finish())
        with self._locked(undecoded):
            if found := self._open():  # another process has written it in the meantime
                return self._with_notice(*found, "from another run")
            new = "new" if not self.place.exists() else "rebuilt, because it was damaged"
            self._make(undecoded)
            if found := self._open():
                return self._with_notice(*found, new)
        raise DataError(f"cannot read {self.place}: it differs from the data just written; check the disk")

    def _size(self) -> int:
        """Return the size of the cached images in bytes, 0 if there is no cache."""
        return sum(file.stat().st_size for file in self.place.glob("*-images.npy"))

    def _with_notice(self, images: dict[str, ImageSet], notices: tuple[str, ...], origin: str) -> Found:
        what = f"{in_bytes(self._size())} of decoded images do not fit in memory and are read from {self.place}"
        return images, (*notices, f"{self.name}: {what} ({origin})")

    def _open(self) -> Found | None:
        """Return the content of the cache; None if it is missing, incomplete or damaged."""
        try:
            kept = json.loads((self.place / MANIFEST).read_text())
            images = {split: self._read(split, *sums) for split, sums in kept["splits"].items()}
            return images, tuple(kept["notices"])
        except Exception:  # readers raise arbitrary exceptions for damaged files; the images are decoded again
            return None

    def _read(self, split: str, images_sum: int, labels_sum: int) -> ImageSet:
        pixels = np.load(self._file(self.place, split, "images"), mmap_mode="r", allow_pickle=False)
        labels = np.load(self._file(self.place, split, "labels"), allow_pickle=False)
        if (checksum(pixels), checksum(labels)) != (images_sum, labels_sum):
            raise ValueError("damaged")
        return ImageSet(Mapped(pixels), labels)

    def _make(self, undecoded: Undecoded) -> None:
        """Decode into a temporary folder, and rename it."""
        draft = self._draft(self.place)
        try:
            with self._disk(undecoded):
                self._make_room(undecoded.size)
                draft.mkdir()
            with Stage(f"decoding {self.name} to {self.place}", sum(undecoded.numbers.values()), "images") as progress:
                sums = {split: self._write(draft, undecoded, split, progress) for split in undecoded.numbers}
            kept = to_json({"splits": sums, "notices": undecoded.finish()})
            with self._disk(undecoded):
                write_synced(draft / MANIFEST, kept.encode())
                draft.rename(self.place)
                sync_folder(self.folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _make_room(self, size: int) -> None:
        """Remove damaged and abandoned files, and check that `size` bytes are free.

        Raises:
            OSError: If they are not.
        """
        for left in (self.place, self._draft(self.place)):
            shutil.rmtree(left, ignore_errors=True)
        if size > (free := shutil.disk_usage(self.folder).free):
            raise OSError(errno.ENOSPC, f"only {in_bytes(free)} free")

    def _write(self, draft: Path, undecoded: Undecoded, split: str, progress: Stage) -> tuple[int, int]:
        """Write the images and labels of a split; return their checksums."""
        parts = []
        with self._disk(undecoded):
            file = ArrayFile(self._file(draft, split, "images"), undecoded.shape)
        with file:
            for images, labels in undecoded.blocks(split):
                with self._disk(undecoded):
                    file.add(images)
                parts.append(labels)
                progress.done += len(labels)
            with self._disk(undecoded):
                file.complete()
        labels = np.concatenate(parts)
        with self._disk(undecoded):
            np.save(self._file(draft, split, "labels"), labels)
        return file.checksum, checksum(labels)

    @contextmanager
    def _locked(self, undecoded: Undecoded) -> Iterator[None]:
        """Prevent other processes from writing the same cache inside the context."""
        lock = self._lock(self.place)
        with self._disk(undecoded):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / TAG).write_text(TAG_TEXT)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                logger.warning("%s: waiting for another process that is decoding it to %s", self.name, self.place)
                lock.acquire()
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        """Remove what killed processes left of other sets; caches being written are locked and kept."""
        for draft in set(self.folder.glob("*.part")) - {self._draft(self.place)}:
            with suppress(Timeout, OSError), self._lock(draft.with_suffix("")).acquire(timeout=0):
                shutil.rmtree(draft, ignore_errors=True)

    @contextmanager
    def _disk(self, undecoded: Undecoded) -> Iterator[None]:
        """Convert a disk error into one line that states the space needed."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot decode {self.name} to {self.folder}, which needs {in_bytes(undecoded.size)}: "
                f"{error.strerror or error}; free some space there, or choose another data folder (--data-dir)"
            ) from error

    @staticmethod
    def _draft(place: Path) -> Path:
        return place.with_name(f"{place.name}.part")

    @staticmethod
    def _lock(place: Path) -> FileLock:
        return FileLock(place.with_name(f".{place.name}.lock"))

    @staticmethod
    def _file(place: Path, split: str, content: str) -> Path:
        return place / f"{split}-{content}.npy"
