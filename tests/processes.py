"""Runs scripts in separate processes without importing TensorFlow again: they are forked from one that has done so.

Importing TensorFlow and Keras takes longer than most of what the tests ask of a script. `Forked` is a
`subprocess.Popen` whose process starts after that; its file descriptors, signals, exit status and interpreter shutdown
are those of any process. Use `subprocess` where the start itself is being tested.

This file is also the program of the process that is forked: it has imported TensorFlow and executed nothing with it,
so that it has no TensorFlow threads, which a fork would lose.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

LARGEST = 1 << 18
"""Maximum size of a request in bytes."""
READ_AT_IMPORT = ("CUDA", "KERAS_", "OMP_", "PYTHON", "TF_", "XLA_")
"""Prefixes of environment variables that Python, TensorFlow or Keras read when they start."""
SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
ONE_AT_A_TIME = Lock()
"""Held while a child is created: the new parent of a grandchild is a property of the whole process."""


class Forked(subprocess.Popen):
    """A process that runs one of the project's scripts, with TensorFlow and Keras already imported.

    It accepts the arguments of `subprocess.Popen`; command, `cwd`, `env` and the three streams are used. The command is
    `[sys.executable, script, *arguments]`.
    """

    def _execute_child(self, command: list[str], *others: Any) -> None:
        cwd, env = others[4:6]
        ends = others[9:15]  # of stdin, stdout and stderr: read, write; -1 if inherited
        streams = [ours if end == -1 else end for ours, end in enumerate((ends[0], ends[3], ends[5]))]
        request = {
            "command": command[1:],
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
        }
        try:
            with ONE_AT_A_TIME:
                self.pid = origin().fork(request, streams)
        finally:
            self._close_pipe_fds(*ends)
        self._child_created = True


def process_class(changed: Iterable[str] = ()) -> type[subprocess.Popen]:
    """Return the class for a process whose environment differs in these variables; forking is safe on Linux only."""
    fresh = sys.platform != "linux" or any(name.startswith(READ_AT_IMPORT) for name in changed)
    return subprocess.Popen if fresh else Forked


class Origin:
    """The process that is forked, seen from the tests."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, __file__, str(other.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)
        atexit.register(self.close)

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """Have a child created that this process can wait for, and return its process id.

        Raises:
            RuntimeError: If the process that is forked has ended.
        """
        adopt_orphans(True)
        try:
            socket.send_fds(self._socket, [json.dumps(request).encode()], streams)
            answer = self._socket.recv(32)
        finally:
            adopt_orphans(False)
        if not answer:
            raise RuntimeError(f"{__file__} has ended with {self._process.wait()}")
        return int(answer)

    def close(self) -> None:
        self._socket.close()
        self._process.wait(timeout=300)


@cache
def origin() -> Origin:
    """Return the process that is forked, starting it on first use."""
    return Origin()


def adopt_orphans(adopt: bool) -> None:
    """Become the parent of grandchildren whose parent ends, or leave them to the system."""
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


# The process that is forked


def prepare() -> None:
    """Import what scripts import, as long as it starts no threads."""
    from trainer import startup

    startup.configure()
    with startup.without_chatter(), startup.without(startup.EXTRAS):
        import keras  # noqa: F401
        import tensorflow  # noqa: F401

    import models  # noqa: F401
    import trainer.session  # noqa: F401
    from plugins.mlflow.remote import import_client
    from plugins.mlflow.store import Store
    from trainer.console import stages

    stages.PLAIN_SECONDS = 3600  # how long a stage takes here is not what tests of a command's words are about
    import_client(Store.at(None, Path()))
    import mlflow.pyfunc  # noqa: F401


def serve(door: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork a child for each request; return in the child, with the request and its streams.

    An intermediate process ends at once, so that the child is inherited by the process that requested it.
    """
    while True:
        text, streams, *_ = socket.recv_fds(door, LARGEST, 3)
        if not text:
            os._exit(0)  # the tests have ended
        reader, writer = os.pipe()
        if between := os.fork():
            os.waitpid(between, 0)
            door.send(os.read(reader, 32))
            for number in (reader, writer, *streams):
                os.close(number)
        elif child := os.fork():
            os.write(writer, str(child).encode())
            os._exit(0)
        else:
            for number in (reader, writer):
                os.close(number)
            return json.loads(text), streams


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Adopt the command line, folder, environment variables and streams of a request."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["command"]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the tests, which then end this process too
    prepare()
    gc.collect()
    gc.freeze()  # spare the children from scanning existing objects
    with socket.socket(fileno=int(sys.argv[1])) as asking:
        asked = serve(asking)
    become(*asked)
    runpy.run_path(sys.argv[0], run_name="__main__")
