"""A connection that loses its place if it is too slow.

Middleware only sees complete request headers, and uvicorn limits how long a connection may idle between requests, but
not how slowly it sends headers or reads an answer, nor how many connections a client has.
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
    """A connection that is dropped if it stalls for `limits.CLIENT_SECONDS`, or if another needs its place.

    The clock runs from the start of the connection, or the end of an answer, until the request's headers have arrived,
    and while the client does not read what is sent. A body has its own time limit: see `body`.

    Attributes:
        client_name: The client at the other end.
        since: Time of the event loop at which the wait for the current request began.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, dropping another connection if there is none."""
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
        """Process what has arrived; once a request's headers are complete, the next move is the server's."""
        super().handle_events()
        self._answer()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have arrived already."""
        self._expect_request()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Pause the answer, since the client is slow to read it."""
        super().pause_writing()
        self._be_impatient()

    def resume_writing(self) -> None:
        """Continue the answer."""
        super().resume_writing()
        self._answer()

    def shutdown(self) -> None:
        """Close when the server ends, without waiting for a body."""
        if self._is_answering and self.cycle.more_body:
            self.lose()
        else:
            super().shutdown()

    @property
    def is_waited_for(self) -> bool:
        """True if it is the client's turn: to send a request or the rest of its body, or to read an answer."""
        return not self._is_answering or self.cycle.more_body or self.flow.write_paused

    def lose(self) -> None:
        """Drop the connection at once and free its place."""
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
    """Return the connection to drop for another: the longest-waiting one of the client with the most.

    The newest one, whose request is yet to come, is always a candidate.
    """
    held = Counter(each.client_name for each in connections)
    waited_for = [each for each in connections if each.is_waited_for]
    return max(waited_for, key=lambda each: (held[each.client_name], -each.since))
