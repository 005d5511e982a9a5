"""Export of trained models: formats by name, one module each, every export compared with its source.

This table allows formats to be listed without importing their modules. An exported model takes raw uint8 images
`[N, H, W, C]`, any N, and returns calibrated probabilities, float32 `[N, K]`.
"""

from trainer.registry import Registry

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
