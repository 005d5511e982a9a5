"""Exit of a script without Python's slow teardown of TensorFlow."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn


def leave(status: int) -> NoReturn:
    """End this program like the interpreter, but leave modules and objects to the operating system.

    A program with threads that Python waits for ends in the usual way.
    """
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.exit(status)
    atexit._run_exitfuncs()
    leave_threads(status)


def leave_threads(status: int) -> NoReturn:
    """End this program without waiting for its threads, one of which may be in the middle of a download."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # missing, or without a reader
            stream.flush()
    os._exit(status)
