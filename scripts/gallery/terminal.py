"""A command in a real terminal: what it writes and when."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path

import pyte

from trainer.errors import InkwellError

from .screen import ROWS, Screen, text_of

LONGEST = 1800.0
"""Seconds after which a command is considered to hang."""
PROMPT = "\x1b[32m$\x1b[0m \x1b[1mpython {}\x1b[0m\r\n"
CTRL_C = b"\x03"
INHERITED = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CI", "TTY_INTERACTIVE", "TTY_COMPATIBLE")
"""Variables of this process that would change how a command looks."""


@dataclass(frozen=True)
class Recording:
    """The bytes that a command wrote to a terminal.

    Attributes:
        columns: The width of the terminal.
        chunks: Pieces of the output, each with the seconds since the start.
    """

    columns: int
    chunks: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The time of the last output, in seconds since the start."""
        return self.chunks[-1][0]

    def when(self, pattern: str) -> float | None:
        """Return the seconds after which a regular expression first matched the text on the screen; None if never."""
        screen = Screen(self.columns, ROWS)
        stream = pyte.ByteStream(screen)
        for when, chunk in self.chunks:
            stream.feed(chunk)
            if re.search(pattern, text_of(screen)):
                return when
        return None

    def screen(self, until: float = inf) -> Screen:
        """Return the screen as it was `until` seconds after the start; default: at the end."""
        screen = Screen(self.columns, ROWS)
        stream = pyte.ByteStream(screen)
        for when, chunk in self.chunks:
            if when <= until:
                stream.feed(chunk)
        return screen


def record(
    arguments: Sequence[str], folder: Path, columns: int, interrupt: str | None = None, status: int = 0
) -> Recording:
    """Run a Python script in a separate terminal until it ends.

    Args:
        arguments: The script and its arguments.
        folder: The folder to run it in.
        columns: The width of the terminal.
        interrupt: A regular expression; Ctrl-C is pressed once, when it first matches the text on the screen.
        status: The exit status that the script should have.

    Raises:
        InkwellError: If the script ends with another exit status, or not within half an hour.
    """
    recording = Recording(columns, [(0.0, PROMPT.format(" ".join(arguments)).encode())])
    keyboard, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (ROWS, columns))
    attach = partial(os.login_tty, terminal)
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=_environment(), preexec_fn=attach, pass_fds=[terminal]
    )
    os.close(terminal)
    try:
        while chunk := _read(keyboard, start + LONGEST - time.monotonic()):
            recording.chunks.append((time.monotonic() - start, chunk))
            if interrupt and re.search(interrupt, text_of(recording.screen())):
                os.write(keyboard, CTRL_C)
                interrupt = None
        process.wait(timeout=60)
    except (TimeoutError, subprocess.TimeoutExpired):
        raise InkwellError(f"cannot picture {arguments[0]}: it does not end; run it by hand to see why") from None
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)
    if process.returncode != status:
        last = text_of(recording.screen()).strip().splitlines()[-1].strip()
        raise InkwellError(
            f"cannot picture {' '.join(arguments)}: it ended with {process.returncode}, not {status}: {last}"
        )
    return recording


def _environment() -> dict[str, str]:
    """Return the environment of a common terminal, whatever this process runs in."""
    kept = {name: value for name, value in os.environ.items() if name not in INHERITED}
    return {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}


def _read(descriptor: int, patience: float) -> bytes:
    """Return the next output of a terminal; nothing once the last program in it has ended.

    Raises:
        TimeoutError: If nothing comes for `patience` seconds.
    """
    if not select.select([descriptor], [], [], max(0.0, patience))[0]:
        raise TimeoutError
    try:
        return os.read(descriptor, 2**16)
    except OSError:  # what Linux answers once nobody is left
        return b""
