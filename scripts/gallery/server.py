"""A server that is there as long as a picture needs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainer.errors import InkwellError

PATIENCE = 300.0
"""Longest wait for a server to listen, in seconds."""


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[int]:
    """Run a Python program that takes `--port`; give the port once it listens there, and end the program afterwards.

    Raises:
        InkwellError: If it ends or does not listen within five minutes; says where its output is.
    """
    port, log = _free_port(), folder / "server.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments, "--port", str(port)],
            cwd=folder,
            stdout=file,
            stderr=file,
            start_new_session=True,  # with all that it starts, so that all of it can be ended
        )
    deadline = time.monotonic() + PATIENCE
    try:
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise InkwellError(f"cannot serve {' '.join(arguments)}: {log.read_text()[-500:]}")
            time.sleep(0.1)
        yield port
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
