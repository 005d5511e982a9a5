"""The body of a request: a picture, received within limits on its size, its time and the memory of all bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from trainer.data.sources.image import MAX_BYTES

from . import limits
from .shares import Budget

CLOSING = {"connection": "close"}


@asynccontextmanager
async def body_of(request: Request, client: str, budget: Budget) -> AsyncIterator[bytearray]:
    """Receive the body of a request, holding its memory for as long as the context lasts.

    Args:
        request: The request.
        client: The client that sent it.
        budget: The memory for all bodies.

    Raises:
        HTTPException: If it is empty, longer than `MAX_BYTES`, takes longer than `limits.BODY_SECONDS`, or there is no
            memory for it.
    """
    body = _Body(client, budget)
    try:
        await body.receive(request)
        body.check()
        yield body.content
    finally:
        body.drop()


class _Body:
    """The part of a body that has arrived.

    A refused body is received to its end and discarded: an earlier refusal would be lost with the connection.
    """

    def __init__(self, client: str, budget: Budget) -> None:
        self.client, self.budget = client, budget
        self.content = bytearray()
        self.size = self.taken = 0
        self.has_room = True

    async def receive(self, request: Request) -> None:
        try:
            async with asyncio.timeout(limits.BODY_SECONDS):
                async for chunk in request.stream():
                    self.add(chunk)
                    if self.size > limits.DROPPED:
                        return
        except TimeoutError as error:
            why = f"the picture did not arrive within {limits.BODY_SECONDS:.0f} seconds; send it again"
            raise HTTPException(408, why, CLOSING) from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the connection was lost", CLOSING) from error

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        more = max(0, self.size - limits.SMALL_BODY) - self.taken
        if self.size > MAX_BYTES:
            self.drop()
        elif self.has_room and self.budget.take(self.client, more):
            self.content += chunk
            self.taken += more
        else:
            self.has_room = False
            self.drop()

    def check(self) -> None:
        if self.size > MAX_BYTES:
            raise HTTPException(413, f"the picture is larger than {MAX_BYTES / 1e6:.0f} MB", CLOSING)
        if not self.has_room:
            again = {**CLOSING, "retry-after": "2"}
            raise HTTPException(503, "too many large pictures are waiting; try again in 2 seconds", again)
        if not self.size:
            raise HTTPException(422, "this request contains no picture")

    def drop(self) -> None:
        self.content = bytearray()
        self.budget.give_back(self.client, self.taken)
        self.taken = 0
