"""Checks of `manifest.json`, which may be forged or of another version."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from trainer.bounds.plain import parse_json
from trainer.checkpoint.content import LAYOUT, MANIFEST
from trainer.errors import CheckpointError, LayoutError, explain
from trainer.text import first_line, in_line

T = TypeVar("T")


def parse_manifest(path: Path, content: bytes) -> dict[str, Any]:
    """Return the content of the `manifest.json` in `path`, with a list of its variables at least.

    Raises:
        CheckpointError: If it cannot be read, or says nothing of variables.
        LayoutError: If another version wrote it.
    """
    try:
        manifest = parse_json(content)
        json.dumps(manifest, ensure_ascii=False).encode()  # half a character could be read and never written again
        check_layout(f"checkpoint {path}", manifest)
        _ = [(variable["name"], variable["shape"], variable["dtype"]) for variable in manifest["variables"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path}: {MANIFEST} cannot be read: {first_line(error)}") from error
    return manifest


def check_layout(what: str, written: Any) -> None:
    """Refuse what an older or newer version wrote.

    Args:
        what: What is being read, for the message: `runs/x`, `checkpoint runs/x/checkpoints/…`.
        written: The content of `run.json` or `manifest.json`; anything but a table is for others to refuse.

    Raises:
        LayoutError: If its layout is not `LAYOUT`; the message names the version that wrote it, and what to do.
    """
    if not isinstance(written, Mapping):
        return
    layout = written.get("layout", 1)
    if type(layout) is int and layout == LAYOUT:
        return
    versions = written.get("versions")
    version = versions.get("inkwell-trainer") if isinstance(versions, Mapping) else None
    author = f"Inkwell {in_line(version)}" if version else "another version of Inkwell"
    raise LayoutError(
        f"cannot read {what}: it has layout {in_line(layout)}, written by {author}; this version reads layout "
        f"{LAYOUT}; read it with the version that wrote it, or train it again"
    )


@cache
def _adapter(schema: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def conform(schema: type[T], values: Any, whose: str) -> T:
    """Return values of a manifest, which may be forged or of another version, as a dataclass says that they are.

    Args:
        schema: A dataclass with types that pydantic checks; what it does not name is left out.
        values: A manifest or a part of it.
        whose: What to call the checkpoint in a message.

    Raises:
        CheckpointError: With the first value that is missing, or is of the wrong type or out of range.
    """
    from pydantic import ValidationError

    try:
        checked: T = _adapter(schema).validate_python(values)  # type: ignore[arg-type]  # a class can be a key
        return checked
    except ValidationError as error:
        problem = error.errors()[0]
        key = in_line(".".join(map(str, problem["loc"]))) or "all of it"
        is_missing = problem["type"] == "missing"
        fault = f"{key} is missing" if is_missing else f"{key} = {reprlib.repr(problem['input'])}: {explain(problem)}"
        raise CheckpointError(
            f"{whose} does not hold what a run writes: {MANIFEST}: {fault}; move its folder away to use another"
        ) from None
