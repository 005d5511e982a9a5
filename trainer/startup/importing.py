"""Imports of large packages: without what is not needed, without the garbage collector, one thread at a time."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder

EXTRAS = ("IPython", "matplotlib", "pandas", "scipy", "sklearn")
"""Packages that TensorFlow and Keras import if they are installed, and that training does not need."""

IMPORTING = threading.RLock()
"""Held while TensorFlow, Keras or TFDS is imported in a process with several threads.

TFDS replaces Python's `__import__` for all threads while it imports anything, and spoils what others import meanwhile.
"""


@contextmanager
def collector_paused() -> Iterator[None]:
    """Import large packages without the garbage collector, which takes a quarter of the time and finds nothing.

    What was imported is left out of later collections too, by `gc.freeze`.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def without(packages: tuple[str, ...]) -> Iterator[None]:
    """Hide packages that are not imported yet, as if not installed, from this thread for the duration."""
    thread = threading.get_ident()

    class Refuse(MetaPathFinder):
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name in packages and threading.get_ident() == thread:
                raise ModuleNotFoundError(f"{name} is hidden", name=name)

    refuse = Refuse()
    sys.meta_path.insert(0, refuse)
    try:
        yield
    finally:
        sys.meta_path.remove(refuse)
