"""The plugin contract: a plain object with a few hooks, each of which takes one argument, the `Run`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trainer.display.shown import Shown, arguments
from trainer.errors import HookError, UsageError, did_you_mean

if TYPE_CHECKING:
    from trainer.run import Run


@dataclass(frozen=True)
class Every:
    """A cadence, given in one of three units.

    `Every()`, without a unit, means the end of every span, that is, whenever training pauses for any reason, and at
    least twice per second.

    Attributes:
        steps: Number of optimizer steps between two calls, counted over the whole run.
        epochs: Number of epochs between two calls, which happen at the end of an epoch.
        seconds: Seconds of wall time between two calls, rounded up to the end of a span.

    Raises:
        ValueError: If more than one unit is given, or a value is not greater than 0.
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


class Plugin(Shown):
    """Base class of every plugin: override the hooks you need, and `state`/`restore` if you remember anything.

    Hooks run in the order in which plugins are listed, except that a plugin that monitors a value runs after the one
    that logs it (`in_order`). `on_fit_end` runs in reverse order, for every plugin whose `on_fit_start` was reached,
    also after an exception. To end training, call `run.stop("reason")` instead of raising.

    Mistakes that are visible in the class are errors at its definition: a method that begins with `on_` but is not a
    hook, a hook that does not take one argument, and `on_step_end` without an `every`.

    Attributes:
        name: Key of the plugin's state in checkpoints and its name in messages; default: the class name in snake case.
        observer: True if the plugin only watches. An observer that raises is disabled with one warning and training
            continues; an exception in a plugin that steers training (the default) ends the run with an error.
        writes: True if the plugin does nothing but write about the run, in its directory or elsewhere; the default
            plugins omit it if nothing is written.
        addresses: Arguments that name an address to contact, each with the environment variable that also sets it. A
            configuration file alone may not set them, except to a path in the folder of the runs.
        every: Cadence of `on_step_end`; a class with that hook must choose one. Steps between two calls run as one
            compiled call. `__init__` may replace the value of the class.
        checkpoints: Maximum number of checkpoints that the plugin keeps, used to check the disk space before step 0.
        gradient_norms: True if the plugin reads `run.gradient_norms`, which slows down every step slightly.
        monitors: Names of logged values that the plugin reads; an unknown name is an error before step 0.
        logs: Names of values that the plugin adds with `run.log`.
    """

    name: str = ""
    observer: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    addresses: ClassVar[Mapping[str, str]] = {}
    every: Every = Every()
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
        if _overrides(cls, "on_step_end") and not any("every" in vars(c) for c in cls.__mro__ if c is not Plugin):
            raise HookError(
                f"{cls.__name__} has on_step_end but no `every`; set every = Every(steps=100) or Every(seconds=1), or "
                "Every(steps=1) to be called after every step, which costs a small model up to a fifth of its speed"
            )
        if isinstance(cls.monitors, str) or isinstance(cls.logs, str):
            raise HookError(f"{cls.__name__}: monitors and logs must be tuples of names, such as ('val_loss',)")
        if "name" not in vars(cls):
            cls.name = snake_case(cls.__name__)

    def _line(self) -> str:
        return arguments(self, without=self.addresses)

    def check(self, run: Run) -> None:
        """Refuse a run that the plugin does not support; called before step 0, when nothing is written yet.

        Raises:
            UsageError: If the run is not supported; the message has the reason and what to do.
        """

    def on_fit_start(self, run: Run) -> None:
        """Called once per `fit`, before the first step; the run directory and its configuration exist."""

    def on_epoch_start(self, run: Run) -> None:
        """Called before the first step of an epoch; `run.epoch` is its 1-based number."""

    def on_step_end(self, run: Run) -> None:
        """Called after optimizer steps, as often as `every` says; reading `run.loss` waits for the device."""

    def on_validation_start(self, run: Run) -> None:
        """Called before the first batch of a validation, with the weights that are about to be validated."""

    def on_validation_step(self, run: Run) -> None:
        """Called about twice per second during a validation; see `run.validation_step`."""

    def on_validation_end(self, run: Run) -> None:
        """Called after a validation, with the weights that were validated; `run.logs` holds its `val_` values."""

    def on_epoch_end(self, run: Run) -> None:
        """Called after an epoch and its validation; `run.logs` holds training and `val_` values together."""

    def on_test_end(self, run: Run) -> None:
        """Called after the final evaluation on the test data, with the selected weights; `run.result` holds it."""

    def on_exception(self, run: Run) -> None:
        """Called when an exception ends training; it is `run.error`."""

    def on_fit_end(self, run: Run) -> None:
        """Called last, in reverse order, however the run ended; see `run.status`."""

    def state(self) -> dict[str, Any]:
        """Return the state that a resumed run needs, as values that JSON can represent."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a state returned by `state`."""


HOOKS: tuple[str, ...] = tuple(name for name in vars(Plugin) if name.startswith("on_"))


def snake_case(name: str) -> str:
    """Return a name in CamelCase as words joined by underscores: `NanGuard` becomes `nan_guard`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def overrides(plugin: Plugin, hook: str) -> bool:
    """Return True if `plugin` overrides `hook`; the engine never calls other hooks."""
    return _overrides(type(plugin), hook)


def _overrides(cls: type[Plugin], hook: str) -> bool:
    return inspect.getattr_static(cls, hook) is not inspect.getattr_static(Plugin, hook)


def in_order(plugins: Iterable[Plugin]) -> list[Plugin]:
    """Return the plugins in the order in which their hooks run.

    This is the order given, except that a plugin that logs a value moves ahead of the first one that monitors it.

    Args:
        plugins: The plugins of one run.

    Raises:
        UsageError: If an object is not a plugin, or plugins depend on each other in a cycle; the message names them.
    """
    given, placed = list(plugins), list[int]()
    for plugin in given:
        if not isinstance(plugin, Plugin):
            raise UsageError(_not_a_plugin(plugin))

    def place(one: int, waiting: list[int]) -> None:
        if one in waiting:
            raise UsageError(_cycle([given[k] for k in waiting[waiting.index(one) :]]))
        if one not in placed:
            for other, plugin in enumerate(given):
                if other != one and set(plugin.logs) & set(given[one].monitors):
                    place(other, [*waiting, one])
            placed.append(one)

    for number in range(len(given)):
        place(number, [])
    return [given[number] for number in placed]


def _not_a_plugin(value: Any) -> str:
    """Return the error message for a value that is not a plugin."""
    if inspect.isclass(value):
        return f"{value.__name__} is a class; pass an instance: {value.__name__}()"
    kind = type(value)
    return (
        f"{kind.__name__} of {kind.__module__} is not a plugin; plugins are instances of subclasses of trainer.Plugin"
    )


def _cycle(plugins: list[Plugin]) -> str:
    """Return the error message for a cycle of plugins, each of which monitors a value that the next one logs."""
    pairs = zip(plugins, [*plugins[1:], plugins[0]], strict=True)
    links = [
        f"{one.name!r} monitors {min(set(one.monitors) & set(other.logs))!r}, which {other.name!r} logs"
        for one, other in pairs
    ]
    return f"plugins depend on each other in a cycle: {'; '.join(links)}; remove one, or monitor another value"


def check_plugins(plugins: Iterable[Plugin], logged: Collection[str]) -> list[str]:
    """Check that plugins are compatible; return all names that will be logged, sorted.

    Args:
        plugins: The plugins of one run.
        logged: Names that the engine and the task log (`"loss"`, `"val_loss"`).

    Raises:
        UsageError: If two plugins have the same name, or one monitors a name that is not logged (with a suggestion).
    """
    plugins = list(plugins)
    names = [plugin.name for plugin in plugins]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"plugin {name!r} is listed twice; remove one or change its `name`")
    known = sorted({*logged, *(name for plugin in plugins for name in plugin.logs)})
    for plugin in plugins:
        for monitor in plugin.monitors:
            if monitor not in known:
                raise UsageError(
                    f"plugin {plugin.name!r} monitors {monitor!r}, which is not logged"
                    f"{did_you_mean(monitor, known)} (logged: {', '.join(known)})"
                )
    return known
