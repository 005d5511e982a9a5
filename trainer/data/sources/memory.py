"""Checks that data fit in memory, made before they are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from trainer.errors import DataError
from trainer.text import in_bytes

SHARE = 4
"""Images are kept in memory if they take at most 1 / SHARE of what is available: reading them, training on them and
other processes need memory too."""


def fits(size: int) -> bool:
    """Return True if `size` bytes of images are few enough to be kept in memory."""
    return size <= available() // SHARE


def refuse_if_too_large(size: int, what: str) -> None:
    """Refuse data of more than half of the memory that is available now.

    Half, because reading them and training on them needs memory too.

    Args:
        size: Size of the images in bytes.
        what: Name of the data, with which the message begins.

    Raises:
        DataError: If `size` is larger.
    """
    free = available()
    if size > free // 2:
        raise DataError(
            f"{what}: {in_bytes(size)} of images do not fit in half of the {in_bytes(free)} of available memory; "
            "choose a smaller set, or write the images to a folder with one subfolder per class, which may be larger"
        )


def available() -> int:
    """Return the memory still available to this process, in bytes, within the machine, control groups and ulimits."""
    import psutil

    return max(0, min([psutil.virtual_memory().available, *_left_in_groups(), *_left_of_limit()]))


def _left_of_limit() -> Iterator[int]:
    """Yield the bytes left under each limit on data and address space that is set (`ulimit -d`, `ulimit -v`)."""
    if sys.platform != "linux":
        return
    import resource

    import psutil

    used = psutil.Process().memory_info()
    for kind, taken in ((resource.RLIMIT_DATA, used.data), (resource.RLIMIT_AS, used.vms)):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit - taken


def _left_in_groups(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Yield the bytes left in each control group of this process (version 2, or version 1 below `memory/`)."""
    try:
        lines = proc.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        top = root / controllers
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            yield from _left_in(folder)
            if folder == top:
                break


def _left_in(group: Path) -> Iterator[int]:
    """Yield the bytes left in one group; its file cache counts as free, since the system drops it when necessary."""
    for limit, usage, prefix in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        try:
            most, used = (group / limit).read_text().strip(), int((group / usage).read_text())
            counters = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # the root group has no limit, and containers see only their own group
            continue
        if most.isdigit():
            files = sum(int(counters.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
            yield int(most) - used + files
