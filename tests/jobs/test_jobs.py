"""Do jobs beyond one image and one label train as their author means them, and as well as in plain Keras?

Each file beside this one is such a job: a user's script with Inkwell, and the same in plain Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

SUPERVISED = ["imbalance", "metadata", "multi_label", "regression", "segmentation", "siamese"]
FEW: dict[str, dict[str, int]] = {"imbalance": {"common": 20, "rare": 4}}
"""Arguments of `data` for a short thread of a job; default: 120 rows."""


def few(job: ModuleType) -> dict:
    return job.data(**FEW.get(job.__name__, {"count": 120}))


def scaled(tree: Any) -> Any:
    """Return inputs as a user of plain Keras scales them: bytes from 0 to 1, all else as it is."""
    if isinstance(tree, dict):
        return {name: scaled(leaf) for name, leaf in tree.items()}
    return tree / np.float32(255) if tree.dtype == np.uint8 else tree


@pytest.mark.parametrize("name", SUPERVISED)
def test_a_short_thread_of_a_job_learns_and_predicts_what_keras_would(keras, name):
    job = import_module(name)
    sets = few(job)
    trainer = job.inkwell_version(0, sets, epochs=3)
    losses = [line["loss"] for line in trainer.run.history]
    assert losses[-1] < losses[0]
    assert trainer.run.logs.keys() >= {"val_loss"}
    x, y = sets["test"]
    outputs = trainer.predict(x)
    np.testing.assert_allclose(outputs, trainer.model.predict(scaled(x), verbose=0), rtol=1e-4, atol=1e-5)
    assert np.isfinite(job.score(outputs, y))


def test_a_short_thread_of_the_gan_moves_both_players_and_logs_both_losses(keras, tmp_path):
    job = import_module("gan")
    keras.utils.set_random_seed(0)
    before = {"generator": job.generator().get_weights(), "critic": job.critic().get_weights()}
    trainer = job.inkwell_version(0, few(job), epochs=1)
    for name, model in trainer.models.items():
        moved = [not np.array_equal(old, new) for old, new in zip(before[name], model.get_weights(), strict=True)]
        assert all(moved), name
    assert "critic, 21,169 parameters" in repr(trainer)
    assert trainer.run.scalars.keys() == {"generator_loss", "critic_loss"}
    job.draw(job.drawings(trainer.models["generator"], 64), tmp_path / "digits.png")
    assert (tmp_path / "digits.png").stat().st_size > 0


def as_good(name: str, ours: list[float], theirs: list[float], at_least: float) -> None:
    """Check that scores have been learnt, and are not worse than others by more than chance explains."""
    difference = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    for label, scores in (("Inkwell", ours), ("plain Keras", theirs)):
        print(f"{name}, {label}: {np.mean(scores):.4g} ({', '.join(f'{score:.4g}' for score in scores)})")
    print(f"{name}, difference: {difference.low:.3g} to {difference.high:.3g}")
    assert min(np.mean(ours), np.mean(theirs)) >= at_least
    assert difference.high >= 0


@pytest.mark.soak
@pytest.mark.parametrize("name", SUPERVISED)
def test_three_seeds_of_a_job_score_as_in_plain_keras(keras, name):
    job = import_module(name)
    sets = job.data()
    x, y = sets["test"]
    theirs = [job.score(job.keras_version(seed, sets).predict(scaled(x), verbose=0), y) for seed in range(3)]
    ours = [job.score(job.inkwell_version(seed, sets).predict(x), y) for seed in range(3)]
    as_good(name, ours, theirs, job.AT_LEAST)


@pytest.mark.soak
def test_three_seeds_of_the_gan_draw_digits_as_in_plain_keras(keras, tmp_path):
    job = import_module("gan")
    sets = job.data()
    judge = job.judge(*sets["judge"])
    scores: dict[str, list[float]] = {"ours": [], "theirs": []}
    versions: dict[str, Callable[[int], Any]] = {
        "ours": lambda seed: job.inkwell_version(seed, sets).models["generator"],
        "theirs": lambda seed: job.keras_version(seed, sets),
    }
    for name, generator in versions.items():
        for seed in range(3):
            drawn = job.drawings(generator(seed))
            scores[name].append(job.score(drawn, judge))
            job.draw(drawn, tmp_path / f"{name}-{seed}.png")
    as_good("gan", scores["ours"], scores["theirs"], job.AT_LEAST)
