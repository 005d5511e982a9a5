"""Can untrusted names and files harm whoever prints, parses or opens our output, or block forever?"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SILENT, Done, run_script
from PIL import Image

from models.recognizer.files import named
from models.recognizer.source import load_source
from trainer.errors import InkwellError
from trainer.text import printable

CLASSES = ("=1+1", "[red]x", "a\nb\x1b[31m", "\u202edlrow")
FILES = (b"caf\xe9.png", b"one\ntwo.png", b"=cmd|' '!A0.png", b"\x1b]0;owned\x07.png", b"[bold]\xe2\x80\xae.png")
RUN = "\x1b]0;owned\x07[red]x\n\u202e<script>alert(1)"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="names are bytes on Unix alone")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a data set and a run, all with hostile names."""
    root, random = tmp_path_factory.mktemp("hostile"), np.random.default_rng(0)
    for k, name in enumerate(CLASSES):
        place = root / "data" / name
        place.mkdir(parents=True)
        for i in range(24):
            pixels = random.integers(0, 60, (12, 12), np.uint8)
            pixels[3 * k : 3 * k + 3] += 150
            Image.fromarray(pixels).save(place / f"{i}.png")
    (root / "data" / CLASSES[0] / os.fsdecode(b"caf\xe9\n\x1b[2J.png")).write_bytes(b"no picture")
    (root / "pictures").mkdir()
    for name in FILES:
        shutil.copyfile(root / "data" / CLASSES[1] / "0.png", root / "pictures" / os.fsdecode(name))
    done = run_script(root, "fit.py", "--data", "data", "--epochs", "1", *SILENT, "--run-dir", Path("runs") / RUN)
    assert done.returncode == 0, done.stderr
    assert_harmless(done)
    assert "\\x1b[2J.png" in done.stdout
    return root


def assert_harmless(done: Done) -> None:
    """Assert that the output is lines of visible characters without a traceback."""
    for text in (done.stdout, done.stderr):
        assert all(line.isprintable() for line in text.split("\n")), repr(text)
        assert "Traceback" not in text


def run(folder: Path, name: str, *arguments: str | Path, **options) -> Done:
    done = run_script(folder, name, *arguments, **options)
    assert_harmless(done)
    return done


def test_tables_show_escaped_names_as_soon_as_they_are_ready(folder):
    said = run(folder, "runs.py").stdout
    assert printable(RUN) in said
    said = run(folder, "predict.py", "pictures").stdout.splitlines()
    assert sorted(line.split("  ")[0] for line in said) == sorted(
        printable(Path("pictures") / os.fsdecode(name)) for name in FILES
    )


def test_json_lines_are_one_per_picture_and_name_it_exactly(folder):
    said = run(folder, "predict.py", "--format", "jsonl", "pictures").stdout.splitlines()
    names = {os.fsencode(Path(json.loads(line)["file"]).name) for line in said}
    assert names == set(FILES)
    assert {json.loads(line)["digit"] for line in said} <= {None, *CLASSES}
    for env in ({}, {"PYTHONIOENCODING": "ascii"}):
        (row,) = map(json.loads, run(folder, "runs.py", "--format", "jsonl", env=env).stdout.splitlines())
        assert (folder / row["path"]).is_dir()


def test_csv_keeps_newlines_in_quotes_and_holds_no_formula(folder):
    said = run(folder, "predict.py", "--format", "csv", "pictures").stdout
    head, *rows = csv.reader(io.StringIO(said, newline=""), strict=True)
    assert len(rows) == len(FILES)
    assert {len(row) for row in rows} == {len(head)}
    assert "pictures/one\ntwo.png" in {row[0] for row in rows}
    said = run(folder / "pictures", "predict.py", "--runs", "../runs", "--format", "csv", "=cmd|' '!A0.png").stdout
    assert list(csv.reader(io.StringIO(said)))[1][0] == "'=cmd|' '!A0.png"
    head, row = csv.reader(io.StringIO(run(folder, "runs.py", "--format", "csv").stdout, newline=""), strict=True)
    assert dict(zip(head, row, strict=True))["status"] == "done"


NARROW = pytest.mark.parametrize("env", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}], ids=str)
"""Terminals limited to ASCII characters."""


@NARROW
def test_a_terminal_without_the_characters_gets_their_escapes_in_a_table(folder, env):
    other = folder / "größe" / os.fsdecode(b"gr\xf6\xdfe")
    if not other.exists():
        shutil.copytree(folder / "runs" / RUN, other)
    said = run(folder, "runs.py", "größe", env=env)
    assert (said.returncode, "gr\\xf6\\xdfe" in said.stdout) == (0, True), said


@pytest.mark.slow
@NARROW
def test_a_terminal_without_the_characters_gets_their_escapes(folder, env):
    shutil.copyfile(folder / "data" / CLASSES[1] / "0.png", folder / "größe.png")
    said = run(folder, "predict.py", "größe.png", os.fsdecode(b"pictures/caf\xe9.png"), env=env)
    assert said.returncode == 0, said.stderr
    assert len(said.stdout.splitlines()) == 2
    assert "caf\\xe9.png" in said.stdout
    missing = run(folder, "predict.py", os.fsdecode(b"nein\xe9.png"), env=env)
    assert (missing.returncode, len(missing.stderr.splitlines())) == (1, 1)
    assert "nein\\xe9.png: No such file" in missing.stderr


def test_pictures_that_explain_are_written_for_any_name(folder):
    long = f"{'x' * 250}.png"
    shutil.copyfile(folder / "data" / CLASSES[1] / "0.png", folder / "pictures" / long)
    try:
        done = run(folder, "predict.py", "--explain", "out", "pictures", f"pictures/{long}")
    finally:
        (folder / "pictures" / long).unlink()
    assert done.returncode == 0, done.stderr
    written = {os.fsencode(path.name) for path in (folder / "out").iterdir()}
    assert {b"caf\xe9.png", b"one\ntwo.png", b"x" * 200 + b".png", b"x" * 200 + b"-2.png"} <= written


def test_evaluation_and_report_show_them_too(folder):
    path = Path("runs") / RUN
    done = run(folder, "evaluate.py", path, "--data", "data")
    assert done.returncode == 0, done.stderr
    assert all(printable(name) in done.stdout for name in CLASSES)
    done = run(folder, "report.py", path)
    assert done.returncode == 0, done.stderr
    page = (folder / path / "report" / "index.html").read_text(encoding="utf-8")
    card = (folder / path / "report" / "model_card.md").read_text(encoding="utf-8")
    for text in (page, card):
        assert all(line.isprintable() for line in text.replace("\xa0", " ").split("\n"))
        assert "<script>" not in text.partition("```sh")[0]  # in a code block it is text
        assert printable(CLASSES[3]) in text.replace("\\\\", "\\")
    assert re.search(r"^# \\\\x1b\\\]0;owned\\\\x07\\\[red\\\]x\\\\n", card, re.MULTILINE), card[:2000]
    with (folder / path / "report" / "confusion.csv").open(newline="", encoding="utf-8") as file:
        names = [row[0] for row in csv.reader(file, strict=True)][1:]
    assert sorted(names) == sorted(["'=1+1", CLASSES[1], "a\nb\\x1b[31m", "\\u202edlrow"])


@pytest.mark.parametrize("command", ["fit.py", "evaluate.py", "report.py", "export.py", "ensemble.py", "runs.py"])
def test_errors_show_names_harmlessly(folder, command):
    bad = os.fsdecode(b"none\x1b[31m\xe9\n\xe2\x80\xae")
    arguments = {"fit.py": ["--data", f"./{bad}"], "export.py": ["--run", bad, "--format", "keras", "exported"]}
    done = run(folder, command, *arguments.get(command, [bad]))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "\\x1b[31m\\xe9" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", os.fsdecode(b"d\xe9")], "data.name = d\\xe9 is not UTF-8"),
        (["--data", "data2"], "is not UTF-8; rename it"),
        (["--data", "data", "--run-dir", os.fsdecode(b"runs/\xe9")], "is not UTF-8; choose another with --run-dir"),
        (["--data", "data", "--data-dir", os.fsdecode(b"\xe9")], "data.folder = \\xe9 is not UTF-8"),
        (["--set", os.fsdecode(b"model.args.x=\xe9")], "model.args.x = \\xe9 is not UTF-8"),
    ],
    ids=["data", "class", "run-dir", "data-dir", "set"],
)
def test_what_a_run_has_to_keep_must_be_utf8(folder, arguments, said):
    (folder / os.fsdecode(b"d\xe9")).mkdir(exist_ok=True)
    for name in (b"caf\xe9", b"b"):
        place = folder / "data2" / os.fsdecode(name)
        if not place.exists():
            shutil.copytree(folder / "data" / CLASSES[1], place)
    done = run(folder, "fit.py", *arguments, "--dry-run")
    assert said in done.stderr, done.stderr
    assert (done.returncode in (1, 2), len(done.stderr.splitlines())) == (True, 1)


# Special files, and endless files


def test_what_is_not_a_picture_is_reported_in_a_line_each_and_nothing_blocks(folder):
    odd = folder / "odd"
    odd.mkdir()
    os.mkfifo(odd / "pipe.png")
    for name in ("loop.png", "again.png"):
        (odd / name).symlink_to(".")  # following two of them would lead to 2**40 folders
    (odd / "ring.png").symlink_to("ring.png")
    (odd / "pixels.png").write_bytes(Path(folder / "data" / CLASSES[1] / "0.png").read_bytes())
    done = run(folder, "predict.py", "odd", "/dev/zero", "odd/pipe.png", "nowhere.png")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1, done.stdout
    assert len(done.stderr.splitlines()) == 5, done.stderr
    assert done.stderr.count("is not a file of at most 10,000,000 bytes") == 3


@pytest.mark.slow
def test_a_closed_standard_input_is_reported(folder):
    command = f'exec "{sys.executable}" "{ROOT / "scripts" / "predict.py"}" - <&-'
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "standard input" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", f"training.epochs={'9' * 5000}"], "a number has more than 100 digits"),
        (["--set", f"training.epochs={'9' * 90}"], "an integer has more than 64 bits"),
        (["--set", f"training.epochs={'[' * 5000}"], "nested more than 64 levels"),
        (["--epochs", "9" * 5000], "argument --epochs: invalid int value"),
        (["--max-time", "9" * 5000], "training.max_time = "),
        (["--model", f"lenet:dropout={'9' * 5000}"], "a number has more than 100 digits"),
        (["--config", "pipe.toml"], "is not a file of at most 1,048,576 bytes"),
        (["--config", "/dev/zero"], "is not a file of at most 1,048,576 bytes"),
        (["--config", "deep.toml"], "a dotted key has more than 32 names"),
        (["--data", "pipe.npz"], "neither a folder nor a regular file"),
        (["--data", "/dev/zero"], "neither a folder nor a regular file"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_flags_and_files_out_of_bounds_are_wrong_usage_in_one_short_line(tmp_path, arguments, said):
    for name in ("pipe.toml", "pipe.npz"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "deep.toml").write_text(".".join("a" * 50_000) + " = 1")
    done = run(tmp_path, "fit.py", *arguments, "--print-config")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert len(done.stderr) < 400


SPEC = {"format": "keras", "class_names": ["0", "1"], "input": {"shape": [None, 28, 28, 1]}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"class_names": [str(k) for k in range(10_001)]}, "class_names"),
        ({"class_names": ["x" * 1001]}, "class_names.0"),
        ({"class_names": "0123"}, "class_names: must be a list"),
        ({"input": {"shape": [None, "9" * 5000, 28, 1]}}, "input.shape.1"),
        ({"input": {"shape": [None, 10**9, 28, 1]}}, "input.shape.1"),
        ({"input": {"shape": [None, -1, 28, 1]}}, "input.shape.1"),
        ({"input": [28, 28]}, "input"),
        ({"rejection": {"threshold": "x"}}, "rejection.threshold"),
        ({"rejection": {"threshold": math.inf}}, "a number is not finite"),
        ({"rejection": 10**200}, "a number has more than 100 digits"),
        ({"format": "\x1b[31m"}, "unknown export format"),
    ],
    ids=range(11),
)
def test_an_export_that_declares_too_much_is_refused_in_one_line(tmp_path, changed, said):
    (tmp_path / "spec.json").write_text(json.dumps({**SPEC, **changed}))
    with pytest.raises(InkwellError) as caught:
        load_source(tmp_path)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_class_is_a_number_where_that_is_its_name():
    assert [named(label) for label in ("7", "10", "007", "9" * 5000, "٣", "x", None)] == [
        *(7, 10, 7),
        *("9" * 5000, "٣", "x", None),
    ]
