"""What is learnt: a task turns a model and a batch into a loss and metrics.

Tasks are listed here by name, so that they can be named without importing their files.
"""

from trainer.registry import tasks

tasks.table(
    {
        "classification": (
            "trainer.tasks.task:Classification",
            "classes from logits, by their cross-entropy",
        ),
        "distillation": ("trainer.tasks.distillation:Distillation", "classes from logits, learnt from a teacher too"),
    }
)
