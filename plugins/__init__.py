"""Plugins by name; one file or folder each. Listed here so that names can be shown without importing the files."""

from trainer.registry import plugins

plugins.table(
    {
        "checkpoint": ("plugins.checkpoint:Checkpoint", "keep the best and the last weights"),
        "early_stopping": ("plugins.early_stopping:EarlyStopping", "stop when a number no longer improves"),
        "mlflow": ("plugins.mlflow.plugin:Mlflow", "mirror the run in MLflow"),
        "nan_guard": ("plugins.nan_guard:NanGuard", "fail the run when the loss or a weight is not finite"),
        "norm_statistics": (
            "plugins.norm_statistics:NormStatistics",
            "measure batch normalisation on unaugmented images before validations",
        ),
        "profiler": ("plugins.profiler:Profiler", "trace 20 steps with TensorFlow's profiler"),
        "progress": ("plugins.progress.plugin:Progress", "show progress, speed and time left"),
        "recovery": ("plugins.recovery:Recovery", "go back to a checkpoint when training diverges"),
        "report": ("plugins.report.plugin:Report", "write pictures, tables, a page and a model card"),
    }
)
