"""Keeps the chatter of TensorFlow's C++ code off the terminal and out of notebooks."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, BinaryIO

CHATTER = re.compile(
    rb"^(?:WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} \d\d:\d\d:"
    rb"|fully_quantize: |INFO: Created TensorFlow Lite )"
)

GPU_DRIVERS = ("/dev/nvidiactl", "/dev/dxg")
"""Files of which there is one on a Linux machine with a GPU."""


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back whatever C++ code writes to stderr, and pass on all but the log lines known to be noise.

    TensorFlow logs before it reads its own log level, so no setting silences it. A full or closed stderr, or one
    without a reader, changes nothing.
    """
    try:
        kept, buffer = os.dup(2), _buffer_file()
    except OSError:  # stderr is closed, or there is nowhere to keep the lines
        yield
        return
    _flush_stderr()
    with buffer as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            _flush_stderr()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            with suppress(OSError):
                for line in held:
                    if not CHATTER.match(line):
                        os.write(2, line)


def _buffer_file() -> BinaryIO:
    """Return an open file: in memory on Linux, elsewhere in the temporary folder."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


def _flush_stderr() -> None:
    with suppress(OSError, ValueError, AttributeError):  # closed, missing, or without a reader
        sys.stderr.flush()


def quiet_tensorflow() -> None:
    """Keep TensorFlow quiet when it is imported later, by whomever."""
    if "tensorflow" not in sys.modules and not any(isinstance(each, _QuietTensorFlow) for each in sys.meta_path):
        sys.meta_path.insert(0, _QuietTensorFlow())


class _QuietTensorFlow(MetaPathFinder):
    """Import hook that keeps TensorFlow quiet, whoever imports it: a notebook would show its chatter in red."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec that the finders behind this one return, its loader made quiet."""
        if name != "tensorflow":
            return None
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def quietly(module: ModuleType) -> None:
                with without_chatter():
                    load(module)
                    module.get_logger().setLevel(max(module.get_logger().level, logging.WARNING))  # INFO in a notebook
                    if not any(map(os.path.exists, GPU_DRIVERS)):  # where there is one, a process that forks waits
                        module.config.list_physical_devices()  # the first look complains that there is no GPU

            spec.loader.exec_module = quietly  # type: ignore[method-assign]  # of this loader alone
        return spec
