"""Ctrl-C and SIGTERM as requests to stop: the first ends the run in order, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trainer.run import Run

STOPPING = {signal.SIGINT: "stopped by Ctrl-C", signal.SIGTERM: "stopped by SIGTERM"}


@contextmanager
def stopping_signals(run: Run) -> Iterator[None]:
    """Turn the first stopping signal into `run.stop` and `run.signal`; handlers are restored afterwards.

    A second signal acts as it would have without us. Outside the main thread nothing is installed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def request(number: int, frame: FrameType | None) -> None:
        run.signal = number
        run.stop(STOPPING[signal.Signals(number)])
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in STOPPING:
        signal.signal(number, request)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
