"""The lock that a process holds on a run directory while it trains there.

The operating system releases the lock when the process dies, for whatever reason. The lock file is never deleted, since
two processes could then lock two files of the same name. The lock file in a copy of a run directory is a different
file, which is not locked.
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
"""Maximum number of bytes read from the lock file, which names the owner."""
READERS_SECONDS = 5.0
"""Seconds to wait for readers, each of which holds a shared lock between two system calls."""
SIGNING_SECONDS = 1.0
"""Seconds to wait for a new owner to write its name."""
WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Error numbers of file systems without locks, such as some network disks."""
SAFELY = sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
"""Flags for opening a file in an untrusted directory without following links or blocking on pipes."""


class RunLock:
    """The lock of a run directory, acquired on construction and held until `release` or the end of the process.

    Two locks of one directory exclude each other within a process too, for example between threads. Child processes,
    forked or spawned, do not inherit the lock.

    Args:
        path: The run directory.

    Attributes:
        exclusive: False if the file system has no locks, so that a second process is not kept out.

    Raises:
        UsageError: If another process or thread holds the lock; the message names it.
        InkwellError: If the lock file cannot be created or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.exclusive = True
        self._descriptor: int | None = None
        _held.add(self)
        try:
            while not self._take():
                self._close()  # the file was deleted or replaced in the meantime
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Release the lock; does nothing if it is already released, or in a child process."""
        _held.discard(self)
        self._close()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take(self) -> bool:
        """Lock the file; return False if its path refers to another file by then."""
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
    """Return True if a process, including this one, holds the lock of a run directory; writes nothing.

    Returns:
        None if that is unknown: the file system has no locks, or the file is not readable.
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
        os.close(descriptor)  # also releases the shared lock


def still_running(path: Path) -> UsageError:
    """Return an error that names the owner of a locked run directory."""
    pid, host = _holder(path)
    here = this_process()
    if (pid, host) == (str(here["pid"]), here["host"]):
        return UsageError(f"run {path} is still running in this process; wait until it ends")
    who = f"as process {in_line(pid)} on {in_line(host)}" if host else "as another process"
    return UsageError(f"run {path} is still running {who}; wait until it ends, or stop it first")


def _holder(path: Path) -> tuple[str, str]:
    """Return the process id and host of the latest owner; both empty if they cannot be read.

    A new owner writes its name shortly after locking the file, so this waits for a moment if necessary.
    """
    deadline = time.monotonic() + SIGNING_SECONDS
    while not (signed := _signature(path)) and time.monotonic() < deadline:
        time.sleep(0.001)
    pid, _, host = signed.partition(" ")
    return pid, host


def _signature(path: Path) -> str:
    """Return the content of the lock file; empty if it cannot be read."""
    with suppress(OSError):
        descriptor = os.open(path / LOCK, os.O_RDONLY | SAFELY)
        try:
            return os.read(descriptor, LONGEST).decode(errors="replace").strip()
        finally:
            os.close(descriptor)
    return ""


def _sign(descriptor: int) -> None:
    """Write this process's name to the lock file, for other processes' messages; errors are ignored."""
    here = this_process()
    with suppress(OSError):
        written = os.write(descriptor, f"{here['pid']} {here['host']}\n".encode())
        os.ftruncate(descriptor, written)


def _lock(descriptor: int) -> bool:
    """Lock a file exclusively; return False if another owner holds the lock.

    Readers that only check the lock (`is_held`) do not count; this waits for them.
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
    """Return True if a file is locked by an owner; otherwise the descriptor holds a shared lock afterwards."""
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
    """Return True if a path still refers to the file of a descriptor."""
    with suppress(OSError):
        return os.path.samestat(file.lstat(), os.fstat(descriptor))
    return False


_held: set[RunLock] = set()
"""The locks of this process."""


def _release_in_child() -> None:
    """Close the descriptors that a forked child inherits, which would keep the lock of a dead parent."""
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
