"""PyTorch Lightning as users write it: a module, a data loader over tensors, all settings at their defaults."""

from __future__ import annotations

from typing import Any

from ..nets import CHECKED, EPSILON, LEARNING_RATE, torch_net
from ..worker import Job, Turns


def run(job: Job, turns: Turns) -> None:
    """Train with the trainer's default logger, checkpoints and progress bar."""
    import lightning  # type: ignore[import-not-found,unused-ignore]

    losses = first_losses(job)
    module = _module(torch_net(job))
    turns.ready(params=sum(parameter.numel() for parameter in module.parameters()), losses=losses)
    trainer = lightning.Trainer(max_epochs=-1, accelerator="cpu", default_root_dir=job.folder, callbacks=[_gate(turns)])
    trainer.fit(module, _loader(job, len(job.train()[1]), shuffle=True))


def first_losses(job: Job) -> list[float]:
    """Return the losses of the first steps, on unshuffled images."""
    import lightning  # type: ignore[import-not-found,unused-ignore]

    module = _module(torch_net(job, dropout=False))
    trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", default_root_dir=f"{job.folder}/first")
    trainer.fit(module, _loader(job, CHECKED * job.batch_size, shuffle=False))
    return [float(loss) for loss in module.seen[:CHECKED]]


def _loader(job: Job, count: int, shuffle: bool) -> Any:
    import torch  # type: ignore[import-not-found,unused-ignore]
    from torch.utils.data import DataLoader, TensorDataset  # type: ignore[import-not-found,unused-ignore]

    images, labels = job.train()
    scaled = torch.from_numpy(images[:count]).permute(0, 3, 1, 2).float().div(255).contiguous()
    data = TensorDataset(scaled, torch.from_numpy(labels[:count]).long())
    return DataLoader(data, batch_size=job.batch_size, shuffle=shuffle)


def _module(net: Any) -> Any:
    import lightning  # type: ignore[import-not-found,unused-ignore]
    import torch  # type: ignore[import-not-found,unused-ignore]

    class Module(lightning.LightningModule):  # type: ignore[misc,unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            self.seen: list[Any] = []

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            images, labels = batch
            loss = torch.nn.functional.cross_entropy(self.net(images), labels)
            self.log("train_loss", loss)
            if len(self.seen) < CHECKED:
                self.seen.append(loss.detach())
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), LEARNING_RATE, eps=EPSILON)

    return Module()


def _gate(turns: Turns) -> Any:
    """Return a callback that ends a turn at the start of an epoch."""
    import lightning  # type: ignore[import-not-found,unused-ignore]

    class Gate(lightning.Callback):  # type: ignore[misc,unused-ignore]
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            turns.wait()

    return Gate()
