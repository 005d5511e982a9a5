"""Whether a download host answers, asked with a bound: TFDS itself would try for minutes."""

from __future__ import annotations

import queue
import threading

SECONDS = 4.0


def unreachable(url: str, seconds: float = SECONDS) -> str:
    """Return why nothing can be fetched from an address; an empty string if its host (or the proxy) answers.

    The question goes the way of the download: through `requests`, so with the same proxies and certificates.

    Args:
        url: An http(s) address; its path need not exist.
        seconds: Bound of the whole, name resolution included.
    """
    answer: queue.SimpleQueue[str] = queue.SimpleQueue()
    # Name resolution cannot be given a timeout, hence a thread that may be left behind.
    threading.Thread(target=lambda: answer.put(_ask(url, seconds)), daemon=True).start()
    try:
        return answer.get(timeout=seconds)
    except queue.Empty:
        return f"no answer within {seconds:g} s"


def _ask(url: str, seconds: float) -> str:
    import requests

    try:
        status = requests.head(url, timeout=seconds, allow_redirects=False).status_code
    except (OSError, ValueError) as error:  # what requests raises, and urllib3 for an odd address
        cause = getattr(error.args[0], "reason", error) if error.args else error
        return str(cause).rpartition("): ")[2] or type(error).__name__
    # Any other answer, 404 included, is from a host that is there; these, from a proxy or a host in trouble.
    return f"answered {status}" if status == 407 or status >= 500 else ""
