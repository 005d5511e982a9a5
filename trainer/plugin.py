"""The plugin contract: a plain object with a few hooks, each of which takes one argument, the `Run`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.errors import HookError, UsageError, did_you_mean

if TYPE_CHECKING:
    from trainer.run import Run


@dataclass(frozen=True)
class Every:
    """How often something wants to be looked at; at most one of the three is given, and is positive.

    None given, `Every()`, is at the end of every span: whenever training pauses for anybody, and twice a second.

    Attributes:
        steps: Every n optimizer steps, counted over the whole run.
        epochs: Every n epochs, at the end of the epoch.
        seconds: At the first span end after that many seconds of wall time.
    """

    steps: int | None = None
    epochs: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.steps, self.epochs, self.seconds) if value is not None]
        if len(given) > 1 or any(value <= 0 for value in given):
            raise ValueError(f"give one of steps, epochs or seconds, greater than 0: {vars(self)}")

    def __str__(self) -> str:
        unit, value = next(((k, v) for k, v in vars(self).items() if v is not None), ("spans", 1))
        return f"every {unit.removesuffix('s')}" if value == 1 else f"every {value} {unit}"


class Plugin:
    """Base class of every plugin: override the hooks you need, and `state`/`restore` if you remember anything.

    Hooks run in the order in which plugins are listed; `on_fit_end` runs in reverse order, for every plugin whose
    `on_fit_start` was reached, also after an exception. A method that begins with `on_` and is not a hook is an
    error when the class is defined. To end training call `run.stop("reason")`; never raise for it.

    Attributes:
        name: Key of the plugin's state in checkpoints and its name in messages; default: the class name in snake case.
        observer: Whether the plugin only watches. An observer that raises is set aside with one warning and training
            goes on; a plugin that steers training (the default) ends the run with an error that names it.
        every: When `on_step_end` is called. Steps between two calls run as one compiled call.
        checkpoints: How many checkpoints it keeps at most, so that the disk can be looked at before step 0.
        gradient_norms: Whether `run.gradient_norms` must be filled, which costs a little at every step.
        monitors: Names of logged values that the plugin reads; an unknown one is an error before step 0.
        logs: Names of values that the plugin adds with `run.log`.
    """

    name: str = ""
    observer: ClassVar[bool] = False
    every: Every = Every(steps=1)
    checkpoints: int = 0
    gradient_norms: bool = False
    monitors: Collection[str] = ()
    logs: Collection[str] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for attribute in (name for name in dir(cls) if name.startswith("on_")):
            if attribute not in HOOKS:
                near = did_you_mean(attribute, HOOKS)
                raise HookError(f"{cls.__name__}.{attribute} is not a hook{near} (hooks: {', '.join(HOOKS)})")
            hook = inspect.getattr_static(cls, attribute)
            if inspect.isfunction(hook) and len(inspect.signature(hook).parameters) != 2:
                raise HookError(f"{cls.__name__}.{attribute} must take one argument besides self, the run")
        if isinstance(cls.monitors, str) or isinstance(cls.logs, str):
            raise HookError(f"{cls.__name__}: monitors and logs are tuples of names, such as ('val_loss',)")
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()

    def on_fit_start(self, run: Run) -> None:
        """Called once, before the first step; the run directory and its configuration exist."""

    def on_epoch_start(self, run: Run) -> None:
        """Called before the first step of an epoch; `run.epoch` is the 1-based number of the epoch."""

    def on_step_end(self, run: Run) -> None:
        """Called after an optimizer step, as often as `every` says; reading `run.loss` waits for the device."""

    def on_validation_start(self, run: Run) -> None:
        """Called before the first batch of a validation."""

    def on_validation_step(self, run: Run) -> None:
        """Called about twice a second during a validation; see `run.validation_step`."""

    def on_validation_end(self, run: Run) -> None:
        """Called after a validation; `run.logs` holds its `val_` values."""

    def on_epoch_end(self, run: Run) -> None:
        """Called after an epoch and its validation; `run.logs` holds training and `val_` values together."""

    def on_test_end(self, run: Run) -> None:
        """Called after the one evaluation on test data, with the chosen weights; `run.result` holds it."""

    def on_exception(self, run: Run) -> None:
        """Called when training ends by an exception, which is `run.error`."""

    def on_fit_end(self, run: Run) -> None:
        """Called last, in reverse order, however the run ended; `run.status` says how."""

    def state(self) -> dict[str, Any]:
        """Return what the plugin must remember when a run is resumed, as values that JSON can hold."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""


HOOKS: tuple[str, ...] = tuple(name for name in vars(Plugin) if name.startswith("on_"))


def overrides(plugin: Plugin, hook: str) -> bool:
    """Return whether `plugin` does anything in `hook`; the engine never calls a hook that nobody wrote."""
    return inspect.getattr_static(type(plugin), hook) is not inspect.getattr_static(Plugin, hook)


def check_plugins(plugins: Iterable[Plugin], logged: Collection[str]) -> list[str]:
    """Return all names that will be logged, `logged` and those that plugins add, if `plugins` fit together.

    Args:
        plugins: The plugins of one run, in their order.
        logged: Names that the engine and the task log (`"loss"`, `"val_loss"`).

    Raises:
        UsageError: If two plugins have one name, or one monitors a name that nobody logs (with a suggestion).
    """
    plugins = list(plugins)
    names = [plugin.name for plugin in plugins]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"plugin {name!r} is listed twice; give one of them another `name`")
    known = sorted({*logged, *(name for plugin in plugins for name in plugin.logs)})
    for plugin in plugins:
        for monitor in plugin.monitors:
            if monitor not in known:
                raise UsageError(
                    f"plugin {plugin.name!r} monitors {monitor!r}, which is not logged"
                    f"{did_you_mean(monitor, known)} (logged: {', '.join(known)})"
                )
    return known
