"""What a configuration may not decide by itself when it comes from a file: what is imported, and who is spoken to.

The user decides that, on the command line or in the environment, so that a file that somebody else wrote can change how
a model is trained and nothing else.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.config.schema import Config
from trainer.errors import UsageError
from trainer.registry import plugins
from trainer.runs.imports import import_named
from trainer.runs.provenance import without_password


def without_say(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a configuration file holds, without its modules and without the arguments of its plugins.

    What these are in the end, if this stands in the place of the file, is what the user says himself.
    """
    kept = {key: value for key, value in written.items() if key != "imports"}
    return {**kept, "plugins": {name: {} for name in written["plugins"]}} if "plugins" in written else kept


def import_trusted(config: Config, said: Config, whose: str) -> None:
    """Import the modules of a configuration that the user names too; refuse those that only a file names.

    Args:
        config: The configuration.
        said: The part of it that the user states; see `without_say`.
        whose: The file, for messages.

    Raises:
        UsageError: If a module comes from the file alone, or cannot be imported; the message ends with the flags to
            add.
    """
    import_named([module for module in config.imports if module in said.imports], config.imports, whose)


def check_addresses(config: Config, said: Config, root: Path, whose: str) -> None:
    """Refuse addresses that only a file names; what the configuration names must have been imported.

    Args:
        config: The configuration.
        said: The part of it that the user states; see `without_say`.
        root: The folder of the runs, in which a store may lie whoever chose it.
        whose: The file, for messages.

    Raises:
        UsageError: If an address comes from the file alone; the message ends with the flags to add.
    """
    for name, key, address in addresses(config):
        if address != said.plugins.get(name, {}).get(key) and not _is_below(root, address):
            shown = without_password(address)
            raise UsageError(
                f"{whose} has plugin {name!r} speak to {shown}; if you trust it, add {flag(name, key, shown)}"
            )


def flags(config: Config) -> list[str]:
    """Return the flags of `fit.py` by which a user says what a file with this configuration may not decide."""
    modules = [part for module in config.imports for part in ("--import", module)]
    return [*modules, *(part for found in addresses(config) for part in ("--plugin", _spec(*found)))]


def flag(plugin: str, key: str, value: str) -> str:
    """Return the flag that gives a plugin an argument, as a shell takes it."""
    return f"--plugin {shlex.quote(_spec(plugin, key, value))}"


def _spec(plugin: str, key: str, value: str) -> str:
    return f"{plugin}:{key}={value}" if re.fullmatch(r"[\w./:@*%+-]+", value) else f"{plugin}:{key}='{value}'"


def addresses(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield the addresses in a configuration that the environment does not name too: plugin, argument and address.

    Raises:
        UsageError: If a plugin is unknown or cannot be loaded.
    """
    for name, arguments in config.plugins.items():
        for key, variable in getattr(plugins.resolve(name), "addresses", {}).items():
            address = arguments.get(key)
            if isinstance(address, str) and address and address != os.environ.get(variable):
                yield name, key, address


def _is_below(root: Path, address: str) -> bool:
    """Return whether an address is that of a file or folder below `root`, links followed."""
    found = re.fullmatch(r"(?:sqlite:///|file://|(?=\.?/))([^?#\0]+)", address)
    try:
        return found is not None and Path(found[1]).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # a name too long, links in a circle
        return False
