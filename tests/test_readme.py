"""Does the README tell the truth? Its blocks are run, and print what it says."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run_command

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shape(text: str) -> str:
    """Return text without the parts that vary: numbers, paths, and what took most of the time."""
    text = re.sub(r"bottleneck +.*\n?", "", text)  # report, where the machine is busy
    text = re.sub(r"(run directory +|backend-store-uri |time breakdown +).*", r"\1…", text)
    return re.sub(r"\d[\d,.]*", "#", text)


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = run_command(command, folder, 900, environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def labels(text: str) -> list[str]:
    """Return the beginnings of the lines, without those that continue one."""
    return [line[:LABEL] for line in shape(text).splitlines() if not line.startswith(" ")]


def output_after(block: str) -> str:
    """Return the block that follows `block` in the README."""
    following = BLOCKS[[text for _, text in BLOCKS].index(block) + 1]
    assert following[0] == "text"
    return following[1]


PROGRAMS = [text for kind, text in BLOCKS if kind == "python"]
COMMANDS = [text for kind, text in BLOCKS if kind == "sh"][1:]
LABEL = 14
"""Width of the labels at the end of a run, in characters."""
LONGEST = 150
"""Maximum number of lines of the README."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the README's modules and the project's scripts, shared by all commands."""
    made = tmp_path_factory.mktemp("readme")
    for program in PROGRAMS:
        (made / program.splitlines()[0].removeprefix("# ")).write_text(program)
    (made / "scripts").symlink_to(ROOT / "scripts")
    return made


def test_the_first_block_is_two_commands():
    kind, text = BLOCKS[0]
    assert kind == "sh"
    assert [line.split()[:4] for line in text.splitlines()] == [["python", "-m", "pip", "install"]] * 2


def test_the_readme_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= LONGEST


def test_the_first_command_prints_the_lines_that_the_readme_shows(tmp_path):
    """It runs without a network and without MNIST; the package index is not part of the test."""
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    install, _, train = BLOCKS[0][1].splitlines()[0].partition(" && ")
    python, *arguments = shlex.split(train)
    assert (install, python) == ("python -m pip install -e .", "python")
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    printed = labels(run([sys.executable, *arguments], tmp_path, **nowhere))
    shown = labels(BLOCKS[1][1])
    assert [label for label in printed if label in shown] == shown


def test_the_program_prints_what_the_readme_says(folder):
    assert shape(run([sys.executable, "first_steps.py"], folder)) == shape(output_after(PROGRAMS[0]))


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[-4:]))
def test_the_commands_run(folder, command):
    python, *arguments = shlex.split(command)
    assert python == "python"
    assert " test images (95 %: " in run([sys.executable, *arguments], folder)


def test_plugin_and_model_are_under_15_lines():
    for program in PROGRAMS[1:]:
        assert len([line for line in program.splitlines() if line.strip()]) <= 15


def test_the_accuracies_are_those_that_were_measured():
    results = (ROOT / "RESULTS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `--recipe (\w+)` \| ([\d.]+) % \(.*?(\d+).*?\) \| .* \| ([\d,]+) \|$", README, re.MULTILINE)
    assert len(rows) == 5
    for recipe, accuracy, seeds, parameters in rows:
        means, *_ = re.findall(rf"^\| `{recipe}` \| .*", results, re.MULTILINE)
        cells = [cell.strip() for cell in means.split("|")]
        assert (cells[3], cells[5]) == (parameters, seeds)
        assert abs(float(cells[6]) - float(accuracy)) <= 0.0051


def test_every_flag_that_the_readme_shows_exists():
    shown = set(re.findall(r"--[a-z][a-z-]+", README))
    scripts = sorted((ROOT / "scripts").glob("*.py"))
    help_texts = [run([sys.executable, str(script), "--help"], Path(os.sep)) for script in scripts]
    assert shown <= set(re.findall(r"--[a-z][a-z-]+", "".join(help_texts)))
