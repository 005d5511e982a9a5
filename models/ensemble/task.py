"""The members of an ensemble trained in parallel: one run trains several networks, each with its own loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.data.batch import Batch
from trainer.errors import UsageError
from trainer.registry import tasks
from trainer.tasks.classification import Classification

if TYPE_CHECKING:
    import keras


@tasks.register("members")
class Members(Classification):
    """Classification by the model `ensemble`, each member learning the labels on its own.

    The training loss is the mean of the members' cross-entropies, not the cross-entropy of their mean: networks that
    share a loss compensate for each other and are worse individually (Jeffares et al. 2023, "Joint Training of Deep
    Ensembles Fails Due to Learner Collusion", arXiv 2301.11323). Metrics, validation and test are those of the
    ensemble; its shifted views, if any, are not used for training.
    """

    def check(self, model: keras.Model, spec: Any, labels: Any) -> None:
        """Check the data against the model, which must have members.

        Raises:
            UsageError: If it has none, or the data does not fit.
        """
        super().check(model, spec, labels)
        if not members(model):
            raise UsageError(f"task 'members' needs the model 'ensemble', but {model.name!r} has no members")

    def forward(self, model: keras.Model, batch: Batch, training: bool, seed: Any) -> tuple[Any, Any]:
        """Return the loss and the log-probabilities of the ensemble, float32 `[N, K]`."""
        if not training:
            return super().forward(model, batch, training, seed)
        import tensorflow as tf

        own = [super(Members, self).forward(member, batch, training, seed) for member in members(model)]
        shares = [tf.nn.log_softmax(logits) for _, logits in own]
        together = tf.reduce_logsumexp(tf.stack(shares), axis=0) - tf.math.log(float(len(own)))
        return tf.add_n([loss for loss, _ in own]) / len(own), together


def members(model: keras.Model) -> list[keras.Model]:
    """Return the networks that an `ensemble` averages; empty for any other model."""
    import keras

    return [layer for layer in model.layers if isinstance(layer, keras.Model) and layer.name.startswith("member")]
