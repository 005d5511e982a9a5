"""The provenance of a run: command, code and user, read from files alone in a millisecond."""

from __future__ import annotations

import getpass
import platform
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trainer.text import command_line, printable

PACKAGES = ("inkwell-trainer", "keras", "tensorflow", "numpy")


def provenance() -> dict[str, Any]:
    """Return the command line, the git commit of the script's folder (empty outside git), the user and versions."""
    return {
        "command": printable(without_password(command_line())),
        "git_commit": printable(git_commit(Path(sys.argv[0]).absolute().parent)),
        "user": printable(_user()),
        "versions": versions(),
    }


def without_password(text: str) -> str:
    """Return `text` with the password of every URI in it (`scheme://user:password@host`) replaced by `***`."""
    return re.sub(r"(://[^/@\s:]*):[^/@\s]*@", r"\1:***@", text)


def git_commit(folder: Path) -> str:
    """Return the commit checked out in the repository of `folder`, in hex; empty if unknown."""
    try:
        for place in (folder, *folder.parents):
            if (place / ".git").exists():
                return _head(_git_folder(place / ".git"))
    except (OSError, ValueError):  # a damaged repository is treated as unknown
        pass
    return ""


def _git_folder(git: Path) -> Path:
    """Return the folder of a repository; in a linked work tree, `.git` is a file that contains its path."""
    return git if git.is_dir() else git.parent / git.read_text().removeprefix("gitdir:").strip()


def _head(git: Path) -> str:
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    common = git / "commondir"  # names the folder of a linked work tree's branches
    shared = git / common.read_text().strip() if common.exists() else git
    if (shared / name).exists():
        return (shared / name).read_text().strip()
    packed = (shared / "packed-refs").read_text().splitlines()
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {name}")), "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the user of a container may have no name
        return ""


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that determine the results of a run."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


@cache  # needed for every checkpoint
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
