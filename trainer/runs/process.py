"""The process that a run belongs to, and if it is still alive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil


def this_process() -> dict[str, Any]:
    """Return what identifies this process later: `pid`, `host` and `boot_id` (empty where the system has none)."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return {"pid": os.getpid(), "host": this_host(), "boot_id": boot.read_text().strip() if boot.exists() else ""}


def this_host() -> str:
    """Return the name of this machine."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def is_alive(pid: int | None, host: str, boot_id: str) -> bool:
    """Return whether a process lives on this machine, started since its last boot; this process does not count.

    A run whose process id is our own was trained by an earlier process that had the same id.
    """
    here = this_process()
    if (host, boot_id) != (here["host"], here["boot_id"]) or pid == here["pid"]:
        return False
    return pid is not None and 0 < pid < 2**31 and psutil.pid_exists(pid)
