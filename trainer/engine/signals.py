"""What the outside asks of a run: signals, and a file named STOP in its directory.

| asked by | does | exit status of `fit.py` |
|---|---|---|
| Ctrl-C, SIGINT | saves and ends; a second time ends at once | 130 |
| SIGTERM, a file named STOP | saves and ends | 143 |
| SIGUSR1 | saves and goes on | - |

Handlers only leave a note, which is read after each span of steps and each batch of a validation.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trainer.run import Run
from trainer.runs.manifest import CTRL_C, STOP_FILE, TERMINATED

STOP = "STOP"
STOPPING = {signal.SIGINT: CTRL_C, signal.SIGTERM: TERMINATED}
SAVING = getattr(signal, "SIGUSR1", None)  # Windows has none


@contextmanager
def listening(run: Run) -> Iterator[None]:
    """Turn signals into requests to `run`; the handlers before are restored afterwards.

    After the first signal to stop a second one acts as it would have without us. Outside the main thread nothing is
    installed, since Python delivers signals nowhere else.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [*STOPPING, *([SAVING] if SAVING is not None else [])]
    before = {number: signal.getsignal(number) for number in numbers}

    def stop(number: int, frame: FrameType | None) -> None:
        run.inbox.signal = number
        run.stop(STOPPING[signal.Signals(number)])
        for each in STOPPING:
            signal.signal(each, before[each])

    def save(number: int, frame: FrameType | None) -> None:
        run.save("last")

    for number in numbers:
        signal.signal(number, save if number == SAVING else stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def look_outside(run: Run) -> None:
    """Stop a run in whose directory lies a file named STOP; the file is deleted, so that the run can be resumed."""
    if run.directory is not None and (run.directory / STOP).exists():
        (run.directory / STOP).unlink()
        run.inbox.signal = signal.SIGTERM
        run.stop(STOP_FILE)
