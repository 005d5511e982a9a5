"""Limits on download hosts that do not answer: TFDS itself would try for minutes, or wait forever."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 4.0
"""Time within which a host must answer at all."""
SILENCE = 10.0
"""Longest silence of a host in the middle of a download, in seconds."""
RETRIES = 1


def unreachable(url: str, seconds: float = SECONDS) -> str:
    """Return the reason why an address cannot be reached; an empty string if its host (or the proxy) answers.

    The check uses `requests`, as the download does, and so the same proxies and certificates.

    Args:
        url: An HTTP(S) address; its path need not exist.
        seconds: Time limit, including name resolution.
    """
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    # Name resolution has no timeout, hence a thread that may be abandoned.
    threading.Thread(target=lambda: answer.put(_ask(url, seconds)), daemon=True).start()
    try:
        return answer.get(timeout=seconds)
    except queue.Empty:
        return f"no answer within {seconds:g} s"


def _ask(url: str, seconds: float) -> str:
    import requests

    try:
        status = requests.head(url, timeout=seconds, allow_redirects=False).status_code
    except (OSError, ValueError) as error:  # raised by requests, and by urllib3 for invalid addresses
        return reason(error)
    # Any other answer, even 404, shows that the host is up; these mean a proxy or a host in trouble.
    return f"answered {status}" if status == 407 or status >= 500 else ""


def reason(error: BaseException) -> str:
    """Return the short cause of an error of `requests`, whose own text names its cause last."""
    cause = getattr(error.args[0], "reason", error) if error.args else error
    lines = str(cause).rpartition("): ")[2].strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def bounded_downloads() -> Iterator[None]:
    """Have whoever downloads by an adapter of `requests` of their own give up on a host that falls silent."""
    import requests

    adapters: Any = requests.adapters
    plain: Any = adapters.HTTPAdapter

    class Bounded(plain):
        def __init__(self, max_retries: Any = 0, **arguments: Any) -> None:
            super().__init__(max_retries=max_retries.new(total=RETRIES) if max_retries else 0, **arguments)

        def send(self, *arguments: Any, **named: Any) -> Any:
            return super().send(*arguments, **{**named, "timeout": named.get("timeout") or SILENCE})

    adapters.HTTPAdapter = Bounded
    try:
        yield
    finally:
        adapters.HTTPAdapter = plain
