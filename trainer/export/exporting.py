"""Exports a trained model: written aside, compared with its source, and only then put where it belongs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import InkwellError, first_line
from trainer.export import formats
from trainer.export.format import SPEC, Format, Served
from trainer.export.images import real_images
from trainer.export.proof import Proof, compare, read_afresh, source_probabilities
from trainer.files import check_new, to_json

if TYPE_CHECKING:
    import numpy as np

    from trainer.restore import Trained

PROOF_IMAGES = 1000


def check_free(folder: Path) -> None:
    """Refuse a folder that is there, or that cannot be made; makes nothing.

    Raises:
        UsageError: With what to do instead.
        InkwellError: If nothing may be written there.
    """
    check_new(folder, "export", "name another folder")


def export(trained: Trained, name: str, folder: Path) -> Proof:
    """Export a trained model to a folder that does not exist; an export that fails its proof is deleted.

    Args:
        trained: The model.
        name: The format.
        folder: Where to; gets `spec.json` beside the model.

    Raises:
        UsageError: If the format is unknown, the folder exists or the model gives no probabilities.
        InkwellError: If the export cannot be written or read, or its probabilities are not those of the source.
    """
    check_free(folder)
    data, images = real_images(trained, PROOF_IMAGES)
    with aside(folder) as draft:
        return write(trained, name, draft, data, images, partial(read_afresh, name))


def write(
    trained: Trained, name: str, folder: Path, data: str, images: np.ndarray, answer: Callable[[Path, np.ndarray], Any]
) -> Proof:
    """Write a trained model and its `spec.json` into an empty folder, and compare it with its source.

    Args:
        trained: The model.
        name: The format.
        folder: Where to.
        data: What the images are.
        images: uint8 `[N, H, W, C]`.
        answer: Returns what the export in a folder says of images.

    Raises:
        UsageError: If the format is unknown or the model gives no probabilities.
        InkwellError: If the model cannot be written or read, or the probabilities are not those of the source.
    """
    form: Format = formats.resolve(name)
    served = Served.of(trained, images[:1])
    try:
        form.write(served, folder)
    except Exception as error:  # Keras, TensorFlow and MLflow have each their own
        raise InkwellError(f"the model cannot be written: {type(error).__name__}: {first_line(error)}") from error
    proof = compare(data, source_probabilities(trained.model, images), answer(folder, images), form.tolerance)
    if not proof.holds:
        raise InkwellError(f"the export is not the model and is deleted: {proof} (at most {proof.tolerance:.0e})")
    (folder / SPEC).write_text(to_json({**served.spec(), "proof": asdict(proof)}), encoding="utf-8")
    return proof


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` that takes its name in the end, or is deleted after an exception."""
    draft = folder.with_name(f".tmp-{os.getpid()}-{folder.name}")
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.replace(folder)
    except OSError as error:
        raise InkwellError(f"{folder} cannot be written: {error.strerror or first_line(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
