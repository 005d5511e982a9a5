"""Decoded images on disk: a set larger than memory is decoded once, into a folder that is whole or not there."""

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
from trainer.data.mapped import MappedImages
from trainer.data.sources.arrayfile import ArrayFile, checksum
from trainer.data.sources.decoding import Undecoded, in_memory
from trainer.data.sources.memory import fits
from trainer.errors import DataError
from trainer.files import sync_folder, to_json, write_synced
from trainer.stage import Stage
from trainer.text import in_bytes

logger = logging.getLogger("trainer")

FORMAT = 2
"""Part of every key: to be raised when images come out of a decoder differently, or the files change."""

MANIFEST = "cache.json"

TAG = "CACHEDIR.TAG"
TAG_TEXT = "Signature: 8a477f597d28d172789f06886806bc55\n# Decoded images of Inkwell; they may be deleted.\n"
"""Tells backups, and `trainer.data.sources.folder`, that a folder holds nothing of its own (https://bford.info/cachedir)."""

Found = tuple[dict[str, ImageSet], tuple[str, ...]]
"""The splits by name, and lines that the user must see."""


class Cache:
    """The place of one set's decoded images: `<folder>/<name>-<key>/`, with an `.npy` file of images a split.

    It is written aside and renamed when complete, under a lock, so that neither a killed process nor two at once can
    leave anything that is taken for complete. Checksums are compared when it is opened.

    Args:
        folder: Where caches lie.
        name: What is decoded, for people.
        identity: What the images depend on (files, sizes, times, versions), as JSON can hold it.
    """

    def __init__(self, folder: Path, name: str, identity: Any) -> None:
        key = hashlib.sha256(json.dumps([FORMAT, identity]).encode()).hexdigest()[:16]
        short = re.sub(r"[^\w.-]+", "-", name)[-40:].strip("-.")
        self.folder, self.name, self.place = folder, name, folder / f"{short}-{key}"

    def load(self, prepare: Callable[[], Undecoded]) -> Found:
        """Return the images: from memory if they fit there, else from the disk, where they are put if need be.

        Args:
            prepare: Returns what there is to decode; not called if it is on the disk already.

        Raises:
            DataError: If the disk has no room or fails, or the decoder raises it.
        """
        if not fits(self._size()) and (found := self._open()):
            return self._told(*found, "from an earlier run")
        undecoded = prepare()
        if fits(undecoded.size):
            return in_memory(undecoded), tuple(undecoded.finish())
        with self._locked(undecoded):
            if found := self._open():  # another process made it meanwhile
                return self._told(*found, "from another run")
            new = "new" if not self.place.exists() else "made anew, as it was damaged"
            self._make(undecoded)
            if found := self._open():
                return self._told(*found, new)
        raise DataError(f"{self.place} cannot be read back as it was written; is the disk sound?")

    def _size(self) -> int:
        """Return how many bytes of images are there, 0 if there is no cache."""
        return sum(file.stat().st_size for file in self.place.glob("*-images.npy"))

    def _told(self, images: dict[str, ImageSet], notices: tuple[str, ...], when: str) -> Found:
        what = f"{in_bytes(self._size())} of decoded images are too many for memory and read from {self.place}"
        return images, (*notices, f"{self.name}: {what} ({when})")

    def _open(self) -> Found | None:
        """Return what the cache holds, None if it is absent, short or damaged."""
        try:
            kept = json.loads((self.place / MANIFEST).read_text())
            images = {split: self._read(split, *sums) for split, sums in kept["splits"].items()}
            return images, tuple(kept["notices"])
        except Exception:  # whatever readers raise for damaged files: it is decoded again
            return None

    def _read(self, split: str, images_sum: int, labels_sum: int) -> ImageSet:
        pixels = np.load(self._file(self.place, split, "images"), mmap_mode="r", allow_pickle=False)
        labels = np.load(self._file(self.place, split, "labels"), allow_pickle=False)
        if (checksum(pixels), checksum(labels)) != (images_sum, labels_sum):
            raise ValueError("damaged")
        return ImageSet(MappedImages(pixels), labels)

    def _make(self, undecoded: Undecoded) -> None:
        """Decode into a folder aside, and rename it."""
        aside = self._aside(self.place)
        try:
            with self._disk(undecoded):
                self._make_room(undecoded.size)
                aside.mkdir()
            with Stage(f"decoding {self.name} to {self.place}", sum(undecoded.numbers.values()), "images") as progress:
                sums = {split: self._write(aside, undecoded, split, progress) for split in undecoded.numbers}
            kept = to_json({"splits": sums, "notices": undecoded.finish()})
            with self._disk(undecoded):
                write_synced(aside / MANIFEST, kept.encode())
                aside.rename(self.place)
                sync_folder(self.folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _make_room(self, size: int) -> None:
        """Remove what a killed process or damage has left, and see whether `size` bytes are free.

        Raises:
            OSError: If they are not.
        """
        for left in (self.place, self._aside(self.place)):
            shutil.rmtree(left, ignore_errors=True)
        if size > (free := shutil.disk_usage(self.folder).free):
            raise OSError(errno.ENOSPC, f"only {in_bytes(free)} are free")

    def _write(self, aside: Path, undecoded: Undecoded, split: str, progress: Stage) -> tuple[int, int]:
        """Write images and labels of a split; return their checksums."""
        parts = []
        with self._disk(undecoded):
            file = ArrayFile(self._file(aside, split, "images"), undecoded.shape)
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
            np.save(self._file(aside, split, "labels"), labels)
        return file.checksum, checksum(labels)

    @contextmanager
    def _locked(self, undecoded: Undecoded) -> Iterator[None]:
        """Keep other processes from writing the same cache meanwhile."""
        lock = self._lock(self.place)
        with self._disk(undecoded):
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / TAG).write_text(TAG_TEXT)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                logger.warning("%s: another process is decoding it to %s; waiting", self.name, self.place)
                lock.acquire()
        try:
            self._sweep()
            yield
        finally:
            lock.release()

    def _sweep(self) -> None:
        """Remove what killed processes left of other sets; what is being written is locked."""
        for aside in set(self.folder.glob("*.part")) - {self._aside(self.place)}:
            with suppress(Timeout, OSError), self._lock(aside.with_suffix("")).acquire(timeout=0):
                shutil.rmtree(aside, ignore_errors=True)

    @contextmanager
    def _disk(self, undecoded: Undecoded) -> Iterator[None]:
        """Turn an error of the disk into one line that says how much room is needed."""
        try:
            yield
        except OSError as error:
            needs = f"decoded, it needs {in_bytes(undecoded.size)} in {self.folder}"
            raise DataError(
                f"{self.name}: {needs}: {error.strerror or error}; "
                "make room there, or name another data folder (--data-dir)"
            ) from error

    @staticmethod
    def _aside(place: Path) -> Path:
        return place.with_name(f"{place.name}.part")

    @staticmethod
    def _lock(place: Path) -> FileLock:
        return FileLock(place.with_name(f".{place.name}.lock"))

    @staticmethod
    def _file(place: Path, split: str, content: str) -> Path:
        return place / f"{split}-{content}.npy"
