"""A picture that somebody waits for, and what becomes of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any


class Unavailable(Exception):  # noqa: N818, a state, said to whoever asks
    """Nothing can be read just now; says why.

    Attributes:
        retry: Seconds after which it is worth asking again; None if it never is.
    """

    def __init__(self, why: str, retry: int | None = None) -> None:
        super().__init__(why)
        self.retry = retry


@dataclass(eq=False)
class Job:
    """A picture that somebody waits for.

    Attributes:
        picture: A file's bytes.
        wanted: What is asked about it.
        clock: Runs out on who waits too long for their turn.
        answer: Is set when there is one; done before if nobody waits any more.
        readings: How often its reading has begun.
    """

    picture: bytes | bytearray
    wanted: dict[str, Any]
    clock: asyncio.Timeout
    answer: asyncio.Future[dict[str, Any]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    readings: int = 0

    def begin(self) -> None:
        """Begin to be read: its turn has come."""
        self.clock.reschedule(None)
        self.readings += 1

    def settle(self, answer: dict[str, Any]) -> None:
        """Answer, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_result(dict(answer))

    def refuse(self, why: Unavailable) -> None:
        """Answer with an error, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_exception(why)
