"""Hook calls: in order, timed, and with an error that names the failing plugin."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trainer.engine.ledger import Ledger
from trainer.errors import InkwellError, PluginError
from trainer.files import append, to_json
from trainer.plugin import Plugin, overrides
from trainer.run import Run
from trainer.runs.directory import ERRORS

Hook = Callable[[Any, Run], None]


class Hooks:
    """The plugins of one run.

    An observer that raises is disabled with one warning: after that only its `on_fit_end` is called, so that it can
    close what it opened. An exception in any other plugin becomes a `PluginError` that names the plugin and the hook.
    """

    def __init__(self, plugins: Sequence[Plugin], run: Run, ledger: Ledger) -> None:
        self.plugins = list(plugins)
        self.run, self.ledger = run, ledger
        self._disabled: set[str] = set()

    def check(self) -> None:
        """Call each plugin's `check`, in order.

        Raises:
            UsageError: If a plugin refuses the run.
        """
        for plugin in self.plugins:
            plugin.check(self.run)

    def call(self, hook: Hook, plugins: Sequence[Plugin] | None = None) -> None:
        """Call a hook, such as `Plugin.on_epoch_end`, of all plugins or of those given, in order.

        Raises:
            PluginError: If a plugin that steers training raises.
        """
        for plugin in self.plugins if plugins is None else plugins:
            self.call_one(hook, plugin)

    def call_one(self, hook: Hook, plugin: Plugin) -> None:
        """Call a hook of one plugin, unless the plugin does not override it or is disabled."""
        name = hook.__name__
        disabled = plugin.name in self._disabled
        if not overrides(plugin, name) or (disabled and name != "on_fit_end"):
            return
        try:
            with self.ledger(f"plugins.{plugin.name}"):
                getattr(plugin, name)(self.run)
        except Exception as error:  # a plugin may raise anything
            if disabled:
                return
            self._failed(plugin, name, error)

    def _failed(self, plugin: Plugin, name: str, error: Exception) -> None:
        message = f"plugin {plugin.name!r} failed in {name}: {_one_line(error)}{self._keep_traceback(error)}"
        if not plugin.observer:
            raise PluginError(message) from error
        self._disabled.add(plugin.name)
        self.run.warn(f"{message}; the plugin is disabled and training continues")

    def states(self) -> dict[str, Any]:
        """Return the state of each plugin by name; an observer whose `state` fails is disabled.

        Raises:
            PluginError: If a plugin that steers training raises, or returns a state that JSON cannot represent.
        """
        states = {}
        for plugin in self.plugins:
            if plugin.name not in self._disabled:
                try:
                    states[plugin.name] = json.loads(to_json(plugin.state()))
                except Exception as error:  # a plugin may raise anything
                    self._failed(plugin, "state", error)
        return states

    def _keep_traceback(self, error: Exception) -> str:
        """Append the traceback of a plugin's bug to the run's error log; return a note on its location."""
        if self.run.directory is None or isinstance(error, InkwellError):
            return ""
        log: Path = self.run.directory / ERRORS
        try:
            append(log, "".join(traceback.format_exception(error)))
        except OSError:
            return ""
        return f" (traceback in {log})"


def _one_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, InkwellError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
