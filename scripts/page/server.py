"""Serves the page until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from trainer.errors import InkwellError

from . import limits
from .address import listen
from .app import application
from .connection import Connection
from .reader import Reader
from .welcome import tell, welcome

if sys.platform != "win32":  # Windows has no such limit
    import resource


def serve(recognizer: Path, inbox: Path, host: str, port: int, show: bool, imports: Sequence[str] = ()) -> None:
    """Serve the page until Ctrl-C.

    Args:
        recognizer: A run directory, checkpoint or exported folder.
        inbox: Folder for pictures to keep.
        host: Host to listen on; `127.0.0.1` is reachable from this machine only; see `address.listen`.
        port: The port; 0 chooses a free one.
        show: True to open the page in the browser.
        imports: Modules that register parts of a run's model.

    Raises:
        UsageError: If the host does not belong to this machine.
        InkwellError: If the port is taken, the process may not open enough files, or the model cannot be loaded.
    """
    allow_connections()
    # Ctrl-C is the normal way to end a server, not a failure.
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        place = listen(host, port, stack)
        welcome(place)
        tell(f"loading {recognizer}")
        reader = Reader(recognizer, inbox, tell, imports)
        if show:
            webbrowser.open(place.urls[-1])
        server = Server(configured(application(reader, place)), reader)
        server.run(place.listeners)
        if server.failure is not None:
            raise InkwellError(server.failure)


def allow_connections() -> None:
    """Raise the limit of open files to what the connections need, where it is lower (macOS: 256).

    Raises:
        InkwellError: If the system does not permit it.
    """
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    if min(allowed, default=limits.OPEN_FILES) >= limits.OPEN_FILES:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits.OPEN_FILES, hard))
    except (OSError, ValueError) as error:
        why = f"cannot serve the page: this process may open {hard} files and needs {limits.OPEN_FILES}"
        raise InkwellError(f"{why}; allow more with ulimit -n {limits.OPEN_FILES}") from error


def configured(app: ASGIApp) -> uvicorn.Config:
    """Return the server configuration for an application."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        backlog=limits.BACKLOG,
        log_config=None,
        log_level="error",  # clients are told about their own errors
        access_log=False,
        proxy_headers=False,  # a header must not decide which client a request belongs to
        server_header=False,
        timeout_graceful_shutdown=1,
    )


class Server(uvicorn.Server):
    """A server that ends when its reader fails, and answers everybody who waits for the reader before it ends.

    Attributes:
        failure: Reason why the reader failed; None unless it did.
    """

    def __init__(self, config: uvicorn.Config, reader: Reader) -> None:
        super().__init__(config)
        self.reader = reader
        self.failure: str | None = None

    async def on_tick(self, counter: int) -> bool:
        """Return True if the server is to end."""
        self.failure = self.reader.trouble
        return self.failure is not None or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell everybody who waits that the page is closing, then close it."""
        self.reader.close("draw.py has been stopped")
        await super().shutdown(sockets)
