"""The format `mlflow`: an MLflow model directory, which needs neither a tracking server nor Inkwell to load."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import numpy as np

from trainer.export import saved_model
from trainer.export.format import Classifier, Format, Served
from trainer.files import scratch

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

LOADER = Path(__file__).with_name("inkwell_pyfunc.py")
GUIDE = Path(__file__).with_name("deployment.md")
SAVED_MODEL = "saved_model"
REQUIREMENTS = ("mlflow", "numpy", "tensorflow")


def write(served: Served, folder: Path) -> None:
    """Write the SavedModel, its loader, MLflow's metadata and a deployment guide.

    Requirements and signature are passed explicitly, since MLflow takes many seconds to infer them.
    """
    _settle()
    import mlflow.pyfunc

    with scratch() as place:
        saved = place / SAVED_MODEL
        saved_model.write(served, saved)
        mlflow.pyfunc.save_model(
            folder,
            loader_module=LOADER.stem,
            data_path=str(saved),
            code_paths=[str(LOADER)],
            signature=signature(served),
            input_example=served.examples[:1],
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
            uv_project_path=str(place),  # otherwise the lock file of the current folder would be copied
        )
    text = Template(GUIDE.read_text(encoding="utf-8")).substitute(
        mlflow=version("mlflow"), shape=", ".join(map(str, served.input_shape)), classes=", ".join(served.class_names)
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _settle() -> None:
    """Disable MLflow's progress messages and telemetry, unless the user has configured them."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")


def signature(served: Served) -> ModelSignature:
    """Return the MLflow signature of the model."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.uint8), (-1, *served.input_shape))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, len(served.class_names)))
    found = ModelSignature(Schema([images]), Schema([probabilities]))
    # Declares that the model checks its input itself. MLflow's own check silently converts 0.5 in a JSON request to the
    # uint8 0, and reports other errors with all pixels.
    found._is_signature_from_type_hint = True
    return found


def saved_in(folder: Path) -> Path:
    """Return the path of the SavedModel in an MLflow model."""
    return folder / "data" / SAVED_MODEL


def read(folder: Path) -> Classifier:
    """Return the model as loaded by MLflow."""
    _settle()
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder)).predict


FORMAT = Format(write, read)
