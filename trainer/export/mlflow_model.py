"""`mlflow`: an MLflow model directory that needs neither a tracking server nor Inkwell where it is loaded."""

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
    """Write the SavedModel, the few lines that load it, MLflow's description and a guide to deployment.

    Requirements and signature are given, since MLflow takes many seconds to infer them.
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
            uv_project_path=str(place),  # else the lock file of the folder that we happen to be in would be copied
        )
    text = Template(GUIDE.read_text(encoding="utf-8")).substitute(
        mlflow=version("mlflow"), shape=", ".join(map(str, served.input_shape)), classes=", ".join(served.class_names)
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _settle() -> None:
    """Have MLflow, where the user has not said otherwise, not tell of its steps, nor phone home."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")


def signature(served: Served) -> ModelSignature:
    """Return from what to what the model maps, as MLflow says it."""
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.uint8), (-1, *served.input_shape))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, len(served.class_names)))
    found = ModelSignature(Schema([images]), Schema([probabilities]))
    # Says that the model checks its input itself. MLflow's own check turns the 0.5 of a JSON request into the uint8 0
    # without a word, and answers other errors with all the pixels.
    found._is_signature_from_type_hint = True
    return found


def saved_in(folder: Path) -> Path:
    """Return the SavedModel in an MLflow model."""
    return folder / "data" / SAVED_MODEL


def read(folder: Path) -> Classifier:
    """Return the model as MLflow loads it."""
    _settle()
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(folder)).predict


FORMAT = Format(write, read)
