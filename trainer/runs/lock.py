"""One owner: the lock that a process holds on a run directory for as long as it trains there.

The operating system keeps the lock and lets go of it when the process dies, however that happens. The file that it is
held on stays where it is: to delete it would let two processes lock two files of one name. A copy of a run directory
is another file, which nobody holds.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import lock_descriptor

from trainer.errors import InkwellError, UsageError
from trainer.runs.process import this_process
from trainer.text import in_line

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
LONGEST = 512
"""Bytes of the lock file that are read: who holds it, for people."""
READERS_SECONDS = 5.0
"""How long to wait for readers, each of which holds a shared lock between two system calls."""
SIGNING_SECONDS = 1.0
"""How long to wait for the name of who has just taken the lock."""
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems that have no locks answer, such as some network disks."""
SAFELY = sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
"""Flags for a file in a directory that others may have made: no link is followed, no pipe waited for."""


class RunLock:
    """The lock of a run directory, taken when this is made, and held until `release` or the death of the process.

    Two locks of one directory exclude each other within a process too, as of two threads. A child of this process does
    not keep the lock, whether it was forked or started.

    Args:
        path: The run directory.

    Attributes:
        exclusive: False where the file system has no locks, so that nothing keeps a second process away.

    Raises:
        UsageError: If another process or thread holds it; says which.
        InkwellError: If the lock file cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exclusive = True
        self._descriptor: int | None = None
        _held.add(self)
        try:
            while not self._take():
                self._close()  # somebody deleted or replaced the file meanwhile
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go; does nothing a second time, or in a child."""
        _held.discard(self)
        self._close()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take(self) -> bool:
        """Lock the file; return False if its name is that of another by then."""
        file = self.path / LOCK
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | SAFELY, 0o666)
            if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                raise OSError(errno.ELOOP, "not a file")
            if not _lock(self._descriptor):
                raise still_running(self.path)
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                reason = f"{LOCK} in it is not a file; delete it" if error.errno == errno.ELOOP else error.strerror
                raise InkwellError(f"cannot lock run {self.path}: {reason}") from error
            self.exclusive = False
            return True
        if not _names(file, self._descriptor):
            return False
        _sign(self._descriptor)
        return True

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def is_held(path: Path) -> bool | None:
    """Return whether a process, this one included, holds the lock of a run directory; writes nothing.

    Returns:
        None if that cannot be told: the file system has no locks, or the file may not be read.
    """
    try:
        descriptor = os.open(path / LOCK, os.O_RDONLY | SAFELY)
    except OSError as error:
        return False if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP) else None
    try:
        return _is_locked(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)  # and with it the shared lock


def still_running(path: Path) -> UsageError:
    """Return the error for a run directory whose lock is held: by whom, and what to do."""
    pid, host = _holder(path)
    here = this_process()
    if (pid, host) == (str(here["pid"]), here["host"]):
        return UsageError(f"run {path} is still running in this process; wait for its end")
    who = f"as process {in_line(pid)} on {in_line(host)}" if host else "as another process"
    return UsageError(f"run {path} is still running {who}; wait for its end, or stop it first")


def _holder(path: Path) -> tuple[str, str]:
    """Return process id and host of who took the lock last; both empty if that cannot be read.

    Who has just made the file and locked it signs a moment later, which is waited for.
    """
    deadline = time.monotonic() + SIGNING_SECONDS
    while not (signed := _signature(path)) and time.monotonic() < deadline:
        time.sleep(0.001)
    pid, _, host = signed.partition(" ")
    return pid, host


def _signature(path: Path) -> str:
    """Return what stands in the lock file; empty if that cannot be read."""
    with suppress(OSError):
        descriptor = os.open(path / LOCK, os.O_RDONLY | SAFELY)
        try:
            return os.read(descriptor, LONGEST).decode(errors="replace").strip()
        finally:
            os.close(descriptor)
    return ""


def _sign(descriptor: int) -> None:
    """Write down who holds the lock, for the message of others; a full disk does not matter."""
    here = this_process()
    with suppress(OSError):
        written = os.write(descriptor, f"{here['pid']} {here['host']}\n".encode())
        os.ftruncate(descriptor, written)


def _lock(descriptor: int) -> bool:
    """Lock a file for this process alone; return False if another has it.

    A reader that just looks (`is_held`) does not count, however many there are: they are waited for.
    """
    deadline = time.monotonic() + READERS_SECONDS
    while not lock_descriptor(descriptor, blocking=False):
        if _is_locked(descriptor) or time.monotonic() > deadline:
            return False
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        time.sleep(random.uniform(0.0001, 0.001))
    return True


def _is_locked(descriptor: int) -> bool:
    """Return whether a file is locked by anybody but readers; if not, the descriptor has a shared lock afterwards."""
    if fcntl is None:
        return not lock_descriptor(descriptor, blocking=False)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return True
        raise
    return False


def _names(file: Path, descriptor: int) -> bool:
    """Return whether a path still names the file behind a descriptor."""
    with suppress(OSError):
        return os.path.samestat(file.lstat(), os.fstat(descriptor))
    return False


_held: set[RunLock] = set()
"""The locks of this process."""


def _let_go_in_child() -> None:
    """Close what a forked child has inherited: else it would keep the lock of a parent that died."""
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
