"""Is a plugin that cannot work refused when its class is defined, and do plugins run in the order of their needs?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SILENT, Script, make_images

from trainer import Every, Plugin, Run
from trainer.errors import HookError, UsageError
from trainer.plugin import in_order

# A class


def test_on_step_end_without_a_cadence_is_reported_with_what_the_choice_costs():
    with pytest.raises(HookError, match=r"^Praise has on_step_end but no `every`; set every = Every\(steps=100\) or"):

        class Praise(Plugin):
            def on_step_end(self, run: Run) -> None:
                """Say something nice."""


def test_a_cadence_may_come_from_a_base_and_be_replaced_by_the_object():
    class Daily:
        every = Every(epochs=1)

    class Praise(Daily, Plugin):
        def on_step_end(self, run: Run) -> None:
            """Say something nice."""

    class Often(Praise):
        def __init__(self) -> None:
            self.every = Every(steps=3)

        def on_step_end(self, run: Run) -> None:
            """Say something nicer."""

    assert (Praise().every, Often().every) == (Every(epochs=1), Every(steps=3))


def test_a_plugin_without_on_step_end_needs_no_cadence():
    class Quiet(Plugin):
        def on_epoch_end(self, run: Run) -> None:
            """Say nothing."""

    assert Quiet().every == Every()


# The order


def plugin(name: str, monitors: tuple[str, ...] = (), logs: tuple[str, ...] = ()) -> Plugin:
    made = Plugin()
    made.name, made.monitors, made.logs = name, monitors, logs
    return made


def names(*plugins: Plugin) -> list[str]:
    return [plugin.name for plugin in in_order(plugins)]


def test_plugins_that_need_nothing_stay_in_the_order_written():
    assert names(plugin("c", ("loss",)), plugin("a", logs=("x",)), plugin("b", ("x",))) == ["c", "a", "b"]


def test_what_is_monitored_is_logged_before_whatever_the_order_written():
    last, middle, first = plugin("last", ("x", "y")), plugin("middle", ("y",), ("x",)), plugin("first", logs=("y",))
    other = plugin("other")
    assert names(other, last, middle, first) == ["other", "first", "middle", "last"]
    assert names(first, other, last, middle) == ["first", "other", "middle", "last"]


def test_a_plugin_may_monitor_what_it_logs_itself():
    assert names(plugin("a"), plugin("own", ("x",), ("x",)), plugin("b")) == ["a", "own", "b"]


def test_plugins_in_a_circle_are_named():
    circle = [plugin("free"), plugin("a", ("x",), ("z",)), plugin("b", ("y",), ("x",)), plugin("c", ("z",), ("y",))]
    with pytest.raises(UsageError) as told:
        in_order(circle)
    assert str(told.value) == (
        "plugins depend on each other in a cycle: 'a' monitors 'x', which 'b' logs; 'b' monitors 'y', which 'c' logs; "
        "'c' monitors 'z', which 'a' logs; remove one, or monitor another value"
    )


class Halves(Plugin):
    """Logs half of the validation loss."""

    logs = ("val_half",)

    def on_validation_end(self, run: Run) -> None:
        run.log("val_half", run.logs["val_loss"] / 2)


class Reader(Plugin):
    """Records what another plugin logs."""

    monitors = ("val_half",)

    def __init__(self) -> None:
        self.read: list[float] = []

    def on_validation_end(self, run: Run) -> None:
        self.read.append(run.logs["val_half"])


def small(keras, plugins: list[Plugin]):
    from trainer.trainer import Trainer

    images = keras.Input((12, 12, 1))
    return Trainer(keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images))), plugins=plugins)


def test_a_trainer_takes_a_plugin_that_is_listed_before_the_one_it_needs(keras):
    reader = Reader()
    run = small(keras, [reader, Halves()]).fit(make_images(40), validation_data=make_images(20, seed=1), epochs=2)
    assert reader.read == [line["val_loss"] / 2 for line in run.history]


def test_a_trainer_refuses_a_circle_before_step_0(keras):
    with pytest.raises(UsageError, match="'a' monitors 'x', which 'b' logs; 'b' monitors 'y', which 'a' logs"):
        small(keras, [plugin("a", ("x",), ("y",)), plugin("b", ("y",), ("x",))])


USER = """
from trainer import Plugin
from trainer.registry import plugins

@plugins.register("halves")
class Halves(Plugin):
    logs = ("val_half",)

    def __init__(self, monitor: str = ""):
        self.monitors = (monitor,) if monitor else ()

    def on_validation_end(self, run):
        run.log("val_half", run.logs["val_loss"] / 2)

@plugins.register("quarters")
class Quarters(Plugin):
    logs, monitors = ("val_quarter",), ("val_half",)

    def on_validation_end(self, run):
        run.log("val_quarter", run.logs["val_half"] / 2)
"""


def test_a_plugin_added_on_the_command_line_works_where_it_is_needed(script: Script, tmp_path: Path, tiny: Path):
    (tmp_path / "mine.py").write_text(USER)
    fit = ("fit.py", "--data", tiny, "--epochs", "1", "--import", "mine", "--run-dir", "run", *SILENT)
    watch = ("--plugin", "early_stopping:monitor=val_half,mode=min", "--plugin", "halves")
    done = script(*fit, *watch)
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, (tmp_path / "run" / "history.jsonl").read_text().splitlines())
    assert line["val_half"] == line["val_loss"] / 2

    circle = script(*fit, "--plugin", "halves:monitor=val_quarter", "--plugin", "quarters")
    assert circle.returncode == 2
    assert circle.stderr.startswith(
        "fit.py: error: plugins depend on each other in a cycle: 'halves' monitors 'val_quarter'"
    )
