"""Is a mistake on the command line one line that says what to do, reported before anything is started?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import ALONE, ROOT, Done, make_images, run_script
from PIL import Image

from trainer import registry
from trainer.checkpoint import STATE, Checkpoints
from trainer.config.schema import Config, ModelConfig, OptimizerConfig
from trainer.config.spec import parse_spec
from trainer.engine.ledger import Ledger
from trainer.errors import UsageError
from trainer.session import start

HEAVY = ("tensorflow", "keras", "numpy", "mlflow", "matplotlib", "pandas")
BAN = f"""
import sys

class Ban:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise SystemExit(f"{{name}} was imported")

sys.meta_path.insert(0, Ban())
"""
"""A sitecustomize that ends a process which imports anything slow."""

MODULES = {
    "misspelt": """
from trainer import Plugin

class Trace(Plugin):
    def on_epoch_ended(self, run): ...
""",
    "first": """
from trainer import Plugin
from trainer.registry import plugins

@plugins.register("trace")
class First(Plugin):
    "Follow the run."
""",
    "second": """
from trainer import Plugin
from trainer.registry import plugins

@plugins.register("trace")
class Second(Plugin): ...
""",
    "usurper": """
from trainer.registry import models

@models.register("lenet")
def mine(input_shape, num_classes): ...
""",
    "namesake": """
from trainer import Plugin
from trainer.registry import plugins

@plugins.register("classification")
class Classification(Plugin): ...
""",
    "broken": "raise RuntimeError('the author was here\\nand there')",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the modules above, and with data that ends a run as soon as it is read."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "unreadable.npz").write_bytes(b"no archive")
    (tmp_path / "sitecustomize.py").write_text(BAN)
    (tmp_path / "wrong.toml").write_text("[training]\nepoch = 3\n")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "manifest.json").touch()  # looks like a checkpoint until it is read
    return tmp_path


def light(folder: Path, name: str, *arguments: str) -> Done:
    """Run a script that must not import TensorFlow."""
    return run_script(folder, name, *arguments, env={"PYTHONPATH": str(folder)})


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def message(done: Done, status: int = 2) -> str:
    """Return the one line on stderr of a script that refused to start."""
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1), done.stderr
    script, _, said = done.stderr.strip().partition(": error: ")
    assert script == Path(done.args[1]).name
    return said


def test_the_ban_on_tensorflow_works(folder):
    done = subprocess.run(
        [sys.executable, "-c", "import keras"],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (1, "keras was imported\n")


QUICK = {
    ("--model", "lenett"): "unknown model 'lenett'; did you mean 'lenet'? (known: lenet, lenet5, ",
    ("--plugin", "progres"): "unknown plugin 'progres'; did you mean 'progress'? (known: ",
    ("--data", "fashon_mnist"): "unknown data source 'fashon_mnist'; did you mean 'fashion_mnist'? (known: auto, ",
    ("--task", "clasification"): "unknown task 'clasification'; did you mean 'classification'? (known: ",
    ("--optimizer", "adm"): "unknown optimizer 'adm'; did you mean 'adam'? (known: adam, ",
    ("--epoch", "3"): "unknown argument '--epoch'; did you mean '--epochs'? (see --help)",
    ("--epoch=3",): "unknown argument '--epoch'; did you mean '--epochs'? (see --help)",
    ("--config", "wrong.toml"): "wrong.toml: unknown key 'training.epoch'; did you mean 'epochs'? (known: ",
    ("--set", "optimizer.learning_rat=1"): "--set: unknown key 'optimizer.learning_rat'; did you mean 'learning_rate'?",
    ("--list", "model"): "argument --list: no such choice 'model'; did you mean 'models'? (choices: models, ",
}
"""Common typing errors, and their messages before anything heavy is imported."""


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_a_wrong_name_is_reported_without_tensorflow_with_the_nearest_right_one(folder, arguments):
    before = files(folder)
    data = () if "--data" in arguments else ("--data", "unreadable.npz")
    assert message(light(folder, "fit.py", *data, *arguments)).startswith(QUICK[arguments])
    assert files(folder) == before


@pytest.mark.parametrize(
    "arguments", [("--help",), *(("--list", kind) for kind in ("models", "plugins", "data", "tasks"))]
)
def test_help_and_lists_answer_without_tensorflow(folder, arguments):
    before = files(folder)
    done = light(folder, "fit.py", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    assert files(folder) == before


def test_every_list_names_what_is_there_with_a_word_about_it(folder):
    lists = {"models": registry.models, "plugins": registry.plugins, "tasks": registry.tasks}
    for kind, table in lists.items():
        lines = light(folder, "fit.py", "--list", kind).stdout.splitlines()
        listed = {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}
        assert all(listed.values())
        assert {entry.name for entry in table.entries()} <= set(listed)


def test_what_a_module_registers_is_listed_with_import(folder):
    done = light(folder, "fit.py", "--list", "plugins", "--import", "first")
    assert "Follow the run." in next(line for line in done.stdout.splitlines() if line.startswith("trace "))


def test_a_plugin_may_have_the_name_of_a_task(folder):
    flags = ("--import", "namesake", "--plugin", "classification", "--print-config")
    done = light(folder, "fit.py", "--data", "unreadable.npz", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[plugins.classification]" in done.stdout


WRONG = {
    ("--import", "misspelt"): ("Trace.on_epoch_ended is not a hook; did you mean 'on_epoch_end'? (hooks: on_fit"),
    ("--import", "first", "--import", "second"): (
        "plugin name 'trace' is taken by first:First; choose another name for second:Second"
    ),
    ("--import", "usurper"): "model name 'lenet' is taken by models.lenet:lenet; choose another name for usurper:mine",
    ("--import", "broken"): "--import broken: RuntimeError: the author was here",
    ("--import", "nowhere"): "--import nowhere: ModuleNotFoundError: No module named 'nowhere'",
    ("--augment", "lite"): "data.augmentation = 'lite': no such choice; did you mean 'light'? (choices: none, ",
    ("--schedule", "cosin"): "optimizer.schedule = 'cosin': no such choice; did you mean 'cosine'? (choices: cosine, ",
    ("--progress", "plane"): "plugin 'progress': mode='plane': no such choice; did you mean 'plain'? (choices: auto, ",
    ("--plugin", "early_stopping:monitor=val_acc"): (
        "plugin 'early_stopping' monitors 'val_acc', which is not logged; did you mean 'val_accuracy'? (logged: "
    ),
    ("--plugin", "checkpoint:monitor=val_foo"): (
        "plugin 'checkpoint': cannot tell whether val_foo should rise or fall; give mode=max or mode=min"
    ),
    ("--plugin", "checkpoint:monitor=val_acuracy"): (
        "plugin 'checkpoint': cannot tell whether val_acuracy should rise or fall; give mode=max or mode=min (or did "
        "you mean val_accuracy?)"
    ),
    ("--plugin", "early_stopping:pateince=3"): (
        "plugin 'early_stopping' has no argument 'pateince'; did you mean 'patience'? it takes (monitor: str = "
    ),
    ("--plugin", "early_stopping:patience=many"): (
        "plugin 'early_stopping': patience='many': must be a whole number; it takes (monitor: str = 'val_loss', "
    ),
    ("--plugin", "early_stopping:patience=0"): "plugin 'early_stopping': patience must be at least 1: 0",
    ("--plugin", "early_stopping:patience"): "'early_stopping:patience': write NAME:key=value,key=value; cannot read ",
    ("--task", "classification:label_smothing=0.1"): (
        "task 'classification' has no argument 'label_smothing'; did you mean 'label_smoothing'? it takes ("
    ),
    ("--no-plugin", "mlfow"): "--no-plugin mlfow: not a plugin of this run; did you mean 'mlflow'? (",
    ("--epochs", "three"): "argument --epochs: invalid int value: 'three' (see --help)",
    ("--epochs",): "argument --epochs: expected one argument (see --help)",
    ("--lr", "-1"): "optimizer.learning_rate = -1.0: must be greater than 0",
    ("--max-time", "soon"): "training.max_time = 'soon': 'soon' is not a duration such as 90s, 10m or 1h30m",
    ("--config", "none.toml"): "cannot read none.toml: No such file or directory",
    ("--set", "training.epochs"): "--set training.epochs: expected key=value, such as --set training.epochs=3",
    ("--data", "images/mnist"): "--data images/mnist: no such file or folder",
    ("--test-data", "fashon_mnist"): "unknown data source 'fashon_mnist'; did you mean 'fashion_mnist'? ",
    ("--run-dir", "x" * 300): f"cannot create run directory {'x' * 300}: File name too long; choose another with ",
    ("lenet",): "unknown argument 'lenet' (see --help)",
}
"""Other mistakes of users."""


@pytest.mark.parametrize("arguments", WRONG, ids=lambda arguments: " ".join(arguments)[:50])
def test_what_is_wrong_is_one_line_before_anything_is_read_or_written(folder, arguments):
    before = files(folder)
    data = () if "--data" in arguments else ("--data", "unreadable.npz")
    assert message(light(folder, "fit.py", *data, *arguments)).startswith(WRONG[arguments])
    assert files(folder) == before


BUILDERS = {
    "lenet:dropuot=0.2": "has no argument 'dropuot'; did you mean 'dropout'? it takes (dropout: float = 0.0)",
    "lenet:dropout=abc": "dropout='abc': must be a number; it takes (dropout: float = 0.0)",
    "lenet:dropout=2": "dropout=2: must be less than 1; it takes (dropout: float = 0.0)",
    "lenet5:dropout=0.2": "has no argument 'dropout'; it takes no arguments",
    "mlp:units=3": "units=3: must be a list; it takes (units: tuple[int, ...] = (512, 512), dropout: float = 0.2)",
    "mlp:units=[0]": "units=[0]: must be greater than or equal to 1; it takes (units: ",
}


def test_a_wrong_argument_of_a_model_is_told_before_data_are_read(tmp_path):
    (tmp_path / "unreadable.npz").write_bytes(b"no archive")
    before = files(tmp_path)
    specs = ("lenet:dropuot=0.2", "lenet:dropout=2")
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda spec: run_script(tmp_path, "fit.py", "--data", "unreadable.npz", "--model", spec), specs)
        said = [message(done).removeprefix("model 'lenet'").lstrip(": ") for done in runs]
    assert said == [BUILDERS[spec] for spec in specs]
    assert files(tmp_path) == before


@pytest.mark.parametrize("spec", BUILDERS)
def test_arguments_of_our_models_are_checked_before_anything_is_built(keras, spec):
    name, arguments = parse_spec(spec)
    with pytest.raises(UsageError) as caught:
        start(Config(model=ModelConfig(name=name, args=arguments)), Ledger())
    assert str(caught.value).removeprefix(f"model {name!r}").lstrip(": ").startswith(BUILDERS[spec])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"wieght_decay": 1}, "has no argument 'wieght_decay'; did you mean 'weight_decay'? it takes beta_1, "),
        ({"learning_rate": 1}, "has no argument 'learning_rate'; it takes beta_1, "),
        ({"weight_decay": "lots"}, "weight_decay='lots': must be a number, true or false"),
        ({"use_ema": True, "ema_momentum": 2}, "`ema_momentum` must be in the range [0, 1]. Received: ema_momentum=2"),
    ],
)
def test_arguments_of_an_optimizer_are_checked_before_anything_is_built(keras, arguments, said):
    with pytest.raises(UsageError) as caught:
        start(Config(optimizer=OptimizerConfig(args=arguments)), Ledger())
    assert str(caught.value).removeprefix("optimizer 'adam'").lstrip(": ").startswith(said)


@pytest.mark.parametrize("name", ["fit.py", "evaluate.py", "predict.py"])
def test_a_script_without_inkwell_says_what_to_run(tmp_path, name):
    command = [sys.executable, "-I", "-S", str(ROOT / "scripts" / name)]  # without site-packages
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (1, "")
    install = "run this in its folder: python -m pip install -e ."
    assert done.stderr == f"{name}: Inkwell is not installed (package trainer is missing); {install}\n"


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("trainer", ("fit.py", "--list", "data")),
        ("plugins", ("fit.py", "--list", "plugins")),
        ("plugins", ("promote.py", "digits")),
        ("models", ("fit.py", "--list", "models")),
        ("models", ("ensemble.py", "runs/a")),
        ("scripts", ("results.py",)),
    ],
)
def test_another_package_in_the_place_of_ours_is_one_line_that_names_its_file(tmp_path, package, arguments):
    (tmp_path / "other" / package).mkdir(parents=True)
    file = tmp_path / "other" / package / "__init__.py"
    file.write_text("")
    done = run_script(tmp_path, *arguments, env={"PYTHONPATH": str(tmp_path / "other")})
    assert (done.returncode != 0, done.stdout, done.stderr.count("\n")) == (True, "", 1)
    said = done.stderr.removeprefix(f"{arguments[0]}: ").removeprefix("error: ")
    assert said == (
        f"{file} was found in the place of Inkwell's package {package!r}; rename or uninstall it, "
        "or take its folder off the path\n"
    )


# The installed command


def inkwell(folder: Path, *arguments: str) -> Done:
    """Run the command `inkwell` as installed, without TensorFlow."""
    program = folder / "inkwell"
    program.write_text("import sys\nfrom scripts.command import main\nsys.exit(main())\n")
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-P", str(program), *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_the_command_lists_what_it_can_do_with_a_line_each(folder, arguments):
    done = inkwell(folder, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    listed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith("  "))
    assert {"fit", "evaluate", "predict", "draw", "export", "mlflow-sync"} <= set(listed)
    assert listed["fit"] == "Train a model"


def test_the_command_does_what_the_script_does_and_speaks_of_itself_as_it_was_called(folder):
    listed = inkwell(folder, "fit", "--list", "models")
    assert (listed.returncode, listed.stdout) == (0, light(folder, "fit.py", "--list", "models").stdout)
    assert inkwell(folder, "fit", "--help").stdout.startswith("usage: inkwell fit [-h [NAME]] ")
    wrong = inkwell(folder, "fit", "--model", "lenett")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("inkwell fit: error: unknown model 'lenett'; did you mean 'lenet'? (known: ")
    nothing = inkwell(folder, "evaluate")
    said = "inkwell evaluate: error: no finished run in runs; train one with inkwell fit, or give the path of a run\n"
    assert (nothing.returncode, nothing.stderr) == (2, said)


def test_an_unknown_command_gets_a_suggestion(folder):
    done = inkwell(folder, "fti")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("inkwell: error: unknown command 'fti'; did you mean 'fit'? (known: fit, evaluate, ")


def test_a_printed_configuration_gives_itself_when_it_is_read(folder):
    flags = (
        "--model",
        "mlp:units=[3, 4]",
        "--max-time",
        "10m",
        "--no-plugin",
        "report",
        "--plugin",
        "progress:mode=none",
    )
    printed = light(folder, "fit.py", "--data", "unreadable.npz", *flags, "--print-config")
    assert (printed.returncode, printed.stderr) == (0, "")
    (folder / "printed.toml").write_text(printed.stdout)
    again = light(folder, "fit.py", "--config", "printed.toml", "--print-config")
    assert (again.returncode, again.stdout) == (0, printed.stdout)


# A run, and the commands that use it


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with a finished run, `runs/first`, of `fit.py`."""
    folder = tmp_path_factory.mktemp("workshop")
    flags = ("--data", str(tiny), "--epochs", "1", "--seed", "3", "--model", "lenet:dropout=0.1", *ALONE)
    done = run_script(folder, "fit.py", *flags, "--run-dir", "runs/first")
    assert done.returncode == 0, done.stderr
    return folder


def last_weights(run: Path) -> Sequence[np.ndarray]:
    last = Checkpoints(run / "checkpoints").role("last")
    assert last is not None
    with np.load(last / STATE) as arrays:
        return [arrays[name] for name in arrays.files]


def test_the_configuration_of_a_run_gives_the_same_weights_again(workshop):
    config = "runs/first/config.toml"
    done = run_script(workshop, "fit.py", "--config", config, "--run-dir", "runs/again")
    assert done.returncode == 0, done.stderr
    first, again = last_weights(workshop / "runs" / "first"), last_weights(workshop / "runs" / "again")
    assert len(first) == len(again) > 10
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (workshop / config).read_bytes() == (workshop / "runs" / "again" / "config.toml").read_bytes()


def test_evaluate_prints_the_test_numbers_of_the_newest_run(workshop):
    done = run_script(workshop, "evaluate.py")
    assert (done.returncode, done.stderr) == (0, "")
    numbers = {label.strip(): value for label, _, value in (line.partition("  ") for line in done.stdout.splitlines())}
    newest = max(workshop.glob("runs/*/result.json"), key=lambda path: path.stat().st_mtime)
    tested = json.loads(newest.read_text())["test"]
    assert numbers["accuracy"].strip().startswith(f"{100 * tested['accuracy']:.2f} % (95 %: ")
    assert numbers["loss"].strip() == f"{tested['loss']:.4f}"
    table, _, steps = done.stdout.partition("\nnext:\n")
    assert table.splitlines()[-1].split()[0] == "3"  # the last of four classes
    assert steps.split() == ["report", str(newest.parent.relative_to(workshop) / "report" / "index.html")]
    assert done.stdout.startswith(f"{100 * tested['accuracy']:.2f} % of 40 images (95 %: ")


def test_predict_reads_the_good_files_and_names_the_bad_ones(workshop):
    images = make_images(4, seed=5)
    for index in range(2):
        Image.fromarray(images.images[index, :, :, 0]).save(workshop / f"good{index}.png")
    (workshop / "bad.png").write_bytes(b"\x89PNG no more")
    arguments = ("good0.png", "bad.png", "good1.png", "gone.png")
    done = run_script(workshop, "predict.py", "--run", "runs/first", *arguments)
    assert done.returncode == 1
    printed = [line.split("  ") for line in done.stdout.splitlines()]
    assert [name for name, _, _ in printed] == ["good0.png", "good1.png"]
    assert all(digit in "0123" and percent.endswith(" %") for _, digit, percent in printed)
    said = done.stderr.splitlines()
    assert said[0] == "predict.py: gone.png: No such file or directory"
    assert [line.split(": ")[1] for line in said[1:]] == ["bad.png"]


@pytest.mark.parametrize("part", ["state.npz", "manifest.json", "SHA256SUMS"])
@pytest.mark.parametrize(
    "script", [("evaluate.py",), ("predict.py", "digit.png", "--run")], ids=lambda script: script[0]
)
def test_a_damaged_checkpoint_is_refused_and_named(workshop, tmp_path, script, part):
    shutil.copytree(workshop / "runs" / "first", tmp_path / "run")
    best = Checkpoints(tmp_path / "run" / "checkpoints").role("best")
    assert best is not None
    content = bytearray((best / part).read_bytes())
    content[len(content) // 2] ^= 1
    (best / part).write_bytes(content)
    (tmp_path / "digit.png").touch()
    said = message(run_script(tmp_path, *script, "run"), status=1)
    assert said.startswith(f"checkpoint {best.relative_to(tmp_path)} is damaged: ")


def test_a_checkpoint_that_is_gone_is_named(workshop, tmp_path):
    shutil.copytree(workshop / "runs" / "first", tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "best").write_text("epoch=0009-step=0000009\n")
    said = message(run_script(tmp_path, "evaluate.py", "run"), status=1)
    assert said == "cannot read checkpoint run/checkpoints/epoch=0009-step=0000009: manifest.json is missing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate.py", "runs/none"), "runs/none is neither a run directory nor a checkpoint"),
        (("evaluate.py",), "no finished run in runs; train one with python scripts/fit.py, or give the path of a run"),
        (
            ("evaluate.py", "--runs", "others"),
            "no finished run in others; train one with python scripts/fit.py, or give the path of a run",
        ),
        (
            ("evaluate.py", "--split", "tset"),
            "argument --split: no such choice 'tset'; did you mean 'test'? (choices: ",
        ),
        (("evaluate.py", "--data", "minst"), "unknown data source 'minst'; did you mean 'mnist'? (known: "),
        (("evaluate.py", "--rnus", "x"), "unknown argument '--rnus'; did you mean '--runs'? (see --help)"),
        (
            ("predict.py", "digit.png"),
            "no finished run in runs; train one with python scripts/fit.py, or give the path of a run",
        ),
        (("predict.py", "digit.png", "--run", "x"), "x is neither a run directory nor a checkpoint"),
        (("predict.py",), "the following arguments are required: FILE (see --help)"),
        (
            ("predict.py", "digit.png", "--recognizer", "x"),
            "x is not an export: it has no spec.json; write one with python scripts/export.py",
        ),
        (
            ("predict.py", "digit.png", "--explain", "wrong.toml"),
            "cannot write into folder wrong.toml: it is not a folder; name another with --explain",
        ),
        (
            ("predict.py", "digit.png", "--explain", "wrong.toml/x"),
            "cannot create folder wrong.toml/x: ",
        ),
        (
            ("evaluate.py", "weights"),
            "weights is not in a run directory; choose a folder for tables and charts with --out",
        ),
        (("evaluate.py", "weights", "--out", "wrong.toml"), "cannot write into folder wrong.toml: it is not a fol"),
        (("evaluate.py", "weights", "--compare", "x"), "x is neither a run directory nor a checkpoint"),
        (("export.py", "--format", "onnx", "out"), "no finished run in runs; train one with python scripts/fit.py, "),
        (("export.py", "--format", "onnx", "out", "--run", "x"), "x is neither a run directory nor a checkpoint"),
        (("export.py", "--format", "onnx", "wrong.toml"), "cannot create export wrong.toml: it already exists; "),
        (("export.py", "--format", "onx", "out"), "argument --format: no such choice 'onx'; did you mean 'onnx'?"),
        (("ensemble.py", "weights", "x"), "x is neither a run directory nor a checkpoint"),
        (("ensemble.py", "weights", "--run-dir", "wrong.toml"), "cannot create run directory wrong.toml: it already "),
        (("report.py", "x"), "x is not a run directory: run.json is missing"),
        (("draw.py", "--run", "x"), "x is neither a run directory nor a checkpoint"),
        (("draw.py", "--recognizer", "x"), "x is not an export: it has no spec.json; write one with python scripts/"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_nothing_to_evaluate_or_predict_with_is_one_line(folder, arguments, said):
    before = files(folder)
    assert message(light(folder, *arguments)).startswith(said)
    assert files(folder) == before


def test_pictures_that_are_missing_are_named_before_the_model_is_loaded(folder):
    done = light(folder, "predict.py", "--run", "weights", "one.png", "two.png", "--format", "csv")
    said = [f"predict.py: {name}.png: No such file or directory" for name in ("one", "two")]
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (1, "", said)


def test_a_reader_that_leaves_early_causes_no_error_message(folder):
    command = f"{sys.executable} {ROOT / 'scripts' / 'fit.py'} --list plugins | true"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
