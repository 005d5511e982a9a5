"""Limits of the page: time, connections, memory, pictures to keep.

Apart from the interpreter, the server's memory is bounded by `BODIES` plus 0.4 MB for each of `CONNECTIONS`.
"""

from __future__ import annotations

CONNECTIONS = 400
"""Open connections; beyond it, the client with the most loses the one that has stalled for longest."""

BACKLOG = 100
"""Connections that can be accepted at once before any is dropped."""

OPEN_FILES = CONNECTIONS + BACKLOG + 50
"""Files that the process must be allowed to open: connections, the reader's pipes, libraries."""

CLIENT_SECONDS = 10.0
"""Maximum time to wait for the headers of a connection's next request, or for the client to read an answer."""

BODY_SECONDS = 20.0
"""Maximum time to receive the body of a request."""

SMALL_BODY = 64_000
"""Bytes of each body that do not count towards `BODIES`, so that drawings get in while photos fill it."""

BODIES = 100_000_000
"""Bytes of all bodies that are arriving or waiting; a single client gets at most half of them."""

DROPPED = 200_000_000
"""Bytes of an oversized body that are received anyway, so that the refusal reaches the client."""

QUEUE = 200
"""Pictures waiting to be read; beyond it, the client with the most loses its newest."""

WAITING_SECONDS = 120.0
"""Maximum time that a picture waits for its turn, including the time to load the model."""

READING_SECONDS = 30.0
"""Maximum time to read one picture; a photo takes less than a second."""

LOADING_SECONDS = 600.0
"""Maximum time to load the model."""

LOADING_TRIES = 3
"""Attempts to load the model before the page gives up."""

INBOX_FILES = 10_000
"""Maximum number of files in the inbox."""

INBOX_BYTES = 1_000_000_000
"""Maximum total size of the files in the inbox."""

SPARED_BYTES = 500_000_000
"""Bytes that the inbox leaves free on its disk."""

KEPT_PER_MINUTE = 60
"""Maximum number of new pictures that one client may add to the inbox per minute."""
