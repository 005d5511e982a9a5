"""Export of a trained model: written to a temporary folder, compared with its source, and only then moved."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import InkwellError
from trainer.export import SPEC, formats
from trainer.export.format import Format
from trainer.export.proof import Answer, Proof, compare, read_afresh
from trainer.files import aside, check_new, sweep, to_json
from trainer.stage import Stage
from trainer.text import first_line

if TYPE_CHECKING:
    import numpy as np

    from trainer.export.original import Original


def check_free(folder: Path) -> None:
    """Check that an export folder does not exist and can be created; create nothing.

    Raises:
        UsageError: If it exists, or its path is invalid.
        InkwellError: If its parent folder is not writable.
    """
    check_new(folder, "export", "choose another folder")


def export(original: Original, name: str, folder: Path, extra: Mapping[str, Any] | None = None) -> Proof:
    """Export a trained model to a new folder, and delete the export if it fails its proof.

    Args:
        original: The model.
        name: The format.
        folder: The folder, which must not exist; it will contain the model and `spec.json`.
        extra: Additional content of `spec.json`, representable as JSON.

    Raises:
        UsageError: If the format is unknown or the folder exists.
        InkwellError: If the export cannot be written or read, or its probabilities differ from the original's.
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
        folder: The folder.
        answer: Returns the answer of the export in a folder for images.
        extra: Additional content of `spec.json`, representable as JSON.

    Raises:
        UsageError: If the format is unknown.
        InkwellError: If the model cannot be written or read, or its probabilities differ from the original's.
    """
    form: Format = formats.resolve(name)
    try:
        form.write(original.served, folder)
    except InkwellError:
        raise
    except Exception as error:  # Keras, TensorFlow and MLflow each have their own
        raise InkwellError(f"cannot write the model: {type(error).__name__}: {first_line(error)}") from error
    with Stage(f"comparing the {name} export with the model"):
        proof = compare(original.data, original.probabilities, answer(folder, original.images), form)
    if not proof.holds:
        raise InkwellError(
            f"the export differs from the model and was deleted: {proof} (allowed: {proof.tolerance:.0e})"
        )
    spec = {"format": name, **original.served.spec(), **(extra or {}), "proof": asdict(proof)}
    (folder / SPEC).write_text(to_json(spec), encoding="utf-8")
    return proof


@contextmanager
def drafting(folder: Path) -> Iterator[Path]:
    """Provide an empty folder next to `folder`, which is renamed to `folder` on success and deleted on an exception."""
    sweep(folder.parent, folder.name)
    draft = aside(folder)
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.replace(folder)
    except OSError as error:
        raise InkwellError(f"cannot write {folder}: {error.strerror or first_line(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
