"""Is the configuration merged in order, checked, and written so that it can be read back?"""

from __future__ import annotations

import argparse
import math
import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT

from trainer.config.flags import add_flags
from trainer.config.merge import override, read_toml, resolve
from trainer.config.schema import DEFAULT_PLUGINS, Config
from trainer.config.spec import parse_source, parse_spec
from trainer.config.types import parse_duration
from trainer.errors import UsageError

FIT = runpy.run_path(str(ROOT / "scripts" / "fit.py"))
Configure = Callable[..., Config]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Return the configuration that `fit.py` makes of a file's text and flags."""

    def configuration(*arguments: str, file: str | None = None) -> Config:
        if file is not None:
            (tmp_path / "file.toml").write_text(file)
            arguments = ("--config", str(tmp_path / "file.toml"), *arguments)
        return FIT["configuration"](FIT["parser"]().parse(arguments))

    return configuration


def refusal(call: Callable[[], object]) -> str:
    """Return the error message for a configuration that must be refused."""
    with pytest.raises(UsageError) as caught:
        call()
    return str(caught.value)


# Flags


def test_the_help_of_a_flag_says_what_the_schema_says_with_its_default():
    help_text = " ".join(FIT["parser"]().format_help().split())
    assert "--batch-size N training batch size (default: 128)" in help_text
    assert f"--lr X peak learning rate (default: {Config().optimizer.learning_rate})" in help_text
    assert "--kernels auto|keras|fused|blocks implementation of a training step (default: auto)" in help_text
    assert "--steps N optimizer steps, instead of epochs --max-time 10m time limit for training --seed" in help_text
    assert "--model NAME[:key=value,…] architecture, and the arguments of its builder (default: lenet)" in help_text


def test_every_flag_of_the_schema_has_a_help_text():
    parser = argparse.ArgumentParser()
    add_flags(dict.fromkeys(("model", "task", "data", "optimizer", "training"), parser))
    assert len(parser._actions) > 15
    assert all(action.help and "\n" not in action.help for action in parser._actions)


# Precedence


def test_flags_win_over_set_over_the_file_over_the_defaults(configure):
    file = "[training]\nepochs = 2\nseed = 2\nlog_every_steps = 2\n"
    training = configure(
        *("--set", "training.epochs=3", "--set", "training.seed=3", "--epochs", "4"), file=file
    ).training
    assert (training.epochs, training.seed, training.log_every_steps) == (4, 3, 2)
    assert (training.dtype, training.max_time) == ("float32", None)


def test_no_flag_and_no_file_give_the_defaults(configure):
    assert configure() == resolve([]) == Config()


def test_every_flag_arrives_at_its_key(configure):
    config = configure(
        *("--model", "mlp:units=[3]", "--task", "classification:label_smoothing=0.1", "--data", "d", "--data-dir", "f"),
        *("--test-data", "t", "--batch-size", "7", "--augment", "strong", "--steps", "5"),
        *("--max-time", "2m", "--optimizer", "sgd", "--lr", "0.5", "--schedule", "constant", "--seed", "9"),
        *("--kernels", "blocks"),
        *("--deterministic", "--import", "m", "--progress", "plain"),
    )
    assert config.to_dict() == {
        "model": {"name": "mlp", "args": {"units": [3]}},
        "task": {"name": "classification", "args": {"label_smoothing": 0.1}},
        "data": {
            **{"name": "d", "args": {}, "folder": "f", "test": "t", "test_args": {}},
            "batch_size": 7,
            "augmentation": "strong",
            "augmentation_args": {},
        },
        "optimizer": {"name": "sgd", "args": {}, "learning_rate": 0.5, "schedule": "constant", "warm_up": 0.05},
        "training": {
            **{"steps": 5, "max_time": 120.0, "seed": 9, "deterministic": True, "dtype": "float32"},
            **{"log_every_steps": 50, "kernels": "blocks"},
        },
        "imports": ["m"],
        "plugins": {**DEFAULT_PLUGINS, "progress": {"mode": "plain"}},
    }


def test_the_last_of_two_assignments_wins():
    assert override(Config(), ["training.epochs=2", "training.epochs=3"]).training.epochs == 3


# Epochs or steps


@pytest.mark.parametrize("earlier", ["--config", "--set"])
def test_epochs_on_the_command_line_replace_steps_given_before_and_the_other_way_round(configure, earlier):
    def trained(before: str, *flags: str) -> dict[str, object]:
        said = {"file": f"[training]\n{before}\n"} if earlier == "--config" else {}
        told = ("--set", f"training.{before}") if earlier == "--set" else ()
        training = tomllib.loads(configure(*told, *flags, **said).to_toml())["training"]
        return {key: value for key, value in training.items() if key in ("epochs", "steps")}

    assert trained("steps=7") == {"steps": 7}
    assert trained("steps=7", "--epochs", "3") == {"epochs": 3}
    assert trained("epochs=3", "--steps", "7") == {"steps": 7}


def test_steps_in_a_file_can_be_unset_by_set(configure):
    training = configure("--set", "training.epochs=3", file="[training]\nsteps = 7\n").training
    assert (training.epochs, training.steps) == (3, None)


def test_epochs_and_steps_in_one_breath_are_refused(configure, tmp_path):
    said = "training.epochs and training.steps exclude each other; remove one of them"
    assert refusal(lambda: configure("--epochs", "3", "--steps", "7")) == said
    sets = ("--set", "training.epochs=3", "--set", "training.steps=7")
    assert refusal(lambda: configure(*sets)) == f"--set: {said}"
    file = "[training]\nepochs = 3\nsteps = 7\n"
    assert refusal(lambda: configure(file=file)) == f"{tmp_path / 'file.toml'}: {said}"


# The arguments of models and tasks


def test_arguments_given_by_set_belong_to_the_model_that_a_flag_names(configure):
    config = configure("--set", "model.args.units=[4]", "--model", "mlp:dropout=0.1")
    assert (config.model.name, config.model.args) == ("mlp", {"units": [4], "dropout": 0.1})


def test_a_flag_that_names_the_model_of_the_file_keeps_its_arguments(configure):
    file = '[model]\nname = "mlp"\n[model.args]\ndropout = 0.5\nunits = [4]\n'
    assert configure("--model", "mlp:dropout=0.1", file=file).model.args == {"dropout": 0.1, "units": [4]}


def test_another_model_does_not_inherit_the_arguments_of_the_one_in_the_file(configure):
    file = '[model]\nname = "mlp"\nargs = {units = [4]}\n'
    assert configure("--model", "lenet", file=file).model.args == {}


# The list of plugins


def test_a_table_of_plugins_in_a_file_replaces_the_default_list_as_a_whole(configure):
    file = "[plugins.progress]\n[plugins.early_stopping]\npatience = 2\n"
    assert list(configure(file=file).plugins.items()) == [("progress", {}), ("early_stopping", {"patience": 2})]


def test_a_file_without_plugins_keeps_the_default_list(configure):
    assert configure(file="[training]\nepochs = 1\n").plugins == DEFAULT_PLUGINS


def test_an_empty_table_of_plugins_means_none(configure):
    config = configure(file="[plugins]\n")
    assert config.plugins == {}
    assert resolve([tomllib.loads(config.to_toml())]).plugins == {}


def test_a_plugin_flag_updates_in_place_or_appends(configure):
    plugins = configure("--plugin", "early_stopping:patience=9", "--plugin", "mine:x=1", "--plugin", "mine:y=2").plugins
    assert list(plugins) == [*DEFAULT_PLUGINS, "mine"]
    assert plugins["early_stopping"] == {"monitor": "val_loss", "patience": 9}
    assert plugins["mine"] == {"x": 1, "y": 2}


def test_a_no_plugin_flag_removes_and_keeps_the_order_of_the_rest(configure):
    plugins = configure("--no-plugin", "report", "--no-plugin", "nan_guard").plugins
    assert list(plugins) == ["early_stopping", "mlflow", "checkpoint", "progress"]


def test_leaving_out_what_is_not_there_is_reported_with_the_nearest(configure):
    assert refusal(lambda: configure("--no-plugin", "mlfow")).startswith(
        "--no-plugin mlfow: not a plugin of this run; did you mean 'mlflow'? (nan_guard, early_stopping, "
    )


def test_the_defaults_are_not_changed_by_a_configuration(configure):
    configure("--plugin", "early_stopping:patience=9", "--set", "plugins.early_stopping.patience=8")
    assert Config().plugins["early_stopping"] == {"monitor": "val_loss", "patience": 5}


def test_set_reaches_the_arguments_of_a_plugin_and_adds_a_new_one():
    plugins = override(Config(), ["plugins.early_stopping.patience=2", "plugins.mine.depth=1"]).plugins
    assert plugins["early_stopping"] == {"monitor": "val_loss", "patience": 2}
    assert list(plugins)[-1] == "mine"


# Unknown keys


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("trainig", "unknown key 'trainig'; did you mean 'training'? (known: model, task, data, optimizer, "),
        ("training.epoch", "unknown key 'training.epoch'; did you mean 'epochs'? (known: epochs, steps, "),
        ("model.arg", "unknown key 'model.arg'; did you mean 'args'? (known: name, args)"),
        ("epochs", "unknown key 'epochs'; did you mean 'training.epochs'? (known: model, "),
        ("data.seed", "unknown key 'data.seed'; did you mean 'training.seed'? (known: name, args, folder, "),
        ("optimizer.xyz", "unknown key 'optimizer.xyz' (known: name, args, "),
    ],
)
def test_an_unknown_key_is_reported_with_the_nearest_in_a_file_and_in_set(configure, key, said):
    *table, leaf = key.split(".")
    file = "".join(f"[{name}]\n" for name in table) + f"{leaf} = 3\n"
    assert said in refusal(lambda: configure(file=file))
    assert said in refusal(lambda: configure("--set", f"{key}=3"))


def test_a_file_is_named_when_something_is_wrong_with_it(configure, tmp_path):
    assert refusal(lambda: configure(file="seeds = 3")).startswith(f"{tmp_path / 'file.toml'}: unknown key 'seeds'")


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("training.epochs", "--set training.epochs: expected key=value, such as --set training.epochs=3"),
        ("=3", "--set =3: expected key=value, such as --set training.epochs=3"),
        ("trainin.epochs=3", "--set trainin.epochs=3: unknown key 'trainin'; did you mean 'training'?"),
        ("training.epochs.x=3", "--set training.epochs.x=3: training.epochs is a value and has no keys"),
    ],
)
def test_an_assignment_that_leads_nowhere_is_refused(assignment, said):
    assert refusal(lambda: override(Config(), [assignment])) == said


# Types and ranges


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("training.epochs=0", "training.epochs = 0: must be greater than or equal to 1"),
        ("training.epochs=2.5", "training.epochs = 2.5: must be a whole number"),
        ('training.epochs="3"', "training.epochs = '3': must be a whole number"),
        ("training.epochs=true", "training.epochs = True: must be a whole number"),
        ("training.steps=-1", "training.steps = -1: must be greater than or equal to 1"),
        ("training.seed=-1", "training.seed = -1: must be greater than or equal to 0"),
        (f"training.seed={2**32}", f"training.seed = {2**32}: must be less than {2**32}"),
        ("training.deterministic=1", "training.deterministic = 1: must be true or false"),
        ("training.max_time=0", "training.max_time = 0: must be greater than 0"),
        ("training.max_time=soon", "training.max_time = 'soon': 'soon' is not a duration such as 90s, 10m or 1h30m"),
        (
            "training.dtype=float16",
            "training.dtype = 'float16': no such choice; did you mean 'float32'? (choices: float32, mixed_bfloat16)",
        ),
        ("optimizer.learning_rate=0", "optimizer.learning_rate = 0: must be greater than 0"),
        ("optimizer.learning_rate=nan", "optimizer.learning_rate = nan: must be a finite number"),
        ("optimizer.learning_rate=inf", "optimizer.learning_rate = inf: must be a finite number"),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate = 'fast': must be a number"),
        (
            "optimizer.schedule=cosin",
            "optimizer.schedule = 'cosin': no such choice; did you mean 'cosine'? (choices: cosine, constant)",
        ),
        (
            "training.kernels=blokcs",
            "training.kernels = 'blokcs': no such choice; did you mean 'blocks'? (choices: auto, keras, fused, blocks)",
        ),
        ("data.batch_size=0", "data.batch_size = 0: must be greater than or equal to 1"),
        ("data.name=5", "data.name = 5: must be text"),
        (
            "data.augmentation=lite",
            "data.augmentation = 'lite': no such choice; did you mean 'light'? (choices: none, light, strong)",
        ),
        ("imports=praise", "imports = 'praise': must be a list"),
        ("model=mlp", "model = 'mlp': must be a table"),
        ("plugins.progress=3", "plugins.progress = 3: must be a table"),
        ("plugins=[1]", "plugins = [1]: must be a table"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_reported_in_plain_words(assignment, said):
    assert refusal(lambda: override(Config(), [assignment])) == f"--set: {said}"


@pytest.mark.parametrize("flags", [("--lr", "-1"), ("--epochs", "0"), ("--seed", "-3"), ("--max-time", "0s")])
def test_ranges_hold_for_flags_too(configure, flags):
    assert "must be greater than" in refusal(lambda: configure(*flags))


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("10m", 600), ("1h30m", 5400), ("1h1m1s", 3661), (" 2h ", 7200), (5, 5)],
)
def test_a_duration_is_read_in_hours_minutes_and_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10 parsecs", "5m1h", "-5s", "1d"])
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a duration such as 90s, 10m or 1h30m$"):
        parse_duration(text)


# Specs


@pytest.mark.parametrize(
    ("spec", "name", "arguments"),
    [
        ("lenet", "lenet", {}),
        ("lenet:dropout=0.2", "lenet", {"dropout": 0.2}),
        ("mlp:units=[300, 100],dropout=0.2", "mlp", {"units": [300, 100], "dropout": 0.2}),
        ("m:a=1,b=2.5,c=true,d=word,e=1e-3", "m", {"a": 1, "b": 2.5, "c": True, "d": "word", "e": 1e-3}),
        ("m:a='x, y',b=\"1, 2\"", "m", {"a": "x, y", "b": "1, 2"}),
        ("m:a='1'", "m", {"a": "1"}),
        ("m:uri=sqlite:///runs/x.db,b=1", "m", {"uri": "sqlite:///runs/x.db", "b": 1}),
        ("m: a = 1 , b = two words ", "m", {"a": 1, "b": "two words"}),
        ("m:names=['a', 'b'],x=1", "m", {"names": ["a", "b"], "x": 1}),
        ("m:a=[[1, 2], [3]],b={c = [4], d = 5},e=[]", "m", {"a": [[1, 2], [3]], "b": {"c": [4], "d": 5}, "e": []}),
        ("m:a=x=y", "m", {"a": "x=y"}),
        ("m:a=[mae, f1_score],b=[true, 1e-3, x/y.z]", "m", {"a": ["mae", "f1_score"], "b": [True, 1e-3, "x/y.z"]}),
        (
            "m:a={digit=huber, odd=[bce]},b={0=1, 9=2.5}",
            "m",
            {"a": {"digit": "huber", "odd": ["bce"]}, "b": {"0": 1, "9": 2.5}},
        ),
        ("m:a=[x=y],b=[2020-01-01]", "m", {"a": "[x=y]", "b": "[2020-01-01]"}),
    ],
)
def test_a_name_with_arguments_is_read_as_toml_else_as_text(spec, name, arguments):
    assert parse_spec(spec) == (name, arguments)


@pytest.mark.parametrize("spec", ["", ":", "m:", ":a=1", "m:a", "m:a=1,b", "m:=1", "m:1=a", "m:a=x, y"])
def test_what_is_not_a_name_with_arguments_is_refused_with_the_form(spec):
    assert refusal(lambda: parse_spec(spec)).startswith(f"{spec!r}: write NAME")


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("mine:fold=2", "mine", {"fold": 2}),
        ("mine:fold=2,parts=['a', 'b']", "mine", {"fold": 2, "parts": ["a", "b"]}),
        ("mnist:3.0.1", "mnist:3.0.1", {}),
        ("emnist/letters", "emnist/letters", {}),
        ("C:\\images", "C:\\images", {}),
        ("a:b", "a:b", {}),
        ("/there:fold=1", "/there", {"fold": 1}),
        ("", "", {}),
    ],
)
def test_data_may_have_arguments_and_colons_in_its_name(text, name, arguments):
    assert parse_source(text) == (name, arguments)


def test_a_path_that_exists_is_a_path_whatever_it_looks_like(tmp_path):
    (tmp_path / "set:fold=1").mkdir()
    assert parse_source(f"{tmp_path}/set:fold=1") == (f"{tmp_path}/set:fold=1", {})
    assert parse_source(f"{tmp_path}/set:fold=2") == (f"{tmp_path}/set", {"fold": 2})


def test_arguments_of_data_are_a_table_of_their_own_and_go_with_their_name(configure):
    config = configure("--data", "mine:fold=2,kind=x", "--test-data", "mine:fold=3", "--batch-size", "7")
    assert (config.data.name, config.data.args) == ("mine", {"fold": 2, "kind": "x"})
    assert (config.data.test, config.data.test_args, config.data.batch_size) == ("mine", {"fold": 3}, 7)
    file = config.to_toml()
    assert configure("--data", "mine:fold=5", file=file).data.args == {"fold": 5, "kind": "x"}
    assert configure("--data", "other", file=file).data.args == {}
    assert configure("--test-data", "other", file=file).data.test_args == {}
    assert configure("--set", "data.args.fold=9", file=file).data.args == {"fold": 9, "kind": "x"}


# Files


def test_a_file_that_is_not_toml_is_reported_with_the_line(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("[training]\nepochs = = 3\n")
    assert refusal(lambda: read_toml(path)) == f"{path} is not valid TOML: Invalid value (at line 2, column 10)"


def test_a_file_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe")
    assert refusal(lambda: read_toml(path)).startswith(f"{path} is not valid TOML: ")


@pytest.mark.parametrize(("name", "reason"), [("none.toml", "No such file or directory"), (".", "is not a file of at")])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, reason):
    said = refusal(lambda: read_toml(tmp_path / name))
    assert said.startswith(f"cannot read {tmp_path / name}: ")
    assert reason in said


# Written and read back


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--max-time", "10m", "--steps", "7", "--test-data", "elsewhere.npz", "--import", "praise"),
        (
            "--model",
            "mlp:units=[3, 4],note=\"a, 'b' = c\"",
            "--plugin",
            "mine:x=1,y=[[1], [2]]",
            "--no-plugin",
            "report",
        ),
        ("--data", "mine:fold=2", "--test-data", "mine:fold=3,of=[1, 2]"),
        ("--set", "optimizer.args={weight_decay = 0.01, nesterov = true}", "--set", "optimizer.clip_norm=1"),
    ],
)
def test_what_is_written_down_is_read_back_as_the_same_configuration(configure, flags):
    config = configure(*flags)
    again = configure(file=config.to_toml())
    assert again == config
    assert again.to_toml() == config.to_toml()
    assert list(again.plugins) == list(config.plugins)


def test_a_configuration_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot assign to field 'epochs'"):
        Config().training.epochs = 3  # type: ignore[misc]


def test_a_time_limit_is_kept_in_seconds(configure):
    assert math.isclose(tomllib.loads(configure("--max-time", "1h30m").to_toml())["training"]["max_time"], 5400)


def test_the_model_is_registered_by_the_plugin_that_logs_it(configure):
    assert configure("--register", "digits").plugins["mlflow"] == {"register": "digits"}
    with pytest.raises(UsageError, match="--register needs the plugin mlflow"):
        configure("--register", "digits", "--no-plugin", "mlflow")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("data.augmentation_args.rotaton=3", "augmentation has no argument 'rotaton'; did you mean 'rotation'"),
        ("data.augmentation_args.degraded=2", "augmentation: degraded = 2.0: must be less than or equal to 1"),
    ],
)
def test_a_wrong_value_of_augmentation_is_reported(assignment, message):
    from trainer.data.augmentation.strength import strength

    args = override(Config(), [assignment]).data.augmentation_args
    with pytest.raises(UsageError, match=message):
        strength("light", args)
    assert strength("light", {"rotation": 3}).rotation == 3
