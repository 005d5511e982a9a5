"""Measure what the trainer costs over the bare compiled loop: `python scripts/bench.py --data mnist`."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import models  # noqa: F401  (fills the table of models)
    import plugins  # noqa: F401  (fills the table of plugins)
    from trainer.assemble import assemble, build_model, check
    from trainer.cli import Parser, run_script
    from trainer.config import Config, DataConfig, TrainingConfig
    from trainer.ledger import Ledger
    from trainer.plugin import Plugin
    from trainer.run import Run
except ModuleNotFoundError as error:
    sys.exit(f"bench.py: Inkwell is not installed (no {error.name}); run in its folder: python -m pip install -e .")

if TYPE_CHECKING:
    from trainer.assemble import Session


class BareLoop:
    """Epochs and validations as bare calls of the compiled functions that the trainer calls, on the same pipeline."""

    def __init__(self, session: Session) -> None:
        from trainer.data.pipeline import InOrder, Shuffled
        from trainer.optimizers import build_optimizer
        from trainer.step import EvaluationStep, TrainStep
        from trainer.strategy import SingleDevice
        from trainer.task import Classification

        config, data = session.config, session.data
        train = Shuffled(data.train, config.data.batch_size, config.training.seed, config.data.augmentation)
        model = build_model(config, data.input_shape, data.num_classes)
        optimizer = build_optimizer(config.optimizer, config.training.epochs * train.steps_per_epoch)
        self.step = TrainStep(model, Classification(), optimizer, train.spec, SingleDevice())
        self.evaluation = EvaluationStep(model, Classification(), SingleDevice())
        self.step.span.get_concrete_function()
        self.train, self.validation = train, InOrder(data.validation)
        self.batches: Any = None

    def epoch(self) -> float:
        """Train for an epoch in one call, validate, and return the seconds that it took."""
        import tensorflow as tf

        started = time.perf_counter()
        if self.batches is None:
            self.batches = iter(self.train.batches())
        self.step.span(self.batches, tf.constant(self.train.steps_per_epoch))
        held_out = iter(self.validation.batches())
        for _ in range(self.validation.steps):
            self.evaluation.next(held_out)
        self.evaluation.meter.read()
        return time.perf_counter() - started


class Pairs(Plugin):
    """Times each epoch of the trainer, all its plugins included, and a bare epoch after it."""

    def __init__(self) -> None:
        self.pairs: list[tuple[float, float]] = []
        self.session: Session | None = None

    def on_fit_start(self, run: Run) -> None:
        """Compile the bare loop."""
        assert self.session is not None
        self.bare = BareLoop(self.session)

    def on_epoch_start(self, run: Run) -> None:
        """End the time of the epoch before, whose checkpoint is saved by now."""
        if run.epoch > 1:
            self._pair()
        self.started = time.perf_counter()

    def on_test_end(self, run: Run) -> None:
        """End the time of the last epoch."""
        self._pair()

    def _pair(self) -> None:
        ours = time.perf_counter() - self.started
        self.pairs.append((ours, self.bare.epoch()))


def measure(config: Config, folder: Path) -> list[tuple[float, float]]:
    """Return the seconds of each epoch: with the trainer and its default plugins, and bare."""
    parts, pairs = check(config), Pairs()
    parts.plugins.insert(0, pairs)
    pairs.session = assemble(config, parts, folder, Ledger())
    pairs.session.fit()
    return pairs.pairs


def main() -> int:
    """Measure pairs in turn and print their ratios; return the exit status."""
    p = Parser(description="Time the trainer with its default plugins against the bare compiled loop, epoch by epoch.")
    p.add_argument("--data", default="auto", metavar="NAME|PATH", help="what to train on (auto)")
    p.add_argument("--data-dir", default="data", metavar="DIR", help="where data lie (data)")
    p.add_argument("--epochs", type=int, default=20, metavar="N", help="pairs of epochs (20)")
    args = p.parse()
    data = DataConfig(name=args.data, folder=args.data_dir)
    config = Config(data=data, training=TrainingConfig(epochs=args.epochs))
    config.plugins["progress"]["mode"] = "none"
    config.plugins["early_stopping"]["patience"] = args.epochs
    with tempfile.TemporaryDirectory() as folder:
        pairs = measure(config, Path(folder) / "run")
    for number, (ours, bare) in enumerate(pairs, start=1):
        print(f"epoch {number:2}  trainer {ours:7.3f} s  bare loop {bare:7.3f} s  ratio {ours / bare:.3f}")
    total = sum(ours for ours, _ in pairs) / sum(bare for _, bare in pairs)
    print(f"median ratio {statistics.median(ours / bare for ours, bare in pairs):.3f}, of the sums {total:.3f}")
    return 0


if __name__ == "__main__":
    run_script(main)
