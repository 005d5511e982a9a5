"""Registries of models, plugins, data sources and tasks by name.

A name comes from a table (listed without importing its module), from the decorator `register`, or from an entry point
of another installed package. Its module is imported only when the name is used. Inkwell's own tables are in the
packages whose modules they list, which are imported on the first lookup.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, wraps
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from trainer.errors import UsageError, did_you_mean, explain, unknown
from trainer.startup import keras_defaults
from trainer.text import first_line

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry:
    """One name of a registry, with its location and one line of help."""

    name: str
    target: str  # "module:attribute"
    help: str = ""
    distribution: str = ""  # the package that offers it by entry point; empty for table entries and registered objects
    load: Callable[[], Any] | None = None

    def resolve(self, kind: str) -> Any:
        """Import and return the registered object.

        Raises:
            UsageError: If another package's module cannot be imported; the message names the package.
        """
        if self.load is None:
            module, _, attribute = self.target.partition(":")
            return getattr(import_module(module), attribute)
        try:
            return self.load()
        except Exception as error:  # a third-party module may raise anything
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UsageError(f"cannot load {kind} {self.name!r} of package {self.distribution}: {reason}") from error


class Registry:
    """A strict, lazy table of names.

    Args:
        kind: Kind of the registered objects, for messages (`"model"`).
        group: Entry point group for other packages (`"inkwell.models"`).
        homes: Inkwell's packages with tables for this registry, such as `("models",)`.
        around: Creates the context in which registered functions run; default: no context.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        homes: Sequence[str] = (),
        around: Callable[[], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.kind = kind
        self.group = group
        self._around = around
        self._homes = tuple(homes)
        self._entries: dict[str, Entry] = {}

    def table(self, entries: Mapping[str, tuple[str, str]]) -> None:
        """Add names whose modules are imported only on use: `{name: ("module:attribute", help)}`."""
        for name, (target, text) in entries.items():
            self._add(Entry(name, target, text))

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a function or class as `name` and returns it.

        Raises:
            UsageError: If the name is already taken by another object.
        """

        def decorate(item: T) -> T:
            if self._around is not None and inspect.isfunction(item):
                item = _within(self._around, item)
            text = (inspect.getdoc(item) or "").partition("\n")[0]
            load = (lambda: item) if item.__module__ == "__main__" or "<locals>" in item.__qualname__ else None
            self._add(Entry(name, f"{item.__module__}:{item.__qualname__}", text, load=load))
            return item

        return decorate

    def _add(self, entry: Entry) -> None:
        held = self._entries.get(entry.name)
        if held is None:
            self._entries[entry.name] = entry
        elif held.target != entry.target:
            raise UsageError(
                f"{self.kind} name {entry.name!r} is taken by {held.target}; choose another name for {entry.target}"
            )

    def _fill(self) -> None:
        """Import the packages with tables before the first lookup; earlier registrations are listed after them."""
        if not self._homes:
            return
        homes, self._homes = self._homes, ()
        early, self._entries = self._entries, {}
        try:
            for home in homes:
                import_ours(home)
        except BaseException:  # so that the next lookup reports the same
            self._homes, self._entries = homes, {**early, **self._entries}
            raise
        for entry in early.values():
            self._add(entry)

    def entries(self) -> list[Entry]:
        """Return all entries, in the order of registration and then those of other packages, without importing them.

        Raises:
            UsageError: If another package hides one of Inkwell's, or a name has two meanings.
        """
        self._fill()
        theirs = (_entry(point) for point in _points(self.group))
        return [*self._entries.values(), *(entry for entry in theirs if not self._registers(entry))]

    def _registers(self, entry: Entry) -> bool:
        """Return True if the package of an entry point has also registered its name, which is then not ambiguous."""
        held = self._entries.get(entry.name)
        return held is not None and _package(held.target) == _package(entry.target)

    def find(self, name: str) -> Entry:
        """Return the entry of `name` without importing it.

        Raises:
            UsageError: If the name is unknown (with a suggestion) or ambiguous, or another package hides one of
                Inkwell's.
        """
        found = [entry for entry in self.entries() if entry.name == name]
        if not found:
            raise unknown(self.kind, name, dict.fromkeys(entry.name for entry in self.entries()))
        if len(found) > 1:
            holders = " and ".join(entry.distribution or entry.target for entry in found)
            raise UsageError(f"{self.kind} name {name!r} is offered by {holders}; uninstall or rename one of them")
        return found[0]

    def resolve(self, name: str) -> Any:
        """Import and return the object registered as `name`.

        Raises:
            UsageError: If the name is unknown or ambiguous, or its package cannot be imported.
        """
        return self.find(name).resolve(self.kind)

    def build(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call the object registered as `name`; keyword arguments are converted to their annotated types.

        Raises:
            UsageError: If an argument is missing, unknown, of the wrong type or refused by the callee (`ValueError`).
        """
        builder = self.resolve(name)
        kwargs = self.check(name, builder, *args, **kwargs)
        try:
            return builder(*args, **kwargs)
        except ValueError as error:
            raise UsageError(f"{self.kind} {name!r}: {first_line(error)}") from error

    def check(self, name: str, builder: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return `kwargs` converted to the types that `builder` declares, without calling it.

        Raises:
            UsageError: If an argument is missing, unknown or of the wrong type; the message shows the signature.
        """
        signature = inspect.signature(builder)
        parameters = list(signature.parameters.values())[len(args) :]
        takes = _describe(builder, parameters)
        if all(parameter.kind != parameter.VAR_KEYWORD for parameter in parameters):
            names = [parameter.name for parameter in parameters]
            for key in kwargs:
                if key not in names:
                    near = did_you_mean(key, names) or ";"
                    raise UsageError(f"{self.kind} {name!r} has no argument {key!r}{near} it takes {takes}")
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise UsageError(f"{self.kind} {name!r}: {error}; it takes {takes}") from error
        return {key: self._convert(name, builder, key, value, takes) for key, value in kwargs.items()}

    def _convert(self, name: str, builder: Callable[..., Any], key: str, value: Any, takes: str) -> Any:
        from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError

        try:
            return TypeAdapter(_hint(builder, key, ranges=True)).validate_python(value)
        except (PydanticUserError, PydanticUndefinedAnnotation):
            return value  # only the builder itself can check this type
        except ValidationError as error:
            reason = explain(error.errors()[0])
            raise UsageError(f"{self.kind} {name!r}: {key}={value!r}: {reason}; it takes {takes}") from error


def _hint(builder: Callable[..., Any], key: str, ranges: bool) -> Any:
    """Return the declared type of one argument; `Any` if it is not declared or cannot be resolved.

    Other arguments are not resolved, since their types may be imported for type checkers only.

    Args:
        builder: A function or class.
        key: Name of the argument.
        ranges: Keep the metadata of `Annotated`.
    """
    function: Any = inspect.unwrap(vars(builder).get("__init__", builder) if inspect.isclass(builder) else builder)
    declared = {key: getattr(function, "__annotations__", {}).get(key, Any)}
    names = getattr(function, "__globals__", {})
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__=declared), names, include_extras=ranges)[key]
    except Exception:  # a third-party annotation may be anything
        return Any


def _describe(builder: Callable[..., Any], parameters: list[inspect.Parameter]) -> str:
    """Return the parameters that a user may set, as `(patience: int = 5, …)`, with type aliases expanded."""
    texts = []
    for parameter in parameters:
        text = str(parameter.replace(default=parameter.empty, annotation=parameter.empty))
        declared = _hint(builder, parameter.name, ranges=False)
        if declared is not Any:
            text += f": {inspect.formatannotation(declared)}"
        texts.append(text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}")
    return f"({', '.join(texts)})" if texts else "no arguments"


def is_offered(module: str) -> bool:
    """Return True if an installed package offers an object of a module, or of one inside it, by entry point."""
    groups = (registry.group for registry in (models, plugins, data_sources, tasks))
    offering = (point.module for group in groups for point in _points(group))
    return any(f"{offered}.".startswith(f"{module}.") for offered in offering)


@cache
def _points(group: str) -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=group), key=lambda point: (point.name, point.value)))


def _within(around: Callable[[], AbstractContextManager[None]], function: T) -> T:
    @wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with around():
            return function(*args, **kwargs)

    return cast(T, inside)


def _package(target: str) -> str:
    return re.split("[.:]", target, maxsplit=1)[0]


def _entry(point: EntryPoint) -> Entry:
    distribution = _package(point.value)
    metadata = point.dist.metadata if point.dist is not None else None
    if metadata is not None and "Name" in metadata and "Version" in metadata:  # a partly removed package has none
        distribution = f"{metadata['Name']} {metadata['Version']}"
    return Entry(point.name, point.value, f"from {distribution}", distribution, point.load)


HOME = Path(__file__).resolve().parents[1]
"""The folder of Inkwell's packages: the project, or `site-packages`."""


def import_ours(package: str) -> None:
    """Import one of Inkwell's packages, unless another package of the same name hides it.

    Raises:
        UsageError: If it is missing or hidden; the message names the file that hides it.
    """
    spec = find_spec(package)
    if spec is None:
        raise UsageError(f"Inkwell's package {package!r} is missing from {HOME}; install Inkwell again")
    if not _is_ours(spec):
        found = spec.origin or next(iter(spec.submodule_search_locations or ()), "nowhere")
        raise UsageError(
            f"{found} was found in the place of Inkwell's package {package!r}; rename or uninstall it, "
            "or take its folder off the path"
        )
    import_module(package)


def _is_ours(spec: ModuleSpec) -> bool:
    return spec.origin is not None and Path(spec.origin).resolve().parent == HOME.joinpath(*spec.name.split("."))


models = Registry("model", "inkwell.models", ["models"], keras_defaults)
plugins = Registry("plugin", "inkwell.plugins", ["plugins"])
data_sources = Registry("data source", "inkwell.data", ["trainer.data.sources"])
tasks = Registry("task", "inkwell.tasks", ["trainer.tasks", "models"])
