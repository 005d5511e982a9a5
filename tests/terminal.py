"""A terminal with a program in it: what is on its screen, from the first moment to the last."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyte

PATIENCE = 300.0
"""Seconds after which a program is taken to hang."""


class Terminal:
    """A program whose three standard streams are a terminal of a given size.

    Args:
        command: The program with its arguments.
        cwd: The folder to run it in.
        columns: Width of the terminal.
        kind: Class of the process.
        environment: Variables beside those of the tests, which name another terminal.
    """

    def __init__(
        self,
        command: list[str],
        cwd: Path,
        columns: int = 80,
        kind: type[subprocess.Popen] = subprocess.Popen,
        **environment: str,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.screen = pyte.HistoryScreen(columns, 40, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self.received = b""
        self.lines_seen: list[list[str]] = []
        dropped = ("CI", "FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES")
        env = {name: value for name, value in os.environ.items() if name not in dropped}
        env |= {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
        self.process = kind(command, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def lines(self) -> list[str]:
        """The lines on the screen, the empty ones at its end left out."""
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def wait_for(self, seen: str | Callable[[list[str]], bool]) -> list[str]:
        """Return the lines on the screen once a text is on it, or once a function of them is true."""
        deadline = time.monotonic() + PATIENCE
        while not (seen(self.lines) if callable(seen) else any(seen in line for line in self.lines)):
            assert time.monotonic() < deadline, self.lines
            assert self._read(), f"{seen} was never on the screen: {self.lines}"
        return self.lines

    def finish(self) -> int:
        """Read until the program has ended; return its exit status."""
        while self._read():
            pass
        return self.process.wait(timeout=PATIENCE)

    def _read(self) -> bool:
        """Let the screen show what has arrived; return False at the end."""
        ready, _, _ = select.select([self._master], [], [], 1.0)
        chunk = b""
        if ready:
            with suppress(OSError):  # the other end is closed, and everything was read
                chunk = os.read(self._master, 4096)
            if not chunk:
                return False
            self.received += chunk
            self._stream.feed(chunk)
            self.lines_seen.append(self.lines)
        return True
