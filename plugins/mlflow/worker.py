"""The only thread that talks to MLflow; if a call blocks, nothing but this thread waits."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from plugins.mlflow.mirror import Mirror, missing, reason
from plugins.mlflow.state import State, mirror_lock
from plugins.mlflow.store import Store
from plugins.mlflow.sync import bring_up_to_date, to_help
from plugins.mlflow.system import Sampler
from trainer.runs.files import HISTORY

POLL_SECONDS = 3.0
RETRY_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Pause before the next attempt after the first, second, … consecutive failure."""
CROWD_SECONDS = 60.0
NICE = 10
OTHERS_SECONDS = {"running": 30.0, "over": 3.0}
"""Maximum time spent on earlier, killed runs: while this run trains, and at its end."""


class Worker(threading.Thread):
    """Mirrors a run while it is active.

    MLflow is imported once the history has a line, so that the import cannot delay the first steps.

    Args:
        run_dir: The run directory.
        store: The MLflow store.
        state: How much of the run was sent before.
        sampler: Samples system metrics, if requested.

    Attributes:
        failure: The first failure; empty if there was none.
        complete: True if MLflow has the whole run, including its end.
    """

    def __init__(self, run_dir: Path, store: Store, state: State, sampler: Sampler | None = None) -> None:
        super().__init__(name="mlflow", daemon=True)
        self.run_dir, self.store, self.sampler = run_dir, store, sampler
        self.mirror = Mirror(run_dir, store, state, alive=self._alive)
        self.failure = ""
        self.complete = False
        self._ending = threading.Event()
        self._status = "failed"
        self._signs_of_life = 0
        self._others_done = False

    def run(self) -> None:
        """Mirror the run until `finish` is called."""
        while not self._ending.is_set() and not self._has_history():
            self._ending.wait(0.25)
        if not self._ending.is_set():
            step_back()
        lock = mirror_lock(self.run_dir)
        failures = 0
        while not self.complete:
            ended = self._status if self._ending.is_set() else None
            try:
                self._attempt(lock, ended)
                failures = 0
            except Exception as error:  # whatever MLflow, its store or its server do, training continues
                failures += 1
                self._fail(reason(error))
            if ended is not None:
                break
            self._pause(failures)
        lock.release()

    def finish(self, status: str, seconds: float) -> None:
        """Have the rest sent, and wait for it.

        For a server, the limit is `seconds` in total. For a local file, it is `seconds` since the last sign of life and
        `CROWD_SECONDS` in total: many processes that start together wait for the CPU and for one another without
        hanging.

        Args:
            status: Final status of the run.
            seconds: Maximum time to wait.
        """
        self._status = status
        self._ending.set()
        if self.native_id is not None:
            give_priority(self.native_id, as_to=threading.get_native_id())
        asked = heard = time.monotonic()
        signs, worked = self._signs_of_life, time.process_time()
        while self.is_alive():
            self.join(0.05)
            now = time.monotonic()
            crowded = self.store.database is not None and now - asked < CROWD_SECONDS
            # Training is over, so any CPU time of this process is the worker's.
            if crowded and (self._signs_of_life > signs or time.process_time() - worked > 0.1):
                heard, signs, worked = now, self._signs_of_life, time.process_time()
            if now - heard > seconds:
                return self._fail(f"not done within {now - asked:.0f} s")

    def missing(self) -> list[str]:
        """Return the channels that MLflow is missing something of, now that the run has ended."""
        return missing(self.run_dir, self.mirror.state, self.mirror.settings, self._status)

    def _has_history(self) -> bool:
        try:
            return (self.run_dir / HISTORY).stat().st_size > 0
        except OSError:
            return False

    def _attempt(self, lock: FileLock, ended: str | None) -> None:
        while not lock.is_locked:
            with suppress(Timeout):
                lock.acquire(timeout=1.0)
            self._alive()
        self.mirror.update(ended)
        if ended is not None:
            self.complete = True
        if not self._others_done:
            self._others_done = True
            self._help_others(OTHERS_SECONDS["running" if ended is None else "over"])

    def _sample(self) -> None:
        if self.sampler is not None:
            with suppress(Exception):  # a full disk, a monitor that fails
                self.sampler.sample()

    def _pause(self, failures: int) -> None:
        """Wait until the next attempt, sampling system metrics meanwhile."""
        self._sample()
        until = time.monotonic() + (RETRY_SECONDS[min(failures, len(RETRY_SECONDS)) - 1] if failures else POLL_SECONDS)
        while (left := until - time.monotonic()) > 0 and not self._ending.wait(min(left, POLL_SECONDS)):
            self._sample()

    def _help_others(self, seconds: float) -> None:
        """Send what is missing of other runs in the same root and store, for a limited time."""
        settings = self.mirror.settings
        # A model cannot be rebuilt while another is training. A server's artifact storage may block, and this thread
        # with it.
        wanted = ("parameters", "numbers", "status", *(("files",) if self.store.database is not None else ()))
        deadline, ending = time.monotonic() + seconds, self._ending.is_set()

        def alive() -> None:
            self._alive()
            if time.monotonic() > deadline or self._ending.is_set() != ending:
                raise TimeoutError("later")

        with suppress(TimeoutError):
            for run_dir in to_help(self.run_dir.parent, self.store, settings, wanted):
                alive()
                with suppress(Exception):  # another run's failure does not concern this one
                    if run_dir != self.run_dir:
                        bring_up_to_date(run_dir, self.store, settings, wanted, alive)

    def _alive(self) -> None:
        self._signs_of_life += 1

    def _fail(self, text: str) -> None:
        self.failure = self.failure or f"{self.store.shown}: {text}"


def step_back() -> None:
    """Lower this thread's priority, since importing MLflow keeps a core busy for seconds."""
    if sys.platform == "linux":  # elsewhere threads have no such priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def give_priority(thread: int, as_to: int) -> None:
    """Raise a thread's priority to that of the thread waiting for it, as far as the user is permitted to."""
    if sys.platform == "linux":
        with suppress(OSError):  # the thread has ended, or only root may
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, as_to))
