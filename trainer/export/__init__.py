"""Export of trained models: formats by name, one module each, every export compared with its source.

This table allows formats to be listed without importing their modules. An exported model takes raw uint8 images
`[N, H, W, C]`, any N, and returns calibrated probabilities, float32 `[N, K]`.
"""

from pathlib import Path

from trainer.errors import UsageError
from trainer.registry import Registry
from trainer.text import command, in_line

SPEC = "spec.json"
"""The file that makes a folder an export: what it takes and gives, and how it was proved."""


def is_export(path: Path) -> bool:
    """Return True if a folder is an export."""
    try:
        return (path / SPEC).is_file()
    except OSError:  # the name is too long, or the folder cannot be read
        return False


def check_export(path: Path) -> Path:
    """Return a folder if it is an export.

    Raises:
        UsageError: If it is not.
    """
    if not is_export(path):
        raise UsageError(f"{in_line(path)} is not an export: it has no {SPEC}; write one with {command('export')}")
    return path


formats = Registry("export format", "inkwell.formats")
formats.table(
    {
        "keras": ("trainer.export.keras_file:FORMAT", "model.keras, one file for Keras 3"),
        "litert": ("trainer.export.litert:FORMAT", "model.tflite, for phones and small computers"),
        "litert-int8": ("trainer.export.litert:INT8", "model.tflite, quantised to int8"),
        "mlflow": ("trainer.export.mlflow_model:FORMAT", "an MLflow model, ready for servers and clouds"),
        "onnx": ("trainer.export.onnx_file:FORMAT", "model.onnx, for ONNX Runtime"),
        "savedmodel": ("trainer.export.saved_model:FORMAT", "a TensorFlow SavedModel"),
    }
)
