"""Lets processes compete for the lock of one run directory at the same instant while some are killed at random.

This is the program of `test_lock.py`, without TensorFlow, so that a process costs a millisecond:

    python contenders.py FOLDER ROUNDS SEED

It prints how often the lock ended up owned, how often it was free because its owner had been killed, and every round
with any other outcome.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import UsageError
from trainer.runs.lock import RunLock, is_held

SECONDS = 60.0
"""Maximum time for a contender to answer."""


@dataclass
class Contender:
    """A process that tries to get the lock when told to, and keeps it until it is killed."""

    pid: int
    answers: int
    alive: bool = True

    @classmethod
    def start(cls, folder: Path, gate: int) -> Contender:
        """Fork a process that starts when the other end of `gate` is closed."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return cls(pid, reading)
        try:
            os.read(gate, 1)
            try:
                lock = RunLock(folder)
            except UsageError:
                os.write(writing, b"refused")
            else:
                os.write(writing, b"owner")
                assert lock.exclusive
            signal.pause()
        finally:
            os._exit(1)

    def answer(self) -> str:
        """Wait for `owner`, `refused`, or an empty string if it was killed before it could answer."""
        ready, _, _ = select.select([self.answers], [], [], SECONDS)
        assert ready, "no answer"
        return os.read(self.answers, 100).decode()

    def kill(self) -> None:
        """Kill the process, if it has not ended, and wait until it is gone."""
        if self.alive:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.alive = False


def start(folder: Path, count: int) -> list[Contender]:
    """Start processes that all begin at the same instant."""
    gate, opener = os.pipe()
    contenders = [Contender.start(folder, gate) for _ in range(count)]
    # The children inherit the opener too, so they begin with the byte, not with its closing.
    os.write(opener, b"." * count)
    os.close(gate)
    os.close(opener)
    return contenders


def play(folder: Path, chance: random.Random) -> tuple[str, str]:
    """Play a round; return its outcome, and any error."""
    contenders = start(folder, chance.randint(2, 4))
    victim = chance.choice(contenders) if chance.random() < 0.5 else None
    if victim is not None:
        time.sleep(chance.uniform(0.0, 0.003))
        victim.kill()
    said = [(contender, contender.answer()) for contender in contenders]
    owners = [contender for contender, answer in said if answer == "owner" and contender.alive]
    try:
        if len(owners) > 1:
            return "wrong", f"{len(owners)} owners"
        if not owners and victim is None:
            return "wrong", "no owner although nobody was killed"
        if is_held(folder) is not bool(owners):
            return "wrong", f"is_held says {is_held(folder)} with {len(owners)} owners"
        if owners and chance.random() < 0.5:
            owners.pop().kill()
        (late,) = start(folder, 1)
        contenders.append(late)
        if late.answer() != ("refused" if owners else "owner"):
            return "wrong", f"a late one is not what it must be with {len(owners)} owners before it"
        return ("owned" if owners else "killed"), ""
    finally:
        for contender in contenders:
            contender.kill()
            os.close(contender.answers)


def look(folder: Path) -> int:
    """Fork a process that continuously reads who holds the lock, as `runs.py` does."""
    pid = os.fork()
    if pid == 0:
        try:
            while os.getppid() != 1:
                is_held(folder)
        finally:
            os._exit(1)
    return pid


def main(folder: Path, rounds: int, seed: int) -> None:
    chance, found = random.Random(seed), {"owned": 0, "killed": 0, "wrong": 0}
    looker = look(folder)
    try:
        for number in range(rounds):
            ended, what = play(folder, chance)
            found[ended] += 1
            if what:
                print(f"round {number}: {what}")
    finally:
        os.kill(looker, signal.SIGKILL)
        os.waitpid(looker, 0)
    print(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
