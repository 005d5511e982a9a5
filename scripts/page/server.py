"""Serves the page on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from trainer.errors import InkwellError
from trainer.text import printable

from .app import application
from .reader import Reader


def serve(recognizer: Path, inbox: Path, port: int, show: bool, imports: Sequence[str] = ()) -> None:
    """Serve the page at 127.0.0.1 until Ctrl-C.

    Args:
        recognizer: A run directory, checkpoint or exported folder.
        inbox: Where pictures to keep go.
        port: 0 for a free one.
        show: Whether to open the page in the browser.
        imports: Modules that register parts of the model of a run.

    Raises:
        InkwellError: If the port is taken.
    """
    # Ctrl-C is the usual end of a server, and no failure.
    with listening(port) as listener, contextlib.suppress(KeyboardInterrupt):
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        print(f"draw on {address} (Ctrl-C ends it)", flush=True)
        tell(f"loading {recognizer}")
        app = application(Reader(recognizer, inbox, tell, imports))
        config = uvicorn.Config(app, ws="none", log_config=None, access_log=False, timeout_graceful_shutdown=1)
        if show:
            webbrowser.open(address)
        uvicorn.Server(config).run([listener])


def listening(port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine, to this machine alone."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
        # Its connections inherit this. Without it each answer waits 40 ms for the browser to acknowledge its head.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise InkwellError(f"port {port} cannot be used: {error.strerror}; --port 0 takes a free one") from error


def tell(line: str) -> None:
    """Say something on the terminal."""
    print(printable(f"draw.py: {line}"), file=sys.stderr, flush=True)
