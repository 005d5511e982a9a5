"""The process that a run belongs to."""

from __future__ import annotations

import os
from typing import Any


def this_process() -> dict[str, Any]:
    """Return the identity of this process: `pid` and `host`."""
    return {"pid": os.getpid(), "host": this_host()}


def this_host() -> str:
    """Return the name of this machine."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")
