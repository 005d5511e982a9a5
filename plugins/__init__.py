"""Plugins by name; one file or folder each. Listed here, so that names can be shown without importing the files."""

from trainer.registry import plugins

plugins.table(
    {
        "checkpoint": ("plugins.checkpoint:Checkpoint", "keep the best and the last weights"),
        "early_stopping": ("plugins.early_stopping:EarlyStopping", "stop when a number no longer improves"),
        "mlflow": ("plugins.mlflow.plugin:Mlflow", "mirror the run in MLflow"),
        "nan_guard": ("plugins.nan_guard:NanGuard", "end the run when the loss is no longer finite"),
        "report": ("plugins.report.plugin:Report", "write pictures, tables, a page and a model card"),
        "norm_statistics": (
            "plugins.norm_statistics:NormStatistics",
            "validate with batch statistics of unaugmented training images",
        ),
        "profiler": ("plugins.profiler:Profiler", "trace 20 steps with TensorFlow's profiler"),
        "progress": ("plugins.progress:Progress", "show progress, rate and time left"),
        "recovery": ("plugins.recovery:Recovery", "go back to a checkpoint when the loss diverges"),
    }
)
