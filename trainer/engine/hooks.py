"""Calls plugins: in order, timed, and with a failing plugin named."""

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

    An observer that raises is set aside with one warning: of its hooks only `on_fit_end` is called after that, so that
    it can close what it opened. A plugin that steers raises `PluginError`, which names it and the hook.
    """

    def __init__(self, plugins: Sequence[Plugin], run: Run, ledger: Ledger) -> None:
        self.plugins = list(plugins)
        self.run, self.ledger = run, ledger
        self._set_aside: set[str] = set()

    def check(self) -> None:
        """Let each plugin refuse the run, in order.

        Raises:
            UsageError: If one does.
        """
        for plugin in self.plugins:
            plugin.check(self.run)

    def call(self, hook: Hook, plugins: Sequence[Plugin] | None = None) -> None:
        """Call a hook (`Plugin.on_epoch_end`) of all plugins, or of some, in order.

        Raises:
            PluginError: If a plugin that steers training raises.
        """
        for plugin in self.plugins if plugins is None else plugins:
            self.call_one(hook, plugin)

    def call_one(self, hook: Hook, plugin: Plugin) -> None:
        """Call a hook of one plugin, unless it does not override it or was set aside."""
        name = hook.__name__
        aside = plugin.name in self._set_aside
        if not overrides(plugin, name) or (aside and name != "on_fit_end"):
            return
        try:
            with self.ledger(f"plugins.{plugin.name}"):
                getattr(plugin, name)(self.run)
        except Exception as error:  # a plugin may raise anything
            if aside:
                return
            self._failed(plugin, name, error)

    def _failed(self, plugin: Plugin, name: str, error: Exception) -> None:
        message = f"plugin {plugin.name!r} failed in {name}: {_one_line(error)}{self._keep_traceback(error)}"
        if not plugin.observer:
            raise PluginError(message) from error
        self._set_aside.add(plugin.name)
        self.run.warn(f"{message}; it is set aside and training continues")

    def states(self) -> dict[str, Any]:
        """Return what each plugin must remember, by name; an observer that cannot say is set aside.

        Raises:
            PluginError: If a plugin that steers training raises, or returns what JSON cannot hold.
        """
        states = {}
        for plugin in self.plugins:
            if plugin.name not in self._set_aside:
                try:
                    states[plugin.name] = json.loads(to_json(plugin.state()))
                except Exception as error:  # a plugin may raise anything
                    self._failed(plugin, "state", error)
        return states

    def _keep_traceback(self, error: Exception) -> str:
        """Write the traceback of a plugin's bug where its author finds it; return where, for the message."""
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
