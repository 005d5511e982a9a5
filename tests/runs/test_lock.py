"""Can two processes ever train in one run directory, and can a dead one ever block others?"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import shutil
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from trainer.errors import InkwellError, UsageError
from trainer.runs.lock import LOCK, RunLock, is_held
from trainer.runs.process import this_host

CONTENDERS = Path(__file__).with_name("contenders.py")


@pytest.mark.parametrize("rounds", [30, pytest.param(500, marks=pytest.mark.slow)])
def test_of_many_that_start_at_once_one_is_the_owner_and_its_death_frees_the_lock(tmp_path, rounds):
    command = [sys.executable, CONTENDERS, tmp_path, str(rounds), "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    assert done.stdout.endswith("'wrong': 0}\n"), done.stdout
    assert "'owned': 0" not in done.stdout
    assert "'killed': 0" not in done.stdout


OWNER = """
import os, subprocess, sys, time
from pathlib import Path
from trainer.runs.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
if sys.argv[2] == "forked":
    if not os.fork():
        print(os.getpid(), flush=True)
elif sys.argv[2] == "started":
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
    subprocess.Popen([sys.executable, "-c", code], close_fds=False)
else:
    print(0, flush=True)
time.sleep(300)
"""


def owner(folder: Path, kind: str = "alone") -> tuple[subprocess.Popen[str], int]:
    """Start a process that owns the lock; return it and its surviving child, if it has one."""
    command = [sys.executable, "-c", OWNER, str(folder), kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(timeout=300)
    process.stdout.close()


@pytest.mark.parametrize("kind", ["forked", "started"])
def test_a_child_does_not_keep_the_lock_of_a_parent_that_died(tmp_path, kind):
    process, child = owner(tmp_path, kind)
    try:
        assert is_held(tmp_path) is True
        end(process)
        os.kill(child, 0)  # it is alive
        assert is_held(tmp_path) is False
        RunLock(tmp_path).release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_other_learns_who_holds_it_and_what_to_do(tmp_path):
    process, _ = owner(tmp_path)
    try:
        with pytest.raises(UsageError) as caught:
            RunLock(tmp_path)
    finally:
        end(process)
    who = f"as process {process.pid} on {this_host()}"
    assert str(caught.value) == f"run {tmp_path} is still running {who}; wait until it ends, or stop it first"


def test_two_threads_exclude_each_other_too(tmp_path):
    owners, said, together = [], [], threading.Barrier(8)

    def compete() -> None:
        together.wait(timeout=300)
        try:
            owners.append(RunLock(tmp_path))
        except UsageError as error:
            said.append(str(error))

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert len(owners) == 1
    assert said == [f"run {tmp_path} is still running in this process; wait until it ends"] * 7
    owners[0].release()
    owners[0].release()
    with RunLock(tmp_path):
        owners[0].release()  # from the previous round
        assert is_held(tmp_path) is True


def test_the_lock_goes_with_a_directory_that_is_moved_and_not_with_a_copy(tmp_path):
    (tmp_path / "run").mkdir()
    with RunLock(tmp_path / "run"):
        shutil.copytree(tmp_path / "run", tmp_path / "copy")
        (tmp_path / "run").rename(tmp_path / "moved")
        assert (is_held(tmp_path / "moved"), is_held(tmp_path / "copy")) == (True, False)
        RunLock(tmp_path / "copy").release()


def test_a_reader_writes_nothing(tmp_path):
    assert is_held(tmp_path) is False
    assert is_held(tmp_path / "nothing") is False
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_leads_elsewhere_is_refused_and_nothing_is_written_there(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(mine)
    with pytest.raises(InkwellError, match=r"^cannot lock run .*: \.lock in it is not a file; delete it$"):
        RunLock(tmp_path / "run")
    assert is_held(tmp_path / "run") is False
    assert mine.read_text() == "mine"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / LOCK)
    with pytest.raises(InkwellError, match="is not a file; delete it"):
        RunLock(tmp_path)
    is_held(tmp_path)


def test_a_lock_file_that_is_deleted_meanwhile_is_not_taken_for_the_lock(tmp_path):
    first = RunLock(tmp_path)
    (tmp_path / LOCK).unlink()
    first.release()
    with RunLock(tmp_path):
        assert is_held(tmp_path) is True


# A file system without locks: the system call fails, as on some network disks

FLOCK = {"x86_64": 73, "aarch64": 32}
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000
SECCOMP, FILTER, NO_NEW_PRIVILEGES = 22, 2, 38


def refuse_locks() -> None:
    """Make the kernel answer every `flock` of this process with ENOLCK."""
    number = FLOCK[platform.machine()]
    steps = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, FAIL | errno.ENOLCK), (RETURN, 0, 0, ALLOW)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.prctl(SECCOMP, FILTER, ctypes.create_string_buffer(header), 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp")


WITHOUT = """
import sys
from pathlib import Path
from trainer.runs.lock import RunLock, is_held
folder = Path(sys.argv[1])
first, second = RunLock(folder), RunLock(folder)
print(first.exclusive, second.exclusive, is_held(folder))
"""


@pytest.mark.skipif(platform.machine() not in FLOCK or sys.platform != "linux", reason="needs seccomp")
def test_where_there_are_no_locks_training_is_possible_and_nobody_claims_to_know(tmp_path):
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    done = subprocess.run(command, preexec_fn=refuse_locks, capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("False False None\n", "")
