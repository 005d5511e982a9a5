"""Makes batch normalisation evaluate with the statistics of unaugmented images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainer.config.types import Count
from trainer.errors import UsageError
from trainer.plugin import Plugin
from trainer.registry import plugins
from trainer.run import Run

if TYPE_CHECKING:
    from trainer.kernels.batch_statistics import BatchStatistics


@plugins.register("norm_statistics")
class NormStatistics(Plugin):
    """Recompute the batch-normalisation statistics on training images before every validation.

    The statistics are computed without augmentation, with the weights about to be validated, and are saved and tested
    together with these weights. Training does not use them, so it proceeds exactly as without this plugin. See
    `trainer.kernels.batch_statistics`.

    Args:
        images: Number of training images, evenly spaced over all of them; all if there are fewer.
    """

    def __init__(self, images: Count = 5000) -> None:
        self.images = images
        self._statistics: BatchStatistics | None = None

    def check(self, run: Run) -> None:
        """Check that there is something to measure.

        Raises:
            UsageError: If the training data is a stream, there is no validation data, or there are several models, or
                one without batch normalisation.
        """
        from trainer.kernels.batch_statistics import measured_layers

        if run.training_data is None:
            raise UsageError("norm_statistics cannot measure a stream of images; give an ImageSet or remove the plugin")
        if run.validation_steps == 0:
            raise UsageError("norm_statistics runs before every validation; give validation data or remove the plugin")
        assert run.model is not None
        if len(run.models) > 1:
            raise UsageError("norm_statistics measures the layers of one model, not of several; remove the plugin")
        if not measured_layers(run.model):
            raise UsageError(f"{run.model.name!r} has no batch normalisation; remove the plugin norm_statistics")

    def on_fit_start(self, run: Run) -> None:
        """Compile the computation."""
        from trainer.data.pipeline import EvaluationRows
        from trainer.data.rows import evenly
        from trainer.kernels.batch_statistics import BatchStatistics

        assert run.model is not None
        assert run.training_data is not None
        self._statistics = BatchStatistics(run.model, EvaluationRows(evenly(run.training_data, self.images)))

    def on_validation_start(self, run: Run) -> None:
        """Compute the statistics with the weights about to be validated."""
        assert self._statistics is not None
        self._statistics.measure()

    def on_fit_end(self, run: Run) -> None:
        """Release the images."""
        self._statistics = None
