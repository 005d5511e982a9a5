"""Are the best k checkpoints those that the history calls best, and are the others deleted?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import make_images, small_net

from plugins.checkpoint import Checkpoint
from trainer import Plugin, Run, Trainer

SCORES = [3.0, 1.0, 4.0, 1.5, 9.0, 2.0]
"""The score of each epoch."""


class Scores(Plugin):
    """Logs the scores."""

    logs = ("score",)

    def on_epoch_end(self, run: Run) -> None:
        run.log("score", SCORES[run.epoch - 1])


@pytest.mark.parametrize(("mode", "kept"), [("min", [2, 4, 5, 6]), ("max", [1, 3, 5, 6])])
def test_the_best_three_and_the_last_two_are_kept(keras, tmp_path: Path, mode: str, kept: list[int]):
    checkpoint = Checkpoint(monitor="score", mode=mode, keep=3)
    trainer = Trainer(small_net(keras), plugins=[Scores(), checkpoint], run_dir=tmp_path / "run")
    trainer.fit(make_images(64), epochs=len(SCORES), batch_size=32)
    folder = tmp_path / "run" / "checkpoints"
    found = sorted(int(re.match(r"epoch=(\d+)-", path.name)[1]) for path in folder.iterdir() if path.is_dir())
    assert found == kept
    best = SCORES.index(min(SCORES) if mode == "min" else max(SCORES)) + 1
    assert (folder / "best").read_text().startswith(f"epoch={best:04d}-")
