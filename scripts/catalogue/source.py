"""The signature and docstring of a function or class, read from its source without importing it."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import griffe


class Argument(NamedTuple):
    """An argument that a user may set.

    Attributes:
        name: Its name.
        kind: Its type and range, in words.
        default: Its default as Python writes it; None if it has none.
        about: Its description in the docstring.
    """

    name: str
    kind: str
    default: str | None
    about: str


class Documented(NamedTuple):
    """The documentation of a function or class.

    Attributes:
        paragraphs: The text of the docstring.
        arguments: Arguments in the order of the signature.
        described: Description of each argument or attribute.
    """

    paragraphs: list[str]
    arguments: list[Argument]
    described: dict[str, str]


def documented(target: str) -> Documented:
    """Return the documentation of `package.module:name`.

    Raises:
        Exception: Whatever is wrong with a module of another package; a built-in one has no source.
    """
    thing = _find(target.replace(":", "."))
    sections = thing.docstring.parse("google", warnings=False) if thing.docstring else []
    text = next((section.value for section in sections if section.kind.value == "text"), "")
    signed = _signed(thing)
    said = {} if signed is thing else _described(signed)
    said |= _described(thing)
    arguments = [
        Argument(
            parameter.name,
            _in_words(parameter.annotation, signed),
            None if parameter.default is None else str(parameter.default),
            said.get(parameter.name, ""),
        )
        for parameter in signed.parameters
        if parameter.name != "self" and parameter.kind.value not in ("variadic positional", "variadic keyword")
    ]
    return Documented([" ".join(part.split()) for part in text.split("\n\n")], arguments, said)


def _described(thing: Any) -> dict[str, str]:
    """Return the description of each argument, or attribute of a dataclass, in a docstring."""
    sections = thing.docstring.parse("google", warnings=False) if thing.docstring else []
    lists = [section.value for section in sections if section.kind.value in ("parameters", "attributes")]
    return {item.name: " ".join(item.description.split()) for items in lists for item in items}


def _signed(thing: Any) -> Any:
    """Return the owner of the signature: a function, or the class that defines `__init__`, perhaps a base class."""
    while thing.is_class and not len(thing.parameters) and thing.bases:
        thing = _find(thing.bases[0].canonical_path)
    return thing


@cache
def _module(name: str) -> griffe.Module:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source of {name}", name=name)
    path = Path(spec.origin)
    return griffe.visit(name, filepath=path, code=path.read_text(encoding="utf-8"))


def _find(path: str) -> Any:
    """Return the object named `package.module.name`, wherever it is defined."""
    module, _, name = path.rpartition(".")
    thing = _module(module)[name]
    return _find(thing.target_path) if thing.is_alias else thing


WORDS = {
    **{"int": "whole number", "float": "number", "bool": "true or false", "str": "text", "Path": "path"},
    **{"tuple": "list", "list": "list", "Sequence": "list", "Mapping": "table", "dict": "table"},
}
"""Names of Python's types for people who write TOML."""


def _in_words(annotation: Any, near: Any) -> str:
    """Return a declared type in words; an alias with a docstring, other than of choices, is described by that.

    Args:
        annotation: An expression; None if nothing is declared.
        near: Object in whose module names are looked up.
    """
    text = re.sub(r" \| None$", "", str(annotation or ""))
    if choices := re.fullmatch(r"Literal\[(.*)\]", text):
        return "|".join(re.findall(r"'([^']*)'", choices[1]))
    if ranged := re.fullmatch(r"Annotated\[(\w+), (.*)\]", text):
        return f"{WORDS.get(ranged[1], ranged[1])} {_range(ranged[2])}".strip()
    word = WORDS.get(text.partition("[")[0])
    if word is not None or not re.fullmatch(r"[A-Za-z_][\w.]*", text):
        return word or text
    first, dot, rest = text.partition(".")
    try:
        alias = _find(near.module.resolve(first) + dot + rest)
    except (griffe.NameResolutionError, KeyError, ImportError):  # a type of Python's own, or of another package
        return text
    if alias.is_attribute and alias.docstring and not str(alias.value).startswith("Literal["):
        first = re.split(r"[:.](?:\s|$)", alias.docstring.value)[0]
        return re.sub(r"^(a|an|A|An) ", "", first)
    return _in_words(alias.value, alias) if alias.is_attribute else text


def _range(constraints: str) -> str:
    """Return the bounds of pydantic's `Field` in words."""
    bounds = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}
    found = dict(re.findall(r"\b(ge|gt|le|lt)=([\d.]+)(?=[,)])", constraints))
    return " ".join(words.format(found[name]) for name, words in bounds.items() if name in found)
