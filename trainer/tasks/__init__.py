"""Tasks by name; a task turns a model and a batch into a loss and metrics.

This table allows tasks to be listed without importing their files.
"""

from trainer.registry import tasks

tasks.table(
    {
        "classification": ("trainer.tasks.classification:Classification", "classes from logits"),
        "supervised": ("trainer.tasks.supervised:Supervised", "labels by a Keras loss, for models of any structure"),
        "distillation": ("trainer.tasks.distillation:Distillation", "classes from logits, taught by a trained model"),
    }
)
