"""Does somebody else's run or configuration only say how to train, never what is imported or contacted?"""

from __future__ import annotations

import importlib
import inspect
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SILENT, Done, run_script
from PIL import Image

from trainer import registry
from trainer.errors import InkwellError, UsageError
from trainer.export.proof import read_afresh
from trainer.runs.imports import import_named, import_user_module

PAYLOAD = """
    from pathlib import Path

    Path(__file__).parents[1].joinpath("PWNED").touch()

    from trainer.registry import models

    @models.register("theirnet")
    def theirnet(input_shape, num_classes):
        "Theirs."
        import keras

        images = keras.Input(input_shape)
        return keras.Model(images, keras.layers.Dense(num_classes)(keras.layers.Flatten()(images)))
"""
FLAG = "--import theirs.payload"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with a module and, below `runs`, a run that was trained with it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "theirs").mkdir()
    (folder / "theirs" / "payload.py").write_text(textwrap.dedent(PAYLOAD))
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(folder / "x.png")
    shutil.copy(tiny, folder / "data.npz")
    flags = ("--model", "theirnet", "--data", "data.npz", "--epochs", "1", "--run-dir", "runs/theirs", *SILENT)
    done = run_script(folder, "fit.py", *FLAG.split(), *flags)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of `trained` in which the module was never imported."""
    shutil.copytree(trained, tmp_path / "copy")
    (tmp_path / "copy" / "PWNED").unlink()
    return tmp_path / "copy"


COMMANDS = {
    "predict": "predict.py x.png --run runs/theirs",
    "predict, newest": "predict.py x.png",
    "evaluate": "evaluate.py runs/theirs",
    "compare": "evaluate.py runs/theirs --compare runs/theirs",
    "report": "report.py runs/theirs",
    "export": "export.py out --format keras --run runs/theirs",
    "ensemble": "ensemble.py runs/theirs runs/theirs --run-dir runs/both",
    "config": "fit.py --config runs/theirs/config.toml --run-dir runs/again",
    "dry run": "fit.py --config runs/theirs/config.toml --dry-run",
    "print config": "fit.py --config runs/theirs/config.toml --print-config",
    "resume": "fit.py --resume runs/theirs --epochs 2",
    "teacher": "fit.py --model mlp --task distillation:teacher=runs/theirs --epochs 1 --run-dir runs/pupil",
}
SLOW = {
    "mlflow_sync": "mlflow_sync.py runs/theirs",
    "verify_determinism": "verify_determinism.py --config runs/theirs/config.toml --steps 2",
}


def run(folder: Path, command: str, *more: str) -> Done:
    name, *arguments = command.split()
    if "distillation" in command:  # the student takes images of the teacher's shape
        arguments += ["--data", "data.npz", *SILENT]
    return run_script(folder, name, *arguments, *more)


def check_refused(done: Done, folder: Path) -> None:
    (line,) = [line for line in done.stderr.splitlines() if "theirs.payload" in line]
    assert line.endswith(f"importing runs code; if you trust that, add {FLAG}"), done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "PWNED").exists()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_imports_what_a_run_names(folder, command):
    done = run(folder, command)
    check_refused(done, folder)
    assert done.returncode == (0 if command.startswith("report") else 2)  # the rest of a report is still written


@pytest.mark.slow
def test_uploading_a_run_imports_nothing_that_it_names(folder):
    done = run(folder, SLOW["mlflow_sync"])
    check_refused(done, folder)
    assert done.returncode == 1  # the numbers arrived


@pytest.mark.slow
def test_training_twice_imports_nothing_that_a_file_names(folder):
    check_refused(run(folder, SLOW["verify_determinism"]), folder)


def test_the_page_imports_nothing_that_a_run_names(folder):
    with page(folder) as said:
        check_refused(Done([], 0, "", said), folder)


@contextmanager
def page(folder: Path, *more: str) -> Iterator[str]:
    """Run the page to draw on in a separate process; yield its message once the reader is ready or has failed."""
    command = [sys.executable, str(ROOT / "scripts" / "draw.py"), "--port", "0", "--run", "runs/theirs", *more]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(300, process.kill)
        timer.start()
        try:
            assert process.stderr is not None
            _, said = process.stderr.readline(), process.stderr.readline()  # the first: "loading runs/theirs"
            yield said
        finally:
            timer.cancel()
            process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("name", ["predict", "print config", "dry run"])
def test_a_command_imports_what_the_user_names(folder, name):
    done = run(folder, COMMANDS[name], *FLAG.split())
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert (folder / "PWNED").exists()


def test_a_module_that_is_named_again_is_recorded_once(folder):
    done = run(folder, "fit.py --resume runs/theirs --print-config", *FLAG.split())
    assert tomllib.loads(done.stdout)["imports"] == ["theirs.payload"], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", {**COMMANDS, **SLOW}.values(), ids={**COMMANDS, **SLOW})
def test_every_command_works_with_the_flag_that_it_asked_for(folder, command):
    done = run(folder, command, *FLAG.split())
    assert done.returncode == 0, done.stderr
    assert (folder / "PWNED").exists()


@pytest.mark.slow
def test_the_page_reads_with_a_run_whose_module_the_user_names(folder):
    with page(folder, *FLAG.split()) as said:
        assert said == "draw.py: ready\n"


def test_a_plain_resume_does_not_take_up_a_module_either(folder):
    """Without a name, the newest run with the same configuration is resumed, whatever imports it records."""
    data = ("--data", "data.npz", "--model", "mlp", "--epochs", "1", *SILENT)
    assert run_script(folder, "fit.py", *data, "--run-dir", "runs/mine").returncode == 0
    config = folder / "runs" / "mine" / "config.toml"
    config.write_text(config.read_text().replace("imports = []", 'imports = ["theirs.payload"]'))
    done = run_script(folder, "fit.py", *data, "--resume", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("fit.py: runs/mine is finished")
    assert not (folder / "PWNED").exists()


# The location of modules


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; its modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    finders, modules = list(sys.meta_path), set(sys.modules)
    yield tmp_path
    sys.meta_path[:] = finders
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_the_current_folder_serves_what_the_user_names_and_what_that_needs_alone(here):
    (here / "mine.py").write_text("import beside\n\ndef later():\n    import lazily\n    return lazily.here\n")
    (here / "beside.py").write_text("")
    (here / "lazily.py").write_text("here = True")
    (here / "not_installed.py").write_text("raise AssertionError")
    import_user_module("mine")
    assert sys.modules["mine"].later()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("not_installed")  # like an optional package
    assert str(here) not in sys.path


@pytest.mark.parametrize("place", [".", "theirs", "theirs/deep/deeper"])
def test_nothing_is_imported_from_inside_a_run_directory(here, place, monkeypatch):
    (here / place).mkdir(parents=True, exist_ok=True)
    (here / place.partition("/")[0] / "run.json").write_text("{}")
    (here / place / "payload.py").write_text("raise AssertionError")
    monkeypatch.chdir(here / place)
    with pytest.raises(UsageError, match="nothing is imported from inside a run directory") as caught:
        import_user_module("payload")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("linked", [False, True])
def test_a_package_in_a_run_directory_is_not_imported_from_outside_either(here, linked):
    target = here / "elsewhere" if linked else here
    (target / "theirs" / "inner").mkdir(parents=True)
    (target / "theirs" / "run.json").write_text("{}")
    (target / "theirs" / "inner" / "payload.py").write_text("raise AssertionError")
    if linked:
        (here / "mine").symlink_to(target / "theirs" / "inner")
    with pytest.raises(UsageError, match="nothing is imported from inside a run directory"):
        import_user_module("mine.payload" if linked else "theirs.inner.payload")


def test_a_module_on_the_path_is_not_imported_from_a_run_directory(here, monkeypatch):
    (here / "theirs").mkdir()
    (here / "theirs" / "run.json").write_text("{}")
    (here / "theirs" / "payload.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(here / "theirs")
    with pytest.raises(UsageError, match="nothing is imported from inside a run directory"):
        import_user_module("payload")


def test_what_is_recorded_is_imported_if_it_is_loaded_or_offered_by_an_installed_package(here, monkeypatch):
    import_named([], ["json.decoder"], "run")  # already loaded
    (here / "site" / "kit").mkdir(parents=True)
    (here / "site" / "kit" / "nets.py").write_text("")
    (here / "site" / "kit" / "other.py").write_text("raise AssertionError")
    (here / "site" / "kit-1.dist-info").mkdir()
    (here / "site" / "kit-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: kit\nVersion: 1\n")
    (here / "site" / "kit-1.dist-info" / "entry_points.txt").write_text("[inkwell.models]\nnet = kit.nets:net\n")
    monkeypatch.syspath_prepend(here / "site")
    registry._points.cache_clear()
    try:
        import_named([], ["kit.nets"], "run")
        assert "kit.nets" in sys.modules
        with pytest.raises(UsageError, match=r"^run needs to import kit\.other, .*add --import kit\.other$"):
            import_named([], ["kit.nets", "kit.other"], "run")
    finally:
        registry._points.cache_clear()


def test_a_name_that_a_shell_would_run_is_no_module(here):
    (here / "c.toml").write_text('imports = ["os; touch PWNED"]')
    done = run_script(here, "fit.py", "--config", "c.toml", "--print-config")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "must be the name of a module, such as package.module" in done.stderr


def test_the_proof_of_an_export_imports_nothing_from_the_current_folder(here):
    for name in ("trainer", "numpy", "keras", "tempfile"):
        (here / f"{name}.py").write_text(f"open({str(here / 'PWNED')!r}, 'w')")
    with pytest.raises(InkwellError, match="nonsense"):
        read_afresh("nonsense", here, np.zeros(1))
    assert not (here / "PWNED").exists()


# Addresses

EVIL = "http://127.0.0.1:9"


def mirrored(here: Path, uri: str, *flags: str, env: dict[str, str] | None = None) -> Done:
    """Read the configuration of a file that sends to an address."""
    (here / "theirs.toml").write_text(f'[plugins.mlflow]\ntracking_uri = "{uri}"\nlog_model = false\n')
    flags = ("--config", "theirs.toml", "--run-dir", "runs/mine", "--print-config", *flags)
    return run_script(here, "fit.py", *flags, env=env)


@pytest.mark.parametrize("uri", [EVIL, "databricks", "sqlite:////tmp/far.db", "sqlite:///runs/../../far.db"])
def test_an_address_that_only_a_file_names_is_refused_with_what_to_add(here, uri):
    flag = f"--plugin mlflow:tracking_uri={uri}"
    done = mirrored(here, uri)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert (
        done.stderr == f"fit.py: error: theirs.toml makes plugin 'mlflow' contact {uri}; if you trust it, add {flag}\n"
    )
    said = mirrored(here, uri, *flag.split())
    assert (said.returncode, said.stderr) == (0, "")
    assert uri in said.stdout


@pytest.mark.parametrize("way", ["set", "environment", "other", "none"])
def test_the_user_decides_about_an_address(here, way):
    flags = {"set": ["--set", f"plugins.mlflow.tracking_uri={EVIL}"], "none": ["--no-plugin", "mlflow"]}
    flags["other"] = ["--plugin", "mlflow:tracking_uri=http://mine"]
    env = {"MLFLOW_TRACKING_URI": EVIL} if way == "environment" else None
    done = mirrored(here, EVIL, *flags.get(way, []), env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_store_below_the_folder_of_the_runs_may_come_from_a_file(here):
    assert mirrored(here, "sqlite:///runs/sub/mlflow.db").returncode == 0
    (here / "runs").mkdir()
    (here / "runs" / "out").symlink_to(here.parent)
    assert mirrored(here, "sqlite:///runs/out/mlflow.db").returncode == 2


def test_what_a_plugin_calls_an_address_is_one_of_its_arguments():
    classes = [registry.plugins.resolve(entry.name) for entry in registry.plugins.entries()]
    assert registry.plugins.resolve("mlflow").addresses
    for plugin in classes:
        assert set(plugin.addresses) <= set(inspect.signature(plugin).parameters)


def test_a_run_to_resume_does_not_decide_about_an_address(folder):
    config = folder / "runs" / "theirs" / "config.toml"
    config.write_text(config.read_text() + f'\n[plugins.mlflow]\ntracking_uri = "{EVIL}"\n')
    done = run_script(folder, "fit.py", "--resume", "runs/theirs", *FLAG.split())
    assert done.returncode == 2
    assert done.stderr.endswith(f"if you trust it, add --plugin mlflow:tracking_uri={EVIL}\n")
