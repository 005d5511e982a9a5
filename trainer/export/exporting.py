"""Exports a trained model: written aside, compared with its source, and only then put where it belongs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import InkwellError
from trainer.export import formats
from trainer.export.format import SPEC, Format
from trainer.export.proof import Answer, Proof, compare, read_afresh
from trainer.files import aside, check_new, sweep, to_json
from trainer.stage import Stage
from trainer.text import first_line

if TYPE_CHECKING:
    import numpy as np

    from trainer.export.original import Original


def check_free(folder: Path) -> None:
    """Refuse a folder that is there, or that cannot be made; makes nothing.

    Raises:
        UsageError: With what to do instead.
        InkwellError: If nothing may be written there.
    """
    check_new(folder, "export", "name another folder")


def export(original: Original, name: str, folder: Path, extra: Mapping[str, Any] | None = None) -> Proof:
    """Export a trained model to a folder that does not exist; an export that fails its proof is deleted.

    Args:
        original: The model.
        name: The format.
        folder: Where to; gets `spec.json` beside the model.
        extra: What else `spec.json` tells, as JSON can hold it.

    Raises:
        UsageError: If the format is unknown or the folder exists.
        InkwellError: If the export cannot be written or read, or its probabilities are not those of the original.
    """
    check_free(folder)
    with drafting(folder) as draft:
        return write(original, name, draft, partial(read_afresh, name), extra)


def write(
    original: Original,
    name: str,
    folder: Path,
    answer: Callable[[Path, np.ndarray], Answer],
    extra: Mapping[str, Any] | None = None,
) -> Proof:
    """Write a trained model and its `spec.json` into an empty folder, and compare it with the original.

    Args:
        original: The model.
        name: The format.
        folder: Where to.
        answer: Returns what the export in a folder says of images.
        extra: What else `spec.json` tells.

    Raises:
        UsageError: If the format is unknown.
        InkwellError: If the model cannot be written or read, or the probabilities are not those of the original.
    """
    form: Format = formats.resolve(name)
    try:
        form.write(original.served, folder)
    except InkwellError:
        raise
    except Exception as error:  # Keras, TensorFlow and MLflow have each their own
        raise InkwellError(f"the model cannot be written: {type(error).__name__}: {first_line(error)}") from error
    with Stage(f"comparing the {name} export with the model"):
        proof = compare(original.data, original.probabilities, answer(folder, original.images), form)
    if not proof.holds:
        raise InkwellError(f"the export is not the model and is deleted: {proof} (at most {proof.tolerance:.0e})")
    told = {"format": name, **original.served.spec(), **(extra or {}), "proof": asdict(proof)}
    (folder / SPEC).write_text(to_json(told), encoding="utf-8")
    return proof


@contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` that takes its name in the end, or is deleted after an exception."""
    sweep(folder.parent, folder.name)
    draft = aside(folder)
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.replace(folder)
    except OSError as error:
        raise InkwellError(f"{folder} cannot be written: {error.strerror or first_line(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
