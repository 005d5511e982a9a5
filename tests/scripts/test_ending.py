"""Does a run end with its result first, in words that fit the terminal, and with what to do next, to be pasted?"""

from __future__ import annotations

import json
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from conftest import SILENT, Done, run_script

from trainer.console.ending import ending, headline, next_steps

DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ending")


@pytest.fixture(scope="module")
def done(folder: Path, tiny: Path) -> Done:
    """A run of one epoch in a folder whose name has a space."""
    flags = ("--data", tiny, "--epochs", "1", "--run-dir", "runs/a run", *SILENT)
    done = run_script(folder, "fit.py", *flags, env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    return done


def result(**changes: Any) -> dict[str, Any]:
    return {
        **{"model": "lenet", "params": {"count": 61_706}, "epochs": 10, "steps": 4_300, "stop_reason": ""},
        **{"data": {"name": "MNIST", "train": 55_000, "val": 5_000, "test": 10_000}, "skipped_steps": []},
        **{"best": {"epoch": 9, "val_accuracy": 0.9912, "val_loss": 0.03}, "images_per_second": 12_345.6},
        "test": {
            **{"accuracy": 0.9931, "precision": 0.993, "recall": 0.9929, "f1": 0.993, "loss": 0.0213},
            **{"ece": 0.0031, "calibrated_ece": 0.0022},
        },
        **{"train_seconds": 40.4, "wall_seconds": 55.5, "bottleneck": "plugin `report` (32 % of the time)"},
        "time": {"steps": 40.4, "imports": 4.1, "plugins.report": 3.6, "data_wait": 1.5, "validation": 1.5, "x": 0.1},
        **changes,
    }


def test_the_headline_comes_first_and_is_the_one_number_that_counts(done, folder):
    tested = json.loads((folder / "runs" / "a run" / "result.json").read_text())["test"]
    first, second, third, *_ = done.stdout.splitlines()
    assert re.fullmatch(r"\d+\.\d\d % of 40 test images \(95 %: \d+\.\d\d to \d+\.\d\d\)", first)
    assert first.startswith(f"{100 * tested['accuracy']:.2f} % ")
    assert second.startswith("best epoch ")
    assert third == "run directory   runs/a run"
    for name in ("accuracy", "precision", "recall"):
        assert f"{name} {100 * tested[name]:.2f} %" in done.stdout


def test_the_headline_has_wilson_s_interval_or_says_what_it_is_about():
    assert headline(result()) == "99.31 % of 10,000 test images (95 %: 99.13 to 99.45)"
    untested = result(test={})
    assert headline(untested) == "99.12 % of 5,000 validation images (95 %: 98.82 to 99.34)"
    stream = result(data={"name": None, "train": None, "val": None, "test": None})
    assert headline(stream) == "99.31 % of the test images"
    assert headline(result(test={"loss": 0.25})) == "test loss 0.2500 on 10,000 images"
    nothing = result(test={}, best={"epoch": 10, "val_accuracy": None, "val_loss": None})
    assert headline(nothing) == "trained for 10 epochs; there were no images to validate or test on"


@pytest.mark.parametrize("columns", [80, 120])
def test_the_end_fits_the_terminal_and_breaks_only_between_items(monkeypatch, tmp_path, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(tmp_path)
    notice = "Training on 5,000 MNIST images instead of 60,000: MNIST was not found in data/"
    data = {"class_names": DIGITS, "input_shape": [28, 28, 1], "notices": [notice]}
    run_dir = Path("runs/lenet-20261128-085048.397")
    stopped = result(stop_reason="val_loss has not improved on 0.03 for 5 validations")
    lines = ending(stopped, data, run_dir, next_steps(run_dir, data)).splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) <= 20
    rows, _, steps = "\n".join(lines).partition("\n\nnext:\n")
    joined = re.sub(r"\n +", " ", rows)
    assert "ECE 0.31 % (calibrated 0.22 %), loss 0.0213" in joined
    assert "55.5 s in total: steps 40.4 s, imports 4.1 s, report 3.6 s, data wait 1.5 s, validation 1.5 s" in joined
    assert "bottleneck      plugin `report` (32 % of the time)" in rows
    notes = [line for line in rows.splitlines() if line.startswith("note ")]
    assert [line.split("  ")[-1].strip().startswith("Training on 5,000 MNIST images ") for line in notes] == [True]
    assert columns > 80 or (notes[0].endswith(" …") and "data/" not in joined), "it was printed before training"
    assert not re.search(r"\n +(%|s|images/s)\b", rows), "a number stands beside its unit"
    assert [line.split()[0] for line in steps.splitlines()] == ["report", "draw", "evaluate"]


def test_what_to_do_next_can_be_pasted(done, folder):
    rows = [line.strip() for line in done.stdout.partition("\nnext:\n")[2].splitlines()]
    commands = [shlex.split(row.partition("  ")[2].strip()) for row in rows]
    assert [Path(words[1]).stem for words in commands] == ["report", "predict", "evaluate"]
    for python, script, *arguments in commands:
        assert python == "python"
        args = import_module(f"scripts.{Path(script).stem}").parser().parse(arguments)
        assert args.run == Path("runs/a run")


def test_what_can_be_opened_is_a_link_on_a_terminal_and_nothing_steers_it(monkeypatch, tmp_path):
    monkeypatch.setattr("trainer.console.style.is_terminal", lambda stream=None: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    page = tmp_path / "r\x1b[31m" / "report" / "index.html"
    page.parent.mkdir(parents=True)
    page.touch()
    text = ending(result(model="le\x1bnet"), {}, page.parents[1], next_steps(page.parents[1], {}))
    assert text.startswith("\x1b[1m99.31 % of 10,000 test images (95 %: 99.13 to 99.45)\x1b[0m\n")
    assert f"\x1b]8;;{page.as_uri()}\x1b\\" in text
    assert "\x1b[31m" not in text
    assert "le\\x1bnet" in text


def test_a_finished_run_is_shown_again_and_says_how_it_is_trained_for_longer(done, folder):
    again = run_script(folder, "fit.py", "--resume", "runs/a run", env={"COLUMNS": "80"})
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert again.stderr == "fit.py: runs/a run is finished; add --epochs or --steps to train it for longer\n"


def test_the_page_to_draw_on_is_offered_for_digits_alone(tmp_path):
    draws = [{"class_names": DIGITS, "input_shape": [28, 28, 1]}, {"class_names": DIGITS, "input_shape": [28, 28, 3]}]
    draws += [{"class_names": ["cat", "dog"], "input_shape": [28, 28, 1]}, {}]
    assert [next_steps(tmp_path, data)[1][0] for data in draws] == ["draw", "predict", "predict", "predict"]
