"""The format `onnx`: one file, `model.onnx`, for ONNX Runtime and other readers; reading it needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.errors import InkwellError
from trainer.export.format import Classifier, Format, Served

FILE = "model.onnx"
OPSET = 18
MISSING = 'ONNX is not installed; run python -m pip install -e ".[onnx]"'


def write(served: Served, folder: Path) -> None:
    """Write the model.

    Raises:
        InkwellError: If tf2onnx is not installed.
    """
    try:
        import tf2onnx
    except ModuleNotFoundError as error:
        raise InkwellError(MISSING) from error
    from trainer.export.serving import serving

    function = serving(served.model, served.input_shape, served.temperature)
    tf2onnx.convert.from_function(function, function.input_signature, opset=OPSET, output_path=str(folder / FILE))


def read(folder: Path) -> Classifier:
    """Return the file as a function of NumPy arrays.

    Raises:
        InkwellError: If ONNX Runtime is not installed.
    """
    try:
        from onnxruntime import InferenceSession
    except ModuleNotFoundError as error:
        raise InkwellError(MISSING) from error
    session = InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])

    def classify(images: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"images": images})[0]

    return classify


FORMAT = Format(write, read)
