"""Whether data fit in memory, asked before they are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from trainer.errors import DataError
from trainer.text import in_bytes

SHARE = 4
"""Images stay in memory if they take at most one part in so many of what is available: reading them, training on them
and what else the machine does take memory too."""


def fits(size: int) -> bool:
    """Return whether `size` bytes of images are few enough to be kept in memory."""
    return size <= available() // SHARE


def refuse_if_too_large(size: int, what: str) -> None:
    """Raise if `size` bytes are more than half of the memory that is available now.

    Half, because reading them, and training on them, takes memory too.

    Raises:
        DataError: If they are; the message begins with `what`.
    """
    free = available()
    if size > free // 2:
        raise DataError(
            f"{what}: {in_bytes(size)} of images do not fit in half of the {in_bytes(free)} of memory that are "
            "available; choose a smaller set, or write the images to a folder of class folders, which may be larger"
        )


def available() -> int:
    """Return the bytes that this process may still take: of the machine, its control groups and its own limit."""
    import psutil

    return max(0, min([psutil.virtual_memory().available, *_left_in_groups(), *_left_of_limit()]))


def _left_of_limit() -> Iterator[int]:
    """Yield what is left of the limits on data and on addresses (`ulimit -d`, `ulimit -v`), where there are some."""
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
    """Yield what each control group around this process leaves it; version 2, or version 1 below `memory/`."""
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
    """Yield limit less use of one group; the files it has read count as free, since the system drops them at need."""
    for limit, usage, prefix in (
        ("memory.max", "memory.current", ""),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        try:
            most, used = (group / limit).read_text().strip(), int((group / usage).read_text())
            counters = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # the root group has no limit, and containers show only their own group
            continue
        if most.isdigit():
            files = sum(int(counters.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
            yield int(most) - used + files
