"""Do the pages of docs/ build, and do their programs and commands run?"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT, run_command

import models.recognizer
import trainer
import trainer.checkpoint
import trainer.evaluation
from trainer import registry
from trainer.plugin import HOOKS

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, kind: str) -> list[str]:
    """Return the blocks of one kind: `python` is executed, then `sh`; `console` is only shown."""
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == kind]


def commands(page: Path) -> list[list[str]]:
    lines = "".join(blocks(page, "sh") + blocks(page, "console")).splitlines()
    return [shlex.split(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_the_programs_of_a_page_run(page: Path, tmp_path: Path):
    """They run in order in one namespace, as readers type them; a block starting with a file name is that file too."""
    programs = blocks(page, "python")
    for program in programs:
        if name := re.match(r"# (\w+\.py)\n", program):
            (tmp_path / name[1]).write_text(program, encoding="utf-8")
    (tmp_path / "page.py").write_text("\n".join(programs), encoding="utf-8")
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    done = run_command([sys.executable, "page.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    for command in (shlex.split(line) for text in blocks(page, "sh") for line in text.splitlines()):
        assert command[0] == "python"
        done = run_command([sys.executable, *command[1:]], tmp_path)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_script_and_flag_that_a_page_shows_exists(page: Path):
    for command in commands(page):
        if command[0] != "python" or not command[1].startswith("scripts/"):
            continue
        flags = {word.partition("=")[0] for word in command if word.startswith("--")}
        assert flags <= flags_of(command[1]), command


@cache
def flags_of(script: str) -> set[str]:
    """Return the flags of a script, including those it passes on to `fit.py`."""
    said = run_command([sys.executable, str(ROOT / script), "--help"], ROOT).stdout
    found = set(re.findall(r"--[a-z][a-z0-9-]+", said))
    return found | flags_of("scripts/fit.py") if "those of fit.py" in said else found


@pytest.mark.slow
def test_the_pages_build_without_a_warning_and_every_link_between_them_leads_somewhere(tmp_path: Path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for page in PAGES:
        assert (tmp_path / f"{page.stem}.html").is_file()


def test_the_table_of_hooks_is_complete():
    page = (DOCS / "plugins.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(on_\w+)` \|", page, re.MULTILINE)) == HOOKS


PUBLIC = (trainer, trainer.checkpoint, trainer.evaluation, models.recognizer)
REGISTRIES = (registry.models, registry.plugins, registry.tasks)


def test_the_reference_has_every_public_name():
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    whole = set(re.findall(r"^\.\. automodule:: ([\w.]+)$", page, re.MULTILINE))
    shown = set(re.findall(r"^\.\. auto(?:class|function|data):: ([\w.]+)$", page, re.MULTILINE))
    public = {f"{package.__name__}.{name}" for package in PUBLIC for name in package.__all__}
    included = {e.target.replace(":", ".") for table in REGISTRIES for e in table.entries() if not e.distribution}
    assert {name for name in public - shown if name.rpartition(".")[0] not in whole} == set()
    assert included - shown == set()


def test_the_table_of_models_is_complete():
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)` \|.*\| ([\d,]+) \|$", page, re.MULTILINE)
    entries = {entry.name: entry.help for entry in registry.models.entries() if not entry.distribution}
    assert [name for name, _ in listed] == list(entries)
    for name, parameters in listed:
        assert parameters in entries[name]
