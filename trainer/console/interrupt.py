"""Ctrl-C in a script: the first one ends it in good order, the second at once.

Training saves before it ends; see `trainer.engine.signals`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from trainer.console import output
from trainer.stage import Stage
from trainer.text import program

STATUS = 128 + signal.SIGINT


class EndInOrder:
    """Handler of SIGINT that ends the program by `KeyboardInterrupt`.

    Attributes:
        again: Handler of the second Ctrl-C.
    """

    @staticmethod
    def again(number: int, frame: FrameType | None) -> NoReturn:
        """End the program at once."""
        quit_now()

    def __call__(self, number: int, frame: FrameType | None) -> NoReturn:
        """Raise `KeyboardInterrupt`, and show that this may take a moment."""
        signal.signal(signal.SIGINT, self.again)
        Stage("stopping; press Ctrl-C again to quit now").__enter__()  # until the program has ended
        raise KeyboardInterrupt


def quit_now() -> NoReturn:
    """End this program with one line and without cleanup."""
    if output.line is not None:
        output.line.draw("")
    with suppress(OSError):  # past Python's stream, which may be in the middle of a write
        os.write(2, f"{program()}: stopped by Ctrl-C\n".encode(errors="backslashreplace"))
    os._exit(STATUS)


def handle_ctrl_c(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Install a handler of Ctrl-C, unless Ctrl-C is ignored, as in the background of a shell script."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, handler)
