"""Serves the page until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from .address import listen
from .app import application
from .connection import Connection
from .reader import Reader
from .welcome import tell, welcome

BACKLOG = 100
"""Connections that are accepted at once, before `Connection` bounds how many stay."""


def serve(recognizer: Path, inbox: Path, host: str, port: int, show: bool, imports: Sequence[str] = ()) -> None:
    """Serve the page until Ctrl-C.

    Args:
        recognizer: A run directory, checkpoint or exported folder.
        inbox: Where pictures to keep go.
        host: Where the page is reached: `127.0.0.1` by this machine alone; see `address.listen`.
        port: 0 for a free one.
        show: Whether to open the page in the browser.
        imports: Modules that register parts of the model of a run.

    Raises:
        UsageError: If the host is none of this machine.
        InkwellError: If the port is taken.
    """
    # Ctrl-C is the usual end of a server, and no failure.
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        place = listen(host, port, stack)
        welcome(place)
        tell(f"loading {recognizer}")
        reader = Reader(recognizer, inbox, tell, imports)
        if show:
            webbrowser.open(place.urls[-1])
        Server(configured(application(reader, place)), reader).run(place.listeners)


def configured(app: ASGIApp) -> uvicorn.Config:
    """Return how an application is served."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        backlog=BACKLOG,
        log_config=None,
        log_level="error",  # what a client does wrong is told to the client
        access_log=False,
        proxy_headers=False,  # a header does not decide whose a request is
        server_header=False,
        timeout_graceful_shutdown=1,
    )


class Server(uvicorn.Server):
    """A server that answers at its end those who wait for the reader."""

    def __init__(self, config: uvicorn.Config, reader: Reader) -> None:
        super().__init__(config)
        self.reader = reader

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell all who wait that the page ends, then close it."""
        self.reader.close("draw.py has been stopped")
        await super().shutdown(sockets)
