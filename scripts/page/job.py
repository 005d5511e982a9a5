"""A picture that a client waits for, and its outcome."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any


class Unavailable(Exception):  # noqa: N818, a state, reported to the client
    """Nothing can be read at the moment; the message says why.

    Attributes:
        retry: Seconds after which to try again; None if that is pointless.
    """

    def __init__(self, why: str, retry: int | None = None) -> None:
        super().__init__(why)
        self.retry = retry


@dataclass(eq=False)
class Job:
    """A picture that a client waits for.

    Attributes:
        picture: Content of a file.
        wanted: The parameters of the request.
        clock: Ends a wait that takes too long.
        answer: Set once there is an answer; cancelled if nobody waits any more.
        readings: Number of times that reading it was started.
    """

    picture: bytes | bytearray
    wanted: dict[str, Any]
    clock: asyncio.Timeout
    answer: asyncio.Future[dict[str, Any]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    readings: int = 0

    def begin(self) -> None:
        """Start reading; its turn has come."""
        self.clock.reschedule(None)
        self.readings += 1

    def settle(self, answer: dict[str, Any]) -> None:
        """Set the answer, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_result(dict(answer))

    def refuse(self, why: Unavailable) -> None:
        """Set an error as the answer, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_exception(why)
