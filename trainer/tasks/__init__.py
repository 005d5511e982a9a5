"""What is learned, by name: a task turns a model and a batch into a loss and metrics.

Listed here, so that names can be shown without importing the files.
"""

from trainer.registry import tasks

tasks.table(
    {
        "classification": ("trainer.tasks.classification:Classification", "classes from logits"),
        "distillation": ("trainer.tasks.distillation:Distillation", "classes from logits, learned from a teacher too"),
    }
)
