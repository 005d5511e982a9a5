"""Has batch normalisation evaluate by the statistics of images as they are, not of augmented ones."""

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
    """Measure the statistics of batch normalisation on training images before every validation.

    The images are measured without augmentation, with the weights that are about to be validated, and the statistics
    are saved and tested with these weights. Training itself does not use them, so it continues as without this plugin.
    See `trainer.kernels.batch_statistics`.

    Args:
        images: Number of training images, taken evenly from all of them; all if there are fewer.
    """

    def __init__(self, images: Count = 5000) -> None:
        self.images = images
        self._statistics: BatchStatistics | None = None

    def check(self, run: Run) -> None:
        """Look for something to measure.

        Raises:
            UsageError: If the training data are a stream, there are no validation data, or the model has no batch
                normalisation.
        """
        from trainer.kernels.batch_statistics import measured_layers

        if run.training_data is None:
            raise UsageError("norm_statistics cannot measure images of a stream; give an ImageSet, or leave it out")
        if not run.validation_steps:
            raise UsageError("norm_statistics measures before every validation; give validation data, or leave it out")
        assert run.model is not None
        if not measured_layers(run.model):
            raise UsageError(f"{run.model.name!r} has no batch normalisation to measure; leave out norm_statistics")

    def on_fit_start(self, run: Run) -> None:
        """Compile the measurement."""
        from trainer.data.pipeline import EvaluationArray
        from trainer.kernels.batch_statistics import BatchStatistics

        assert run.model is not None
        assert run.training_data is not None
        self._statistics = BatchStatistics(run.model, EvaluationArray(run.training_data.evenly(self.images)))

    def on_validation_start(self, run: Run) -> None:
        """Measure the statistics with the weights that are about to be validated."""
        assert self._statistics is not None
        self._statistics.measure()

    def on_fit_end(self, run: Run) -> None:
        """Let go of the images."""
        self._statistics = None
