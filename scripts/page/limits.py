"""Limits of the page: time, connections, memory, pictures to keep.

The memory of the server is bounded by `BODIES`, and 0.4 MB for each of `CONNECTIONS`, beside the interpreter.
"""

from __future__ import annotations

CONNECTIONS = 400
"""Open connections; beyond, the client with the most of them loses the one that has kept us waiting longest."""

BACKLOG = 100
"""Connections that are accepted at once, before any is given up."""

OPEN_FILES = CONNECTIONS + BACKLOG + 50
"""Files that the process has to be allowed: the connections, the reader's pipes, libraries."""

CLIENT_SECONDS = 10.0
"""How long a connection may keep us waiting for the head of its next request, or for taking what we send."""

BODY_SECONDS = 20.0
"""How long the body of a request may take."""

SMALL_BODY = 64_000
"""Bytes of each body that count as none of `BODIES`, so that drawings get in while photos fill it."""

BODIES = 100_000_000
"""Bytes of all bodies that arrive or wait to be read; one client gets half of them at most."""

DROPPED = 200_000_000
"""Bytes of a body that is refused for its size which are received nevertheless, so that the refusal arrives."""

QUEUE = 200
"""Pictures that wait to be read; beyond, the client with the most of them loses its newest."""

WAITING_SECONDS = 120.0
"""How long a picture may wait for its turn, also while the model is loaded, again or for the first time."""

READING_SECONDS = 30.0
"""How long one picture may be read; a photo takes less than one second."""

LOADING_SECONDS = 600.0
"""How long the model may take to load."""

LOADING_TRIES = 3
"""Attempts to load the model before the page gives up."""

INBOX_FILES = 10_000
"""Files in the inbox."""

INBOX_BYTES = 1_000_000_000
"""Bytes of all files in the inbox."""

SPARED_BYTES = 500_000_000
"""Bytes of its disk that the inbox leaves free."""

KEPT_PER_MINUTE = 60
"""New pictures that one client may add to the inbox in a minute."""
