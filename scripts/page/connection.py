"""A connection that cannot keep its place by being slow.

Middleware sees whole heads of requests, and uvicorn bounds how long a connection may idle between them, but neither how
slowly it may send a head or take an answer, nor how many of one client there are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

from . import limits
from .shares import client_name


class Connection(H11Protocol):
    """A connection that is lost if it keeps us waiting for `limits.CLIENT_SECONDS`, or if others need its place.

    It keeps us waiting from its beginning, or the end of an answer, until the head of a request is there, and when it
    does not take what is sent. A body has its own time: see `body`.

    Attributes:
        client_name: Whose it is.
        since: The loop's time from which it is waited for its present request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place; if there is none, another connection loses its own."""
        super().connection_made(transport)
        self.client_name = client_name(self.client[0] if self.client else "")
        self._patience: asyncio.TimerHandle | None = None
        self._expect_request()
        if len(self.connections) > limits.CONNECTIONS:
            loser(cast(set[Connection], self.connections)).lose()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._be_patient()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Take in what has arrived; from the end of a request's head on, the next move is ours."""
        super().handle_events()
        self._answer()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may be there."""
        self._expect_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Pause the answer; the client is behind with taking what was sent."""
        super().pause_writing()
        self._be_impatient()

    def resume_writing(self) -> None:
        """Continue to answer."""
        super().resume_writing()
        self._answer()

    def shutdown(self) -> None:
        """Close at the end of the server, without waiting for a body."""
        if self._is_answering and self.cycle.more_body:
            self.lose()
        else:
            super().shutdown()

    @property
    def is_waited_for(self) -> bool:
        """True if the client has to move: to send a request, the rest of its body, or to take an answer."""
        return not self._is_answering or self.cycle.more_body or self.flow.write_paused

    def lose(self) -> None:
        """End the connection at once; its place is free."""
        self.connections.discard(self)
        self.transport.abort()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _answer(self) -> None:
        if self._is_answering and not self.flow.write_paused:
            self._be_patient()

    def _expect_request(self) -> None:
        self.since = self.loop.time()
        self._be_impatient()

    def _be_impatient(self) -> None:
        self._be_patient()
        self._patience = self.loop.call_later(limits.CLIENT_SECONDS, self.lose)

    def _be_patient(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None


def loser(connections: Iterable[Connection]) -> Connection:
    """Return the connection that is given up for another: of the client with most, the one waited for longest.

    The newest, whose request is yet to come, is always among those that are waited for.
    """
    held = Counter(each.client_name for each in connections)
    waited_for = [each for each in connections if each.is_waited_for]
    return max(waited_for, key=lambda each: (held[each.client_name], -each.since))
