"""Does Inkwell work as installed by users, from a wheel and in editable mode?"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

EXTRAS = ("torch", "lightning", "ai_edge_litert", "onnx", "onnxruntime", "tf2onnx")
"""Packages that only some modules need, and that a plain installation does without."""

IMPORT_ALL = f"""
import importlib, pathlib, sys
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in {EXTRAS}:
            raise
    else:
        assert pathlib.Path(module.__file__).is_relative_to(sys.prefix), module.__file__
        print(name)
"""


def run(command: list[str | Path], cwd: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip(*arguments: str | Path, cwd: Path) -> str:
    return run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], cwd)


def isolation() -> list[str]:
    """Return pip's flags to build offline with the installed setuptools, if it is new enough."""
    is_here = importlib.util.find_spec("setuptools") is not None and int(version("setuptools").partition(".")[0]) >= 77
    return ["--no-build-isolation"] if is_here else []


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that building it leaves nothing behind."""
    copied = tmp_path_factory.mktemp("project") / "inkwell"
    copied.mkdir()
    for top in ("trainer", "plugins", "models", "scripts"):
        shutil.copytree(ROOT / top, copied / top, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copied)
    return copied


@pytest.fixture(scope="module")
def wheel(project: Path) -> Path:
    """The wheel of the project."""
    pip("wheel", "--no-deps", *isolation(), "--wheel-dir", "dist", ".", cwd=project)
    (built,) = (project / "dist").glob("*.whl")
    return built


def environment(folder: Path) -> Path:
    """Create an environment that has the dependencies of this one but no Inkwell; return its Python.

    Its packages are found through a .pth file; .pth files next to them, such as that of an editable Inkwell, are not
    read.
    """
    run([sys.executable, "-m", "venv", "--without-pip", folder], folder.parent)
    (own,) = folder.glob("lib/python*/site-packages")
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (own / "dependencies.pth").write_text("\n".join(packages))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    python = environment(folder / "venv")
    assert "None" in run([python, "-c", "from importlib.util import find_spec; print(find_spec('trainer'))"], folder)
    pip("--python", python, "install", "--no-deps", "--no-index", wheel, cwd=folder)
    return python


def test_every_module_of_the_wheel_is_imported(wheel, installed, tmp_path):
    files = [Path(name) for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")]
    parts = [file.parent.parts if file.name == "__init__.py" else file.with_suffix("").parts for file in files]
    names = [".".join(name) for name in parts]
    assert {"trainer.trainer", "plugins.mlflow.sync", "models.recognizer", "scripts.page.worker"} <= set(names)
    imported = run([installed, "-I", "-c", IMPORT_ALL, *names], tmp_path).split()
    assert len(names) - 10 < len(imported) <= len(names)


def test_the_wheel_has_what_lies_beside_the_code(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        *("scripts/recipes/fast.toml", "scripts/page/static/index.html", "plugins/report/templates/page.html"),
        *("models/recognizer/judge/digitness.npz", "trainer/export/deployment.md", "trainer/py.typed"),
    } <= names
    assert not {name for name in names if name.startswith("tests/")}


def test_the_installed_command_lists_commands_models_and_recipes(installed, tmp_path):
    inkwell = installed.with_name("inkwell")
    assert "\n  fit " in run([inkwell, "--help"], tmp_path)
    assert run([inkwell, "fit", "--list", "models"], tmp_path).startswith("lenet ")
    assert "\nstandard " in run([inkwell, "fit", "--list", "recipes"], tmp_path)


def test_mypy_sees_our_types_after_an_installation_for_editing(project, tmp_path):
    python = environment(tmp_path / "venv")
    pip("--python", python, "install", "--no-deps", *isolation(), "--editable", project, cwd=tmp_path)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "mine.py").write_text("from trainer import Trainer\n\nreveal_type(Trainer.fit)\n")
    command = [sys.executable, "-m", "mypy", "--config-file=", "--python-executable", python, "mine.py"]
    said = run(command, tmp_path / "user")
    assert 'Revealed type is "def (self: trainer.trainer.Trainer, ' in said
    assert "-> trainer.run.Run" in said
