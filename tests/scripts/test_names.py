"""Can a user find every name, read what it stands for and set its arguments, without waiting for TensorFlow?"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from conftest import Done, Script, run_script

from scripts.catalogue.explain import explain
from scripts.catalogue.kinds import KINDS
from scripts.catalogue.lists import kinds_of_names, names_of
from scripts.catalogue.source import documented
from scripts.fit import configuration, parser
from trainer.errors import UsageError

BAN = """
import sys

class Ban:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras", "numpy"):
            raise SystemExit(f"{name} was imported")

sys.meta_path.insert(0, Ban())
"""
MINE = '''
from trainer import Plugin
from trainer.registry import models, plugins, tasks
import numpy  # not there when a name is only explained

@plugins.register("lenet")
class Mine(Plugin):
    """Count the digits.

    Args:
        most: How many, at most.
    """

    def __init__(self, most: int = 3, least: float = 0.5) -> None: ...
'''
SOURCE = '''
from trainer.registry import data_sources

@data_sources.register("folds")
def folds(folder, fold: int, noise: float = 0.0):
    """One fold of my digits.

    Args:
        folder: The data folder.
        fold: Number of the fold to hold out, from 0.
        noise: Noise to add.
    """
'''
ARGUMENT = re.compile(r"  (\w+) +\S.* \((required|default: .*)\)")


def light(folder: Path, *arguments: str) -> Done:
    """Run `fit.py` where TensorFlow, Keras and NumPy cannot be imported."""
    (folder / "sitecustomize.py").write_text(BAN)
    return run_script(folder, "fit.py", *arguments, env={"PYTHONPATH": str(folder)})


def test_list_alone_says_what_can_be_listed(tmp_path):
    done = light(tmp_path, "--list")
    assert (done.returncode, done.stderr) == (0, "")
    for word, kind in KINDS.items():
        assert re.search(rf"^  {word} +\S.*{kind.flag}", done.stdout.replace("\n   ", " "), re.MULTILINE)


@pytest.mark.parametrize("arguments", [("--help", "lenet"), ("--list", "recipes"), ("--list", "augmentations")])
def test_names_are_listed_and_explained_without_numpy(tmp_path, arguments):
    done = light(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("word", KINDS)
def test_a_list_breaks_between_words_and_fits_eighty_columns(word, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for text in (names_of(word), kinds_of_names()):
        assert max(map(len, text.splitlines())) <= 80
    for entry in KINDS[word].entries():
        assert re.search(rf"^{re.escape(entry.name)} ", names_of(word), re.MULTILINE)
        for each in entry.help.split():
            assert each in names_of(word)


@pytest.mark.parametrize("entry", dict.fromkeys(e.name for kind in KINDS.values() for e in kind.entries()))
def test_a_page_about_a_name_fits_eighty_columns_and_ends_with_commands_that_work(entry, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["scripts/fit.py"])
    text = explain(entry)
    assert text.startswith(f"{entry} (")
    about, _, examples = text.partition("\nexample")
    assert [line for line in about.splitlines() if len(line) > 80 and " = " not in line] == []
    commands = [line for line in examples.splitlines() if line.startswith("  python scripts/fit.py ")]
    assert commands
    for command in commands:
        configuration(parser().parse(shlex.split(command)[2:]))


@pytest.mark.parametrize("kind", ["models", "plugins", "tasks"])
def test_a_page_has_every_argument_with_its_type_default_and_meaning(keras, kind):
    import inspect

    from trainer import registry

    table = getattr(registry, kind)
    for entry in KINDS[kind].entries():
        parameters = inspect.signature(table.resolve(entry.name)).parameters.values()
        wanted = {p.name: p.default for p in parameters if p.name not in KINDS[kind].given and p.kind != p.VAR_KEYWORD}
        found = {a.name: a for a in documented(entry.target).arguments if a.name not in KINDS[kind].given}
        assert list(found) == list(wanted), entry.name
        for name, argument in found.items():
            assert argument.kind, (entry.name, name)
            assert argument.about, (entry.name, name)
            assert (argument.default is None) == (wanted[name] is inspect.Parameter.empty), (entry.name, name)


def test_an_argument_has_a_range_a_default_and_an_example(tmp_path):
    said = explain("early_stopping")
    assert "  patience    whole number (default: 5)\n" in said
    assert re.search(r"--plugin early_stopping:\w+=\S+\n", said)
    assert "dropout  number from 0 to below 1 (default: 0.0)" in explain("lenet")
    assert "mode  auto|rich|plain|none (default: auto)" in explain("progress")
    assert "teacher      text (required)" in explain("distillation")
    assert "label_smoothing  number" in explain("members"), "an inherited argument"


def test_all_that_has_one_name_is_explained(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    done = run_script(tmp_path, "fit.py", "--help", "lenet", "--import", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    heads = re.findall(r"^lenet \(([\w ]+)\)", done.stdout, re.MULTILINE)
    assert sorted(heads) == ["model", "plugin", "recipe"]
    assert "  most   whole number (default: 3)\n         How many, at most.\n" in done.stdout
    assert "--plugin lenet:most=6" in done.stdout


def test_what_has_no_source_is_explained_as_far_as_it_is_known(monkeypatch):
    from trainer.registry import Registry

    table = Registry("plugin", "nowhere")
    table.table({"odd": ("no.such.module:Odd", "an odd thing")})
    monkeypatch.setitem(KINDS, "plugins", type(KINDS["plugins"])("plugin", "", "--plugin", table.entries))
    assert explain("odd").startswith("odd (plugin): an odd thing\n")


def test_an_unknown_name_gets_a_suggestion(tmp_path):
    done = light(tmp_path, "--help", "early_stoping")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "fit.py: error: --help early_stoping: nothing has this name; did you mean 'early_stopping'? (kinds of names: "
    )
    assert done.stderr.count("\n") == 1
    with pytest.raises(UsageError, match=r"--help \\x1b\[31m: nothing has this name"):
        explain("\x1b[31m")


def test_a_recipe_shows_what_it_costs_and_sets(script: Script):
    said = script("fit.py", "--help", "fast").stdout
    assert re.search(r"training time  50\.5 s on two cores\n  test accuracy  99\.54 %", said)
    assert '  name = "inknet"\n' in said
    assert said.endswith("  python scripts/fit.py --recipe fast --data mnist\n")


def test_the_arguments_of_a_data_source_are_listed_explained_and_checked(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    said = light(tmp_path, "--help", "folds", "--import", "mine").stdout
    assert said.startswith("folds (data source)\n\n  One fold of my digits.\n")
    assert re.findall(r"^  (?:fold|noise) .*", said, re.MULTILINE) == [
        "  fold   whole number (required)",
        "  noise  number (default: 0.0)",
    ]
    assert "data folder" not in said
    assert "--data folds:fold=FOLD" in said
    for value, status in (("folds:fold=2", 0), ("folds:fold=x", 2), ("folds", 2)):
        done = run_script(tmp_path, "fit.py", "--data", value, "--import", "mine", "--print-config")
        assert (done.returncode, len(done.stderr.splitlines())) == (status, bool(status))
        assert ("[data.args]\nfold = 2\n" in done.stdout) == (status == 0)
