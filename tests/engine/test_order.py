"""In what order are hooks called, however a run ends?"""

from __future__ import annotations

import os
import signal

import pytest
from conftest import make_images

from trainer import Durations, Every, Plugin, Run
from trainer.errors import PluginError, TrainingFailed, UsageError
from trainer.plugin import HOOKS

STEPS = 4  # per epoch


class Recorder(Plugin):
    """Records every hook with epoch and step, and raises in a given one."""

    every = Every(steps=1)

    def __init__(self, events: list[str], name: str = "recorder", raises: str = "", every: Every | None = None) -> None:
        self.events, self.name, self.raises = events, name, raises
        self.every = every or Every(steps=1)

    def hear(self, hook: str, run: Run) -> None:
        self.events.append(f"{self.name}.{hook} {run.epoch}/{run.step}")
        if self.raises in (hook, "everywhere"):
            raise ZeroDivisionError("on purpose")


def _hook(name: str):
    def hook(self: Recorder, run: Run) -> None:
        self.hear(name, run)

    return hook


for _name in HOOKS:
    setattr(Recorder, _name, _hook(_name))


class Watcher(Recorder):
    """The same, as an observer."""

    observer = True


def trainer(keras, plugins, run_dir=None):
    from trainer.trainer import Trainer

    keras.utils.set_random_seed(0)
    images = keras.Input((12, 12, 1))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    return Trainer(model, plugins=plugins, run_dir=run_dir)


def fit(keras, plugins, run_dir=None, **arguments) -> Run:
    return train(trainer(keras, plugins, run_dir), **arguments)


def train(trainer, **arguments) -> Run:
    from trainer.data.pipeline import TrainingRows

    train = TrainingRows(make_images(100), batch_size=25, augmentation="none")
    if "steps" not in arguments:
        arguments = {"epochs": 2, **arguments}
    validation, test = make_images(20, seed=1), make_images(20, seed=2)
    return trainer.fit(train, validation_data=validation, test_data=test, durations=Durations(**arguments))


def without(events: list[str], *hooks: str) -> list[str]:
    return [event.removeprefix("recorder.") for event in events if not any(hook in event for hook in hooks)]


def test_a_normal_run(keras):
    events: list[str] = []
    run = fit(keras, [Recorder(events)])
    steps = [[f"on_step_end {epoch}/{4 * epoch - 4 + step}" for step in (1, 2, 3, 4)] for epoch in (1, 2)]
    assert without(events) == [
        "on_fit_start 0/0",
        *("on_epoch_start 1/0", *steps[0]),
        *("on_validation_start 1/4", "on_validation_end 1/4", "on_epoch_end 1/4"),
        *("on_epoch_start 2/4", *steps[1]),
        *("on_validation_start 2/8", "on_validation_end 2/8", "on_epoch_end 2/8"),
        "on_test_end 2/8",
        "on_fit_end 2/8",
    ]
    assert run.status == "done"


def test_plugins_run_in_the_order_written_and_end_in_reverse(keras):
    events: list[str] = []
    fit(keras, [Recorder(events, "first"), Recorder(events, "second")], epochs=1)
    assert events[:2] == ["first.on_fit_start 0/0", "second.on_fit_start 0/0"]
    assert events[-2:] == ["second.on_fit_end 1/4", "first.on_fit_end 1/4"]


@pytest.mark.parametrize(
    ("every", "steps"), [(Every(steps=3), [3, 6]), (Every(epochs=1), [4, 8]), (Every(epochs=2), [8])], ids=str
)
def test_a_cadence_is_kept_to_the_step(keras, every, steps):
    events: list[str] = []
    fit(keras, [Recorder(events, every=every)])
    assert [int(event.rpartition("/")[2]) for event in events if "on_step_end" in event] == steps


def test_validation_every_few_steps_leaves_the_training_numbers_as_they_are(keras):
    events: list[str] = []
    often = fit(keras, [Recorder(events)], validate_every=Every(steps=3))
    assert [event.split()[1] for event in without(events) if "on_validation_end" in event] == ["1/3", "2/6", "2/8"]
    kinds = [(line["kind"], line["step"]) for line in often.history]
    assert kinds == [("validation", 3), ("epoch", 4), ("validation", 6), ("epoch", 8)]
    assert ["val_loss" in line for line in often.history] == [True, False, True, True]
    rarely = fit(keras, [])
    for name in ("loss", "accuracy"):
        expected = [line[name] for line in rarely.history]
        assert [line[name] for line in often.history if line["kind"] == "epoch"] == expected


class Stopper(Plugin):
    """Requests a stop at a step, twice."""

    every = Every(steps=1)

    def __init__(self, step: int, fail: bool = False) -> None:
        self.step, self.fail = step, fail

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step:
            (run.fail if self.fail else run.stop)("enough")
            run.stop("another reason")


def test_a_request_to_stop_lets_everyone_have_their_turn_and_closes_the_epoch(keras):
    events: list[str] = []
    run = fit(keras, [Stopper(6), Recorder(events)])
    assert without(events)[-6:] == [
        "on_step_end 2/6",
        "on_validation_start 2/6",
        "on_validation_end 2/6",
        "on_epoch_end 2/6",
        "on_test_end 2/6",
        "on_fit_end 2/6",
    ]
    assert (run.stop_reason, run.status, run.step) == ("enough", "done", 6)
    assert [line["step"] for line in run.history] == [4, 6]


def test_a_failed_run_looks_at_no_more_data(keras):
    events: list[str] = []
    with pytest.raises(TrainingFailed, match="enough"):
        fit(keras, [Stopper(6, fail=True), Recorder(events)])
    assert without(events)[-3:] == ["on_step_end 2/6", "on_exception 2/6", "on_fit_end 2/6"]


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook not in ("on_exception", "on_validation_step")])
def test_a_steering_plugin_that_raises_ends_the_run_by_name_and_everyone_is_closed(keras, hook):
    events: list[str] = []
    plugins = [Recorder(events, "one"), Recorder(events, "bad", raises=hook), Recorder(events, "three")]
    with pytest.raises(PluginError, match=f"plugin 'bad' failed in {hook}: ZeroDivisionError: on purpose"):
        fit(keras, plugins)
    started = {event.split(".")[0] for event in events if "on_fit_start" in event}
    ended = {event.split(".")[0] for event in events if "on_fit_end" in event}
    assert ended == started
    assert "three" in ended or hook == "on_fit_start"


def test_an_observer_that_raises_everywhere_changes_nothing_and_is_mentioned_once(keras, caplog):
    import numpy as np

    events: list[str] = []
    watched = fit(keras, [Watcher(events, "watcher", raises="everywhere"), Recorder(events)])
    alone = fit(keras, [Recorder([])])
    for ours, theirs in zip(watched.model.variables, alone.model.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [record.getMessage() for record in caplog.records] == [
        "plugin 'watcher' failed in on_fit_start: ZeroDivisionError: on purpose; "
        "the plugin is disabled and training continues"
    ]
    assert without(events, "recorder") == ["watcher.on_fit_start 0/0", "watcher.on_fit_end 2/8"]


def test_a_plugins_traceback_is_kept_where_its_author_finds_it(keras, tmp_path):
    with pytest.raises(PluginError, match=r"traceback in .*error\.log"):
        fit(keras, [Recorder([], raises="on_epoch_end")], run_dir=tmp_path / "run")
    assert "ZeroDivisionError" in (tmp_path / "run" / "error.log").read_text()
    assert not (tmp_path / "run" / "result.json").exists()


class At(Plugin):
    """Calls methods of the run in a hook, at a step."""

    every = Every(steps=1)

    def __init__(self, hook: str, step: int, *calls: str) -> None:
        self.hook, self.step, self.calls = hook, step, calls

    def _maybe(self, run: Run, hook: str) -> None:
        if (hook, run.step) == (self.hook, self.step):
            for call in self.calls:
                getattr(run, call)(f"{call} was asked for")


def _call(name: str):
    return lambda self, run: self._maybe(run, name)


for _name in HOOKS:
    setattr(At, _name, _call(_name))


def test_a_failure_outweighs_a_request_to_stop(keras):
    with pytest.raises(TrainingFailed, match="fail was asked for"):
        fit(keras, [At("on_epoch_end", 4, "stop", "fail")])


def test_a_failure_at_the_end_of_an_epoch_ends_it_there_and_saves_nothing(keras, tmp_path):
    from plugins.checkpoint import Checkpoint

    events: list[str] = []
    with pytest.raises(TrainingFailed):
        fit(keras, [Checkpoint(), At("on_step_end", 8, "fail"), Recorder(events)], run_dir=tmp_path / "run")
    assert not [event for event in events if event.endswith(("on_validation_start 2/8", "on_epoch_end 2/8"))]
    assert (tmp_path / "run" / "checkpoints" / "last").read_text() == "epoch=0001-step=0000004\n"


def test_a_stop_in_a_validation_amid_an_epoch_closes_the_epoch(keras):
    run = fit(keras, [At("on_validation_end", 3, "stop")], validate_every=Every(steps=3))
    assert [(line["kind"], line["step"], "val_loss" in line) for line in run.history] == [("epoch", 3, True)]
    assert run.images == 75


def test_a_stop_at_the_end_of_an_epoch_without_validation_is_validated(keras):
    run = fit(keras, [At("on_epoch_end", 4, "stop")], validate_every=Every(steps=100))
    assert [(line["kind"], line["step"]) for line in run.history] == [("epoch", 4), ("validation", 4)]
    assert run.result["best"]["val_loss"] == run.history[-1]["val_loss"]


@pytest.mark.parametrize("hook", ["on_fit_start", "on_epoch_start"])
def test_a_stop_before_the_first_step_trains_nothing(keras, hook):
    run = fit(keras, [At(hook, 0, "stop")])
    assert (run.status, run.step, run.history) == ("done", 0, [])


def test_a_trainer_used_twice_remembers_nothing_of_the_first_run(keras):
    from plugins.early_stopping import EarlyStopping
    from trainer.data.pipeline import TrainingRows
    from trainer.trainer import Trainer

    images = keras.Input((12, 12, 1))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
    plugin = EarlyStopping()
    trainer = Trainer(model, plugins=[plugin])
    train = TrainingRows(make_images(100), batch_size=25, augmentation="none")
    trainer.fit(train, validation_data=make_images(20, seed=1), epochs=1)
    first = plugin.best.value
    plugin.best.value = 0.0
    trainer.fit(train, validation_data=make_images(20, seed=1), epochs=1)
    assert 0 < plugin.best.value < first


@pytest.mark.parametrize("arguments", [{"epochs": 0}, {"steps": 0}, {"steps": -1}])
def test_nothing_to_train_is_reported(keras, arguments):
    with pytest.raises(UsageError, match=r"(epochs|steps) must be greater than 0: "):
        fit(keras, [], **arguments)


class Forgetful(Recorder):
    """Cannot return its state."""

    def state(self):
        return {"value": object()}


def test_a_plugin_whose_state_cannot_be_kept_is_named(keras, tmp_path):
    from plugins.checkpoint import Checkpoint

    with pytest.raises(PluginError, match="plugin 'recorder' failed in state: TypeError: Object of type object"):
        fit(keras, [Checkpoint(), Forgetful([])], run_dir=tmp_path / "run")


class Interrupter(Plugin):
    """Sends Ctrl-C to the process at a step."""

    every = Every(steps=1)

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, run: Run) -> None:
        if run.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_saves_the_step_reached_and_skips_the_test_data(keras, tmp_path):
    events: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    interrupted = trainer(keras, [Interrupter(6), Recorder(events)], run_dir=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt, match=r"stopped by Ctrl-C"):
        train(interrupted)
    run = interrupted.run
    assert (run.status, run.signal, run.stop_reason) == ("interrupted", signal.SIGINT, "stopped by Ctrl-C")
    assert without(events)[-2:] == ["on_step_end 2/6", "on_fit_end 2/6"]
    assert (tmp_path / "run" / "checkpoints" / "last").read_text() == "epoch=0002-step=0000006-unfinished\n"
    assert not (tmp_path / "run" / "result.json").exists()
    assert signal.getsignal(signal.SIGINT) is before


class LateInterrupter(Plugin):
    """Sends Ctrl-C to the process once the test data were evaluated."""

    def on_test_end(self, run: Run) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_while_the_result_is_written_lets_the_run_end_and_then_stops_what_follows(keras, tmp_path):
    late = trainer(keras, [LateInterrupter()], run_dir=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt, match="the run is done"):
        train(late)
    assert late.run.status == "done"
    assert (tmp_path / "run" / "result.json").is_file()


def test_steps_and_time_limit_end_a_run(keras):
    assert fit(keras, [], steps=6).step == 6
    limited = fit(keras, [], max_time=1e-9)
    assert (limited.step, limited.stop_reason) == (1, "the time limit of 1e-09 s was reached")
    assert "val_loss" in limited.history[-1]


def test_two_plugins_of_one_name_and_an_unknown_monitor_are_reported_before_step_0(keras):
    with pytest.raises(UsageError, match="plugin 'recorder' is listed twice"):
        fit(keras, [Recorder([]), Recorder([])])
    events: list[str] = []
    curious = Recorder(events)
    curious.monitors = ("val_los",)
    with pytest.raises(
        UsageError, match=r"monitors 'val_los', which is not logged; did you mean 'val_loss'\? \(logged: "
    ):
        fit(keras, [curious])
    assert events == []


def test_a_misspelt_hook_is_an_error_when_the_class_is_defined():
    with pytest.raises(
        TypeError, match=r"Slip\.on_epoch_ended is not a hook; did you mean 'on_epoch_end'\? \(hooks: on_fit"
    ):

        class Slip(Plugin):
            def on_epoch_ended(self, run: Run) -> None:
                pass


def test_what_a_plugin_class_may_not_be():
    with pytest.raises(TypeError, match=r"Bare\.on_epoch_end must take one argument besides self, the run"):

        class Bare(Plugin):
            def on_epoch_end(self) -> None:
                pass

    with pytest.raises(TypeError, match="monitors and logs must be tuples of names"):

        class Text(Plugin):
            monitors = "val_loss"

    class Mixin:
        def on_epoch_ended(self, run: Run) -> None:
            pass

    with pytest.raises(TypeError, match="on_epoch_ended is not a hook"):

        class Mixed(Mixin, Plugin):
            pass

    class NaNGuard2(Plugin):
        pass

    class EMADecay(Plugin):
        pass

    assert (NaNGuard2.name, EMADecay.name) == ("na_n_guard2", "ema_decay")
