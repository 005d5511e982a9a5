"""The race with PyTorch Lightning: whole batches augmented by `grid_sample`, all settings at their defaults."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import lightning  # type: ignore[import-not-found,unused-ignore]
import numpy as np
import torch  # type: ignore[import-not-found,unused-ignore]
from torch.nn.functional import affine_grid, cross_entropy, grid_sample  # type: ignore[import-not-found,unused-ignore]
from torch.utils.data import DataLoader, TensorDataset  # type: ignore[import-not-found,unused-ignore]

from ..nets import _torch_lenet
from ..recipe import PEAK, WARM_UP, Recipe

SHIFT, ROTATION, ZOOM, SHEAR = 0.07, math.radians(10), 0.1, 0.1
"""The ranges of Inkwell's `light` augmentation."""


def main() -> None:
    """Train by the recipe in the first argument; write the results to the file in the second."""
    recipe, out = Recipe(**json.loads(sys.argv[1])), Path(sys.argv[2])
    lightning.seed_everything(recipe.seed)
    train, validation, test = (_loader(recipe, part) for part in ("train", "val", "test"))
    module, until = Module(len(train) * recipe.epochs), Until(recipe.target)
    trainer = lightning.Trainer(max_epochs=recipe.epochs, accelerator="cpu", callbacks=[until])
    trainer.fit(module, train, validation)
    accuracy = trainer.test(module, test)[0]["test_accuracy"]
    out.write_text(json.dumps({**until.found, "test": accuracy}))


class Module(lightning.LightningModule):  # type: ignore[misc,unused-ignore]
    """LeNet as users of Lightning write it.

    Args:
        steps: Number of steps of the schedule.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        shapes = [(5, 5, 1, 6), (5, 5, 6, 16), (400, 120), (120, 84), (84, 10)]
        features, head = _torch_lenet(shapes, 0.0)
        self.net = torch.nn.Sequential(*features, torch.nn.Flatten(), *head)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Return the loss of a batch."""
        images, labels = batch
        loss = cross_entropy(self.net(augmented(images)), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log the accuracy."""
        self.log("val_accuracy", self._accuracy(batch), batch_size=len(batch[1]))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log the accuracy."""
        self.log("test_accuracy", self._accuracy(batch), batch_size=len(batch[1]))

    def _accuracy(self, batch: Any) -> Any:
        images, labels = batch
        return (self.net(images).argmax(1) == labels).float().mean()

    def configure_optimizers(self) -> Any:
        """Return Adam with the schedule of the recipe."""
        optimizer = torch.optim.Adam(self.parameters(), PEAK, eps=1e-7)
        warm_up = round(WARM_UP * self.steps)

        def factor(step: int) -> float:
            if step < warm_up:
                return 0.01 + 0.99 * step / warm_up
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm_up) / (self.steps - warm_up))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Until(lightning.Callback):  # type: ignore[misc,unused-ignore]
    """Stops at a target accuracy and records the time."""

    def __init__(self, target: float) -> None:
        self.target = target
        self.found: dict[str, Any] = {}

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Check the validation accuracy."""
        if trainer.sanity_checking:
            return
        accuracy = float(trainer.callback_metrics["val_accuracy"])
        self.found = {"reached": time.time(), "epochs": trainer.current_epoch + 1, "validation": accuracy}
        trainer.should_stop = accuracy >= self.target


def augmented(images: Any) -> Any:
    """Rotate, scale, shear and shift each image of a batch."""
    angle, zoom, shear, right, down = (torch.rand(5, len(images)) * 2 - 1) * torch.tensor(
        [[ROTATION], [ZOOM], [SHEAR], [2 * SHIFT], [2 * SHIFT]]
    )
    cos, sin, scale = torch.cos(angle), torch.sin(angle), 1 / (1 + zoom)
    rows = [scale * cos, scale * (shear * cos - sin), right, scale * sin, scale * (shear * sin + cos), down]
    grid = affine_grid(torch.stack(rows, 1).reshape(-1, 2, 3), list(images.shape), align_corners=False)
    return grid_sample(images, grid, align_corners=False)


def _loader(recipe: Recipe, part: str) -> Any:
    with np.load(recipe.images) as file:
        images, labels = file[f"x_{part}"], file[f"y_{part}"]
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).contiguous()
    data = TensorDataset(scaled, torch.from_numpy(labels).long())
    training = part == "train"
    return DataLoader(data, batch_size=recipe.batch_size if training else 500, shuffle=training)


if __name__ == "__main__":
    main()
