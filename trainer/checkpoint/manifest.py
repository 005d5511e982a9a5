"""What `manifest.json` says, which may be forged or of another version."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any, TypeVar

from trainer.checkpoint.content import FORMAT, MANIFEST
from trainer.errors import CheckpointError, explain
from trainer.text import first_line, in_line

T = TypeVar("T")


def parse_manifest(path: Path, content: bytes) -> dict[str, Any]:
    """Return the content of the `manifest.json` in `path`, with a list of its variables at least.

    Raises:
        CheckpointError: If it cannot be read, says nothing of variables, or is of another format.
    """
    try:
        manifest = json.loads(content)
        json.dumps(manifest, ensure_ascii=False).encode()  # half a character could be read and never written again
        written = manifest["format"]
        _ = [(variable["name"], variable["shape"], variable["dtype"]) for variable in manifest["variables"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path}: {MANIFEST} cannot be read: {first_line(error)}") from error
    if written != FORMAT:
        raise CheckpointError(f"checkpoint {path} has format {written}, this version reads {FORMAT}")
    return manifest


def conform(schema: type[T], values: Any, whose: str) -> T:
    """Return values of a manifest, which may be forged or of another version, as a dataclass says that they are.

    Args:
        schema: A dataclass with types that pydantic checks; what it does not name is left out.
        values: A manifest or a part of it.
        whose: What to call the checkpoint in a message.

    Raises:
        CheckpointError: With the first value that is missing, or is of the wrong type or out of range.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(schema).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = in_line(".".join(map(str, problem["loc"]))) or "all of it"
        is_missing = problem["type"] == "missing"
        fault = f"{key} is missing" if is_missing else f"{key} = {reprlib.repr(problem['input'])}: {explain(problem)}"
        raise CheckpointError(
            f"{whose} does not hold what a run writes: {MANIFEST}: {fault}; move its folder away to use another"
        ) from None
