"""Runs contenders side by side, each in its own process, taking turns so that all meet the same conditions."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import psutil

from trainer.errors import InkwellError

from .options import tell
from .worker import GO, REST, Job

ROOT = Path(__file__).parents[2]
LONGEST = 600.0
"""Maximum seconds to wait for an answer."""


@dataclass(frozen=True)
class Contender:
    """A program to measure.

    Attributes:
        name: Name in tables.
        target: `module:function` that runs it, below `scripts.benchmarks.contenders`.
        extra: Additional values for its job.
        environment: Environment variables of its process; None removes one.
        needs: A package that may be missing.
    """

    name: str
    target: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str | None] = field(default_factory=dict)
    needs: str = ""


class Worker:
    """A contender's process, seen from outside."""

    def __init__(self, contender: Contender, job: Job, folder: Path) -> None:
        folder.mkdir()
        self.name = contender.name
        self._log = folder / "stderr"
        job = dataclasses.replace(job, folder=str(folder), extra={**job.extra, **contender.extra})
        (folder / "job.json").write_text(json.dumps(dataclasses.asdict(job)))
        target = f"scripts.benchmarks.contenders.{contender.target}"
        command = [sys.executable, "-P", "-m", "scripts.benchmarks.worker", target, str(folder / "job.json")]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment(contender.environment),
            )
        self.setup: dict[str, Any] = {}

    def prepare(self) -> None:
        """Wait until the contender is ready, then let it warm up: a turn that is not counted, and its aftermath."""
        self.setup = self._hear()
        self.turn()
        self._settle()

    def turn(self) -> dict[str, Any]:
        """Have the contender take a turn and return its report; `seconds` includes its share of background work."""
        self._send(GO)
        answer = self._hear()
        answer["seconds"] += answer["background"] / (os.cpu_count() or 1)
        return answer

    def close(self) -> None:
        """End the process: politely at first."""
        with self.process as process:
            if process.stdin is not None and not process.stdin.closed:
                with suppress(BrokenPipeError):  # it has already ended
                    process.stdin.close()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()

    def _settle(self, longest: float = 30.0) -> None:
        """Wait until the process has almost nothing left to compute, such as importing MLflow in the background."""
        process, deadline = psutil.Process(self.process.pid), time.monotonic() + longest
        process.cpu_percent()
        while time.monotonic() < deadline:
            time.sleep(0.3)
            if process.cpu_percent() < 5:
                break
        self._send(REST)

    def _send(self, line: str) -> None:
        try:
            stdin = cast(IO[str], self.process.stdin)
            stdin.write(line)
            stdin.flush()
        except BrokenPipeError:
            self._fail()

    def _hear(self) -> dict[str, Any]:
        timer = threading.Timer(LONGEST, self.process.kill)
        timer.start()
        try:
            line = cast(IO[str], self.process.stdout).readline()
        finally:
            timer.cancel()
        if not line:
            self._fail()
        return cast(dict[str, Any], json.loads(line))

    def _fail(self) -> None:
        try:
            status = self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:  # it closed its output but is still alive
            self.process.kill()
            status = self.process.wait()
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        raise InkwellError(
            f"{self.name} failed with status {status}: {lines[-1].strip() if lines else 'without an error message'}"
        )


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return an environment in which a process finds the benchmarks, with `changes`."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")]), str(Path.cwd())]  # the last for --import
    merged = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **changes}
    return {name: value for name, value in merged.items() if value is not None}


@dataclass(frozen=True)
class Outcome:
    """The result of a contender.

    Attributes:
        setup: Its report when it was ready.
        turns: Its report of each round.
    """

    setup: Mapping[str, Any]
    turns: Sequence[Mapping[str, Any]]

    @property
    def seconds(self) -> list[float]:
        """The seconds of each turn."""
        return [turn["seconds"] for turn in self.turns]


def compete(contenders: Sequence[Contender], job: Job, folder: Path, rounds: int) -> dict[str, Outcome]:
    """Start all contenders, then give each a turn in every round, reversing the order in every other round.

    Round 0 is not counted: the first contenders have waited for the last one to start, and the system may have swapped
    out their memory.

    Raises:
        InkwellError: If a contender fails.
    """
    turns: dict[str, list[dict[str, Any]]] = {contender.name: [] for contender in contenders}
    with ExitStack() as stack:
        workers = []
        for number, contender in enumerate(contenders):
            tell(f"  starts  {contender.name}")
            worker = Worker(contender, job, folder / f"contender-{number}")
            stack.callback(worker.close)
            worker.prepare()
            workers.append(worker)
        for number in range(rounds + 1):
            for worker in workers if number % 2 else reversed(workers):
                turn = worker.turn()
                tell(f"  round {number}/{rounds}  {turn['seconds']:8.3f} s  {worker.name}")
                if number:
                    turns[worker.name].append(turn)
        return {worker.name: Outcome(worker.setup, turns[worker.name]) for worker in workers}
