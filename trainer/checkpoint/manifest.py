"""Checks of `manifest.json`, which may be forged or from another version."""

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
    """Return the content of the `manifest.json` in `path`, which contains at least a list of variables.

    Raises:
        CheckpointError: If it cannot be read, or has no list of variables.
        LayoutError: If another version wrote it.
    """
    try:
        manifest = parse_json(content)
        json.dumps(manifest, ensure_ascii=False).encode()  # lone surrogates can be read but not written
        check_layout(f"checkpoint {path}", manifest)
        _ = [(variable["name"], variable["shape"], variable["dtype"]) for variable in manifest["variables"]]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {MANIFEST}: {first_line(error)}") from error
    return manifest


def check_layout(what: str, written: Any) -> None:
    """Refuse a run or checkpoint of an older or newer version.

    Args:
        what: Name of the run or checkpoint in the message: `runs/x`, `checkpoint runs/x/checkpoints/…`.
        written: The content of `run.json` or `manifest.json`; anything but a table is ignored.

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
        f"{LAYOUT}; read it with the version that wrote it, or train again"
    )


@cache
def _adapter(schema: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def conform(schema: type[T], values: Any, whose: str) -> T:
    """Return values of a manifest, which may be forged or from another version, as an instance of a dataclass.

    Args:
        schema: A dataclass with types that pydantic checks; other keys are ignored.
        values: A manifest or a part of it.
        whose: Name of the checkpoint in messages.

    Raises:
        CheckpointError: If a value is missing, of the wrong type or out of range; names the first.
    """
    from pydantic import ValidationError

    try:
        checked: T = _adapter(schema).validate_python(values)  # type: ignore[arg-type]  # a class can be a key
        return checked
    except ValidationError as error:
        problem = error.errors()[0]
        key = in_line(".".join(map(str, problem["loc"]))) or "its content"
        is_missing = problem["type"] == "missing"
        fault = f"{key} is missing" if is_missing else f"{key} = {reprlib.repr(problem['input'])}: {explain(problem)}"
        raise CheckpointError(
            f"{whose} is invalid: {MANIFEST}: {fault}; move its folder away to use another checkpoint"
        ) from None
