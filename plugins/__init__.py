"""Plugins by name, one file or folder each; listed here so that names can be shown without importing anything."""

from trainer.registry import plugins

plugins.table(
    {
        "checkpoint": ("plugins.checkpoint:Checkpoint", "save the best and the latest weights"),
        "early_stopping": ("plugins.early_stopping:EarlyStopping", "stop when a metric no longer improves"),
        "mlflow": ("plugins.mlflow.plugin:Mlflow", "mirror the run in MLflow"),
        "nan_guard": ("plugins.nan_guard:NanGuard", "fail the run when the loss or a weight is NaN or infinite"),
        "norm_statistics": (
            "plugins.norm_statistics:NormStatistics",
            "recompute batch-normalisation statistics on unaugmented images before each validation",
        ),
        "profiler": ("plugins.profiler:Profiler", "trace 20 steps with TensorFlow's profiler"),
        "progress": ("plugins.progress.plugin:Progress", "show progress, speed and time left"),
        "recovery": ("plugins.recovery:Recovery", "rewind to a checkpoint when training diverges"),
        "report": ("plugins.report.plugin:Report", "write charts, tables, an HTML page and a model card"),
    }
)
