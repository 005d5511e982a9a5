"""A training loop as PyTorch users write it by hand, with the fastest of its settings."""

from __future__ import annotations

import itertools
import statistics
import time
from typing import Any

from ..nets import CHECKED, EPSILON, LEARNING_RATE, torch_net
from ..worker import Job, Turns

TRIAL, TRIAL_SECONDS = 128, 4.0
"""Steps of a trial, and its maximum duration."""


class Loop:
    """Epochs over bytes in memory.

    Args:
        job: The job.
        channels_last: Memory format of images and convolutions.
        fused: True for an Adam that updates all weights in one call of compiled code.
        dropout: True to keep the network's dropout.
    """

    def __init__(self, job: Job, channels_last: bool, fused: bool, dropout: bool = True) -> None:
        import torch  # type: ignore[import-not-found,unused-ignore]

        images, labels = job.train()
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=self.format)
        self.labels, self.batch_size = torch.from_numpy(labels).long(), job.batch_size
        self.net = torch_net(job, dropout).to(memory_format=self.format)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE, eps=EPSILON, fused=fused)
        self.net.train()

    def epoch(self, steps: int) -> None:
        """Train on `steps` shuffled batches."""
        import torch  # type: ignore[import-not-found,unused-ignore]

        for chosen in torch.randperm(len(self.labels)).split(self.batch_size)[:steps]:
            self.step(chosen)

    def step(self, chosen: Any) -> Any:
        """Train on the images with these indices and return the loss."""
        batch = self.images[chosen].contiguous(memory_format=self.format).float().div_(255)
        self.optimizer.zero_grad()
        loss = self.loss(self.net(batch), self.labels[chosen])
        loss.backward()
        self.optimizer.step()
        return loss


def run(job: Job, turns: Turns) -> None:
    """Train with the fastest combination of memory format and optimizer."""
    tried = {setting: _trial(job, *setting) for setting in itertools.product((False, True), repeat=2)}
    best = min(tried, key=lambda setting: tried[setting])
    losses, loop = first_losses(job, *best), Loop(job, *best)
    turns.ready(
        params=sum(parameter.numel() for parameter in loop.net.parameters()),
        losses=losses,
        choice=_say(*best),
        tried={_say(*setting): seconds for setting, seconds in tried.items()},
    )
    while True:
        turns.wait()
        loop.epoch(job.steps)


def _trial(job: Job, channels_last: bool, fused: bool) -> float:
    """Return the seconds per step after warming up."""
    loop = Loop(job, channels_last, fused)
    times: list[float] = []
    loop.epoch(max(1, min(job.steps, TRIAL) // 4))
    started = time.perf_counter()
    while len(times) < min(job.steps, TRIAL) and time.perf_counter() - started < TRIAL_SECONDS:
        before = time.perf_counter()
        loop.epoch(1)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _say(channels_last: bool, fused: bool) -> str:
    return f"{'channels last' if channels_last else 'channels first'}, {'fused' if fused else 'default'} Adam"


def first_losses(job: Job, channels_last: bool, fused: bool) -> list[float]:
    """Return the losses of the first steps, on unshuffled images."""
    import torch  # type: ignore[import-not-found,unused-ignore]

    loop = Loop(job, channels_last, fused, dropout=False)
    batches = torch.arange(CHECKED * job.batch_size).split(job.batch_size)
    return [float(loop.step(chosen)) for chosen in batches]
