"""Does a run train as long as asked, and long enough on few images if nothing is asked?"""

from __future__ import annotations

import pytest

from plugins.early_stopping import EarlyStopping
from trainer.config.merge import override, resolve
from trainer.config.schema import Config
from trainer.engine.durations import Durations
from trainer.errors import UsageError
from trainer.plugin import Every
from trainer.run import Run
from trainer.session import durations_of


@pytest.mark.parametrize("durations", [Durations(), durations_of(Config().training)], ids=["Python", "terminal"])
def test_by_default_few_images_are_repeated_until_800_steps_are_taken(durations):
    assert durations.total(32) == 800  # 25 epochs
    assert durations.total(7) == 805  # whole epochs
    assert durations.total(430) == 4300  # 10 epochs of all of MNIST, which are more


@pytest.mark.parametrize("choice", [["training.epochs=3"], ["training.steps=96"]])
def test_a_choice_of_epochs_or_steps_is_taken_literally(choice):
    chosen = override(Config(), choice)
    assert durations_of(chosen.training).total(32) == 96
    assert "min_steps" not in chosen.to_toml()
    assert resolve([chosen.to_dict()]) == chosen  # what a run keeps says the same
    assert resolve([Config().to_dict()]) == Config()


def test_epochs_and_a_smallest_number_of_steps_can_be_given_together():
    both = override(Config(), ["training.min_steps=100", "training.epochs=3"])
    assert durations_of(both.training).total(7) == 105
    assert durations_of(both.training).total(50) == 150
    alone = override(Config(), ["training.min_steps=100"])
    assert (alone.training.epochs, durations_of(alone.training).total(5)) == (10, 100)


def test_a_smallest_number_of_steps_above_all_of_them_is_refused():
    with pytest.raises(UsageError, match=r"^cannot train for at least 800 steps and 5 in total; leave out"):
        Durations(steps=5, min_steps=800)
    with pytest.raises(UsageError, match="min_steps must be greater than 0: 0"):
        Durations(min_steps=0)


def test_short_epochs_are_validated_about_ten_times_in_all_unless_a_cadence_is_chosen():
    assert Durations().cadence(32) == Every(epochs=2)
    assert Durations().cadence(1) == Every(epochs=80)
    assert Durations(validate_every=Every(epochs=1)).cadence(1) == Every(epochs=1)
    for chosen in (Durations(), Durations(epochs=400), Durations(steps=4000)):
        assert chosen.cadence(430) == Every(epochs=1)


def test_early_stopping_waits_for_the_smallest_number_of_steps():
    run, plugin = Run(min_steps=30), EarlyStopping(patience=2)
    stopped = []
    for step in (10, 20, 30, 40):
        run.step, run.logs = step, {"val_loss": 1.0}
        plugin.on_validation_end(run)
        stopped.append(bool(run.stop_reason))
    assert stopped == [False, False, True, True]
