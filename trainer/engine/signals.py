"""Requests to a run from outside: signals, and files that appear.

| request | effect | exit status of `fit.py` |
|---|---|---|
| Ctrl-C, SIGINT | saves and ends; a second time ends at once | 130 |
| SIGTERM | saves and ends; a second time ends at once | 143 |
| SIGHUP: the terminal was closed | saves and ends | 129 |
| SIGUSR2: a batch system gives notice | saves and ends | 140 |
| SIGXCPU: a limit of processor time was reached | saves and ends | 152 |
| SIGUSR1 | saves and continues | - |
| a file named STOP in the run directory | saves and ends | 143 |
| the file named by `Durations.stop_when` | saves and ends | 143 |

Handlers only leave a note, which is read after each span of steps and each batch of a validation. Python calls them
between two of these, which may take a while, so a thread answers at once. A signal that is ignored stays ignored, such
as SIGHUP under `nohup` or SIGINT in the background of a shell script.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from trainer.errors import UsageError
from trainer.run import Run
from trainer.text import in_line

logger = logging.getLogger("trainer")

STOP = "STOP"
REASONS = {
    "SIGINT": "stopped by Ctrl-C",
    "SIGTERM": "stopped by SIGTERM",
    "SIGHUP": "stopped by SIGHUP, as its terminal was closed",
    "SIGUSR2": "stopped by SIGUSR2",
    "SIGXCPU": "stopped by SIGXCPU, as its limit of processor time was reached",
}
STOPPING = {getattr(signal, name): reason for name, reason in REASONS.items() if hasattr(signal, name)}
INSISTING = (signal.SIGINT, signal.SIGTERM)
"""Signals that people send again to end a run at once; others repeat by themselves, such as SIGXCPU every second."""
SAVING = getattr(signal, "SIGUSR1", None)  # Windows has none
LIMIT = getattr(signal, "SIGXCPU", None)


@contextmanager
def listening(run: Run) -> Iterator[None]:
    """Turn signals into requests to `run`; the handlers before are restored afterwards.

    After the first SIGINT or SIGTERM a second one acts as it would have without us, or as the handler before says in
    its attribute `again`. Outside the main thread nothing is installed, since Python delivers signals nowhere else.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [*STOPPING, *([SAVING] if SAVING is not None else [])]
    before = {n: handler for n in numbers if (handler := signal.getsignal(n)) not in (signal.SIG_IGN, None)}

    def stop(number: int, frame: FrameType | None) -> None:
        ask_to_stop(run, number, STOPPING[signal.Signals(number)])
        if number == LIMIT:
            before[number] = signal.SIG_IGN  # it comes every second up to the hard limit, and would kill
        if number in INSISTING:
            for each in before.keys() & set(INSISTING):
                signal.signal(each, getattr(before[each], "again", before[each]))

    def save(number: int, frame: FrameType | None) -> None:
        run.save("last")

    with _answering(run, before.keys()):
        for number in before:
            signal.signal(number, save if number == SAVING else stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _answering(run: Run, numbers: Collection[int]) -> Iterator[None]:
    """Answer each of these signals as soon as it arrives, while the main thread is busy.

    Python writes the number of a signal to a file descriptor at once (`signal.set_wakeup_fd`), and calls its handler
    later. Whoever listened there before, such as the event loop of a notebook, still gets everything.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def answer() -> None:
        answered = False
        while arrived := reader.recv(1):
            if before >= 0:
                with suppress(OSError):
                    os.write(before, arrived)
            if arrived[0] in numbers and (said := _answer(run, arrived[0])) and not answered:
                answered = arrived[0] != SAVING
                with suppress(Exception):  # a handler of the user's may raise anything
                    logger.info("%s", said)

    thread = threading.Thread(target=answer, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()
        thread.join()
        reader.close()


def _answer(run: Run, number: int) -> str:
    """Return the answer to a signal; empty if the terminal has gone."""
    if number == getattr(signal, "SIGHUP", None):
        return ""
    if number == SAVING:
        return "saving after this step"
    if run.result:
        what = "the run is finished; its report is still being written"
    elif run.step >= run.steps:
        what = "stopping after this evaluation and saving"
    else:
        what = "stopping after this step and saving"
    again = {signal.SIGINT: "; press Ctrl-C again to quit now", signal.SIGTERM: "; send SIGTERM again to quit now"}
    return f"{what}{again.get(signal.Signals(number), '')}"


def look_outside(run: Run, notice: Path | None) -> None:
    """Stop a run if a file asks for it: STOP in its directory, which is deleted to allow a resume, or `notice`."""
    with suppress(OSError):  # a disk that does not answer is no reason to stop, nor is a file that cannot be deleted
        if run.directory is not None and (run.directory / STOP).exists():
            ask_to_stop(run, signal.SIGTERM, "stopped by the file STOP")
            (run.directory / STOP).unlink()
        elif notice is not None and notice.exists():
            ask_to_stop(run, signal.SIGTERM, f"stopped by the file {in_line(notice)}")


def ask_to_stop(run: Run, number: int, reason: str) -> None:
    """Ask a run to save and end, as by a signal; the first one is kept."""
    if run.inbox.signal is None:
        run.inbox.signal, run.inbox.from_outside = number, reason
    run.stop(reason)


def check_notice(notice: Path | None) -> None:
    """Refuse to train until a file appears if it exists already, or cannot be looked for.

    Raises:
        UsageError: If so.
    """
    if notice is None:
        return
    try:
        exists = notice.exists()
    except OSError as error:
        raise UsageError(
            f"cannot train until {in_line(notice)} appears: {error.strerror}; name another file"
        ) from error
    if exists:
        raise UsageError(f"cannot train until {in_line(notice)} appears: it exists; delete it, or name another file")
