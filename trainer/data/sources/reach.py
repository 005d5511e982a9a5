"""A quick check that a download host answers; TFDS itself would try for minutes."""

from __future__ import annotations

import queue
import threading

SECONDS = 4.0


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
        cause = getattr(error.args[0], "reason", error) if error.args else error
        return str(cause).rpartition("): ")[2] or type(error).__name__
    # Any other answer, even 404, shows that the host is up; these mean a proxy or a host in trouble.
    return f"answered {status}" if status == 407 or status >= 500 else ""
