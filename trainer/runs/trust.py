"""Limits on configuration files: on their own they may neither import modules nor name addresses to contact.

The user decides both, on the command line or in the environment, so that somebody else's file can change how a model is
trained and nothing else.
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
    """Return the content of a configuration file without its modules and without the arguments of its plugins.

    Resolved in place of the file, it leaves only those modules and arguments that the user gives.
    """
    kept = {key: value for key, value in written.items() if key != "imports"}
    return {**kept, "plugins": {name: {} for name in written["plugins"]}} if "plugins" in written else kept


def import_trusted(config: Config, given: Config, whose: str) -> None:
    """Import the modules of a configuration that the user names too; refuse those that only a file names.

    Args:
        config: The configuration.
        given: The part of the configuration that the user gave; see `without_say`.
        whose: Name of the file in messages.

    Raises:
        UsageError: If only the file names a module, or a module cannot be imported; the message ends with the flags to
            add.
    """
    import_named([module for module in config.imports if module in given.imports], config.imports, whose)


def check_addresses(config: Config, given: Config, root: Path, whose: str) -> None:
    """Refuse addresses that only a file names; the modules of the configuration must have been imported.

    Args:
        config: The configuration.
        given: The part of the configuration that the user gave; see `without_say`.
        root: The folder of the runs, in which any store is allowed.
        whose: Name of the file in messages.

    Raises:
        UsageError: If only the file names an address; the message ends with the flags to add.
    """
    for name, key, address in addresses(config):
        if address != given.plugins.get(name, {}).get(key) and not _is_below(root, address):
            shown = without_password(address)
            raise UsageError(
                f"{whose} makes plugin {name!r} contact {shown}; if you trust it, add {flag(name, key, shown)}"
            )


def flags(config: Config) -> list[str]:
    """Return the flags of `fit.py` that allow what a file with this configuration may not decide."""
    modules = [part for module in config.imports for part in ("--import", module)]
    return [*modules, *(part for found in addresses(config) for part in ("--plugin", _spec(*found)))]


def flag(plugin: str, key: str, value: str) -> str:
    """Return the flag that sets an argument of a plugin, quoted for a shell."""
    return f"--plugin {shlex.quote(_spec(plugin, key, value))}"


def _spec(plugin: str, key: str, value: str) -> str:
    return f"{plugin}:{key}={value}" if re.fullmatch(r"[\w./:@*%+-]+", value) else f"{plugin}:{key}='{value}'"


def addresses(config: Config) -> Iterator[tuple[str, str, str]]:
    """Yield the addresses in a configuration that the environment does not set: plugin, argument and address.

    Raises:
        UsageError: If a plugin is unknown or cannot be loaded.
    """
    for name, arguments in config.plugins.items():
        for key, variable in getattr(plugins.resolve(name), "addresses", {}).items():
            address = arguments.get(key)
            if isinstance(address, str) and address and address != os.environ.get(variable):
                yield name, key, address


def _is_below(root: Path, address: str) -> bool:
    """Return True if an address is that of a file or folder in `root`, with links resolved."""
    found = re.fullmatch(r"(?:sqlite:///|file://|(?=\.?/))([^?#\0]+)", address)
    try:
        return found is not None and Path(found[1]).resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # the name is too long, or links are circular
        return False
