"""Is a run directory with arbitrary damage or forgery read, or refused in one line, by everything that reads it?"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import tomllib
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from conftest import ALONE, run_script
from PIL import Image

from plugins.mlflow import fields
from plugins.mlflow.artifacts import artifacts
from plugins.mlflow.journal import Journal
from plugins.mlflow.mirror import missing
from plugins.mlflow.note import note
from plugins.mlflow.points import of_line
from plugins.mlflow.state import State, in_the_browser
from plugins.mlflow.sync import behind
from plugins.report.card import write_card
from plugins.report.contents import gather
from plugins.report.page import write_page
from scripts import results, scoreboard
from trainer.checkpoint.reading import sums_of
from trainer.console.ending import ending, next_steps
from trainer.console.listing import FORMATS, listing
from trainer.errors import InkwellError
from trainer.files import append
from trainer.runs import reported
from trainer.runs.directory import check_ended
from trainer.runs.files import RunFiles
from trainer.runs.find import find_checkpoint, find_run, newest_checkpoint, newest_done
from trainer.runs.manifest import _check_history, read_saved
from trainer.runs.table import COLUMNS, differences, find_runs, read_run, select, sort
from trainer.runs.trained import _read, _temperature

QUICK, ALL = 25, 2000
MUTATIONS_AT_ONCE = 250
SECONDS, BYTES = 120, 2**30
"""Limits on the time to read one run, and on the additional memory of the process."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with one good run, with everything that a run directory can contain."""
    root = tmp_path_factory.mktemp("fuzzed") / "runs"
    quiet = ("--no-plugin", "mlflow", "--progress", "none", "--augment", "none", "--model", "mlp:units=[8]")
    done = run_script(root.parent, "fit.py", "--data", tiny, "--epochs", "2", "--run-dir", root / "run", *quiet)
    assert done.returncode == 0, done.stderr
    State(run_id="1", history=Journal(root / "run" / "history.jsonl").mark).write(root / "run")
    rows = ["corruption,severity,trained_for,images,accuracy,low,high,ece,nll", "fog,1,False,40,0.5,0.4,0.6,0.1,1.5"]
    (root / "run" / "report" / "robustness.csv").write_text("\n".join([*rows, "blur,,True,40,1,0.9,1,0,0.1"]))
    (root / "run" / "model.json").write_text('{"class_name": "Functional"}')
    return root


# Mutations


def mutate(run: Path, chance: random.Random) -> str:
    """Damage or forge one file of a run; return a description."""
    files = sorted(path for path in run.rglob("*") if is_plain(path) and path.suffix not in (".png", ".html", ".md"))
    file = chance.choice([path for path in files if chance.random() < 0.5 or path.suffix in FORGED] or files)
    how = chance.choice([torn, flipped, replaced, *[forged] * (4 if file.suffix in FORGED else 0)])
    content = file.read_bytes()
    done = how(file, content, chance)
    parts = [file.parent / name for name in ("state.npz", "manifest.json", "SHA256SUMS")]
    if file.name == "manifest.json" and all(map(is_plain, parts)) and chance.random() < 0.8:
        rewrite(parts.pop(), sums_of({part.name: part.read_bytes() for part in parts}))
    return f"{file.relative_to(run)}: {how.__name__} {done[:200]}"


def is_plain(path: Path) -> bool:
    """Return True if a path can be read and written here: a file that was not made huge."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size < 2**24


def rewrite(file: Path, content: bytes) -> None:
    file.unlink()  # it may be a hard link to another run's file
    file.write_bytes(content)


def torn(file: Path, content: bytes, chance: random.Random) -> str:
    end = chance.randrange(len(content) + 1)
    rewrite(file, content[:end])
    return f"after {end}"


def flipped(file: Path, content: bytes, chance: random.Random) -> str:
    changed = bytearray(content or b"x")
    for _ in range(chance.choice([1, 1, 3, 30])):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    rewrite(file, bytes(changed))
    return ""


REPLACEMENTS: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: None,
    "empty": lambda path: path.touch(),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "loop": lambda path: path.symlink_to(path.name),
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "dangling": lambda path: path.symlink_to("/nowhere"),
    "foreign": lambda path: path.symlink_to("/etc/passwd"),
    "process": lambda path: path.symlink_to("/proc/self/maps"),
    "huge": lambda path: [path.touch(), os.truncate(path, 2**40)],
    "brackets": lambda path: path.write_text("[" * 100_000),
    "tables": lambda path: path.write_text('{"a":' * 100_000),
    "digits": lambda path: path.write_text('{"layout": ' + "9" * 100_000 + "}"),
}


def replaced(file: Path, content: bytes, chance: random.Random) -> str:
    name = chance.choice(list(REPLACEMENTS))
    file.unlink()
    REPLACEMENTS[name](file)
    return f"by {name}"


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


VALUES: list[Any] = [
    *(None, True, False, 0, -1, 7, 2**31, 2**63, 10**30, 10**400, -(10**18), 0.5, -0.5, 1e300, -1e300, 1e-300),
    *(float("nan"), float("inf"), float("-inf"), "", "x", "x" * 100_000, "1", "\ud800", "\0", "a\nb", "\x1b[31m"),
    *("../../..", "/etc/passwd", "2026-01-01", [], {}, [1], [[]], [None], {"a": 1}, {"": None}, {"a": {"b": []}}),
    *([[1, 2], [3]], ["x"] * 1000, nested(70), nested(500), {"x" * 100_000: 1}),
]


def forged(file: Path, content: bytes, chance: random.Random) -> str:
    try:
        return FORGED[file.suffix](file, content, chance)
    except (ValueError, RecursionError):  # already damaged by another mutation
        return flipped(file, content, chance)


def forged_json(file: Path, content: bytes, chance: random.Random) -> str:
    values = json.loads(content)
    done = change(values, chance)
    text = json.dumps(values)
    if chance.random() < 0.05:  # a duplicate key
        text = text.replace("{", '{"status": 3, "layout": 2, "accuracy": [], ', 1)
    rewrite(file, text.encode())
    return done


def forged_lines(file: Path, content: bytes, chance: random.Random) -> str:
    lines = [json.loads(line) for line in content.splitlines()]
    done = change(lines, chance)
    rewrite(file, "".join(json.dumps(line) + "\n" for line in lines).encode())
    return done


def forged_toml(file: Path, content: bytes, chance: random.Random) -> str:
    values = tomllib.loads(content.decode())
    done = change(values, chance)
    try:
        rewrite(file, tomli_w.dumps(values).encode())
    except (TypeError, ValueError, RecursionError):  # TOML cannot express it
        rewrite(file, b"started = 2026-01-01\n" + content + b"\nx = 0x" + b"f" * 10_000)
    return done


def forged_csv(file: Path, content: bytes, chance: random.Random) -> str:
    cells = content.decode().replace("\n", ",\n,").split(",")
    place = chance.randrange(len(cells))
    cells[place] = chance.choice(["", "x", "nan", "1e999", "-1", '"', "\0", "9" * 5000, "x" * 200_000, "a,b,c", "\n"])
    rewrite(file, ",".join(cells).replace(",\n,", "\n").encode())
    return f"{place}: {cells[place]!r}"


FORGED = {".json": forged_json, ".jsonl": forged_lines, ".toml": forged_toml, ".csv": forged_csv}


def change(tree: Any, chance: random.Random) -> str:
    """Delete, replace or add one value somewhere in a tree."""
    place, path = tree, []
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys or (path and chance.random() < 0.05):
            if isinstance(place, dict):
                place["more"] = chance.choice(VALUES)
            else:
                place.append(chance.choice(VALUES))
            return f"{path} gets more"
        key = chance.choice(keys)
        path.append(key)
        if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        if chance.random() < 0.2:
            del place[key]
            return f"{path} deleted"
        place[key] = chance.choice(VALUES)
        return f"{path} = {place[key]!r}"


# Readers


def whole(read: Callable[[Path], Any], run: Path) -> str:
    """Return what is wrong with the reading of a run; empty if it is read, or refused in one line."""
    try:
        read(run)
    except InkwellError as error:
        return f"several lines: {error}" if "\n" in str(error) else ""
    except Exception as error:
        return "".join(traceback.format_exception(error)[-3:])
    return ""


def each_file(run: Path) -> None:
    files = RunFiles(run)
    problems = [
        whole(lambda _, name=name: getattr(files, name), run)
        for name in ("config_text", "config", "result", "model_text", "seen", "report", "name")
    ]
    problems += [whole(lambda _, call=call: call(), run) for call in (files.finished, files.status, files.history)]
    problems += [whole(lambda _, role=role: files.checkpoint(role), run) for role in ("best", "last")]
    assert [problem for problem in problems if problem] == []


def table_of_runs(run: Path) -> None:
    rows, passed = find_runs(run.parent)  # a single run must not end this
    assert all("\n" not in line for line in passed)
    assert len(rows) + len(passed) == 2
    for key in COLUMNS:
        sort(rows, key)
        select(rows, [f"{key}!=x"])
    for form in FORMATS:
        listing(form, COLUMNS, [{**row.columns, "path": str(row.path)} for row in rows], ["name"])


def comparison(run: Path) -> None:
    found = differences(read_run(run), read_run(run.parent / "sound"))
    records = [dict(zip(("key", "a", "b"), line, strict=True)) for line in found]
    for form in FORMATS:
        listing(form, ("key", "a", "b"), records, ["a", "b"])


def searches(run: Path) -> None:
    newest_done(run.parent)
    newest_checkpoint(run.parent)
    find_run(run.parent, RunFiles(run.parent / "sound").config)


def report(run: Path) -> None:
    files = RunFiles(run)
    contents = gather(files)
    if contents.result:
        write_card(contents)
    write_page(contents, files.report)


def checkpoint(run: Path) -> None:
    saved = read_saved(find_checkpoint(run))
    _check_history(run / "history.jsonl", saved.manifest.history)
    _read(run, ())
    _temperature(saved.path)


def mirror(run: Path) -> None:
    assert run.parent / "sound" in list(behind(run.parent))
    state = State.read(run)
    in_the_browser(run, None)
    files = RunFiles(run)
    fields.params(files.config, files.run.data)
    fields.result_params(files.result)
    note(files, "done", "#/there")
    fields.tags(run, files.run)
    fields.dataset(files.run.data)
    fields.result_points(files.result, 1.0)
    fields.started(files.run)
    if state is not None:
        artifacts(run)
        missing(run, state, state.settings, "done")
        journal = Journal(run / "history.jsonl", state.history)
        for line in journal.read():
            of_line(line)
        journal.done()


def the_end(run: Path) -> None:
    files = RunFiles(run)
    ending(files.finished(), files.run.data, run, next_steps(run, files.run.data))


READERS: list[Callable[[Path], Any]] = [
    *(each_file, table_of_runs, read_run, comparison, searches, report, checkpoint, mirror, check_ended),
    lambda run: reported.evaluation(RunFiles(run)),
    lambda run: reported.other_evaluations(RunFiles(run)),
    lambda run: reported.corruptions(RunFiles(run)),
    lambda run: reported.variations(RunFiles(run)),
    the_end,
    lambda run: scoreboard.record(run, "standard", "a machine"),
]


class Stuck(BaseException):
    """Reading takes too long; no reader catches this exception."""


@contextmanager
def bounded() -> Iterator[None]:
    """Limit time and memory."""

    def stop(number: int, frame: Any) -> None:
        raise Stuck

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (size + BYTES, hard))
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def problems_of(good: Path, folder: Path, seed: int) -> list[str]:
    """Mutate a copy of the good run, next to a sound one, and read it; return the problems."""
    chance, root = random.Random(seed), folder / str(seed)
    for name in ("run", "sound"):
        shutil.copytree(good / "run", root / name, copy_function=os.link)
    done = [mutate(root / "run", chance) for _ in range(chance.choice([1, 1, 1, 2]))]
    try:
        with bounded():
            found = [whole(read, root / "run") for read in READERS]
    except Stuck:
        found = ["it takes too long: " + traceback.format_exc()[-1500:]]
    shutil.rmtree(root)
    return [f"seed {seed}, {' and '.join(done)}: {problem}" for problem in dict.fromkeys(found) if problem]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(0, id="some"),
        *(
            pytest.param(first, id=str(first), marks=pytest.mark.slow if first == QUICK else pytest.mark.soak)
            for first in range(QUICK, ALL + QUICK, MUTATIONS_AT_ONCE)
        ),
    ],
)
def test_no_mutation_of_a_run_directory_ends_a_reader(good, tmp_path, first):
    count = QUICK if first == 0 else MUTATIONS_AT_ONCE
    found = [problem for seed in range(first, first + count) for problem in problems_of(good, tmp_path, seed)]
    assert not found, f"{len(found)} problems; the first:\n" + "\n".join(found[:8])


# Commands

Damage = dict[str, Callable[[Path], Any]]
RECORDS: Damage = {
    "list": lambda run: rewrite(run / "run.json", b"[]"),
    "odd-record": lambda run: rewrite(run / "run.json", b'{"layout": 2, "status": [], "data": 7}'),
}
CONFIGS: Damage = {
    "bytes": lambda run: rewrite(run / "config.toml", bytes(range(256))),
    "nested": lambda run: rewrite(run / "config.toml", b"a = " + b"[" * 9000),
}
RESULTS: Damage = {
    "torn-result": lambda run: rewrite(run / "result.json", b'{"model": "ml'),
    "odd-result": lambda run: rewrite(run / "result.json", b'{"test": {"accuracy": "good"}}'),
    "endless": lambda run: [(run / "result.json").unlink(), (run / "result.json").symlink_to("/dev/zero")],
}
WEIGHTS: Damage = {
    "weights": lambda run: [rewrite(file, b"x") for file in run.glob("checkpoints/*/state.npz")],
    "pointer": lambda run: [rewrite(run / "checkpoints" / role, b"../../../etc") for role in ("best", "last")],
}
OTHERS: Damage = {
    "pipe": lambda run: [(run / "history.jsonl").unlink(), os.mkfifo(run / "history.jsonl")],
    "away": lambda run: [shutil.rmtree(run / "report"), (run / "report").symlink_to(run.parents[1])],
}
DAMAGE: Damage = {**OTHERS, **CONFIGS, **RECORDS, **RESULTS, **WEIGHTS}
SOUND: Damage = {"sound": lambda run: None}


@pytest.fixture(scope="module")
def damaged(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture and, below `runs`, a sound run and damaged ones."""
    folder = tmp_path_factory.mktemp("damaged")
    for name, damage in {**SOUND, **DAMAGE}.items():
        shutil.copytree(good / "run", folder / "runs" / name)
        damage(folder / "runs" / name)
    Image.new("L", (12, 12)).save(folder / "x.png")
    return folder


NEWER: dict[str, tuple[str, Damage]] = {
    "runs.py": ("result.json", {**RECORDS, **CONFIGS, **RESULTS}),
    "predict.py x.png": ("result.json", {**RECORDS, **RESULTS, **WEIGHTS}),
    "evaluate.py": ("result.json", {**RECORDS, **RESULTS, **WEIGHTS}),
    "report.py": ("result.json", {**RECORDS, **RESULTS}),
    "fit.py --resume --dry-run": ("config.toml", {**RECORDS, **CONFIGS}),
}
"""The file that tells each command which run is the newest, and the damage that it must survive."""


@pytest.mark.parametrize("command", NEWER)
def test_damaged_runs_are_skipped_with_a_line_each(damaged, good, command):
    file, newer = NEWER[command]
    for name in (*SOUND, *DAMAGE):
        seconds = 10**9 + (2 if name in newer else name in SOUND)
        os.utime(damaged / "runs" / name / file, (seconds, seconds), follow_symlinks=False)
    script, *arguments = command.split()
    if script == "fit.py":
        same = ("--data", RunFiles(good / "run").config["data"]["name"], "--model", "mlp:units=[8]", "--epochs", "2")
        arguments += [*same, *ALONE[:2], "--augment", "none", "--progress", "none"]
    done = run_script(damaged, script, *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert ("x.png" if script == "predict.py" else "sound") in done.stdout
    told = [line for line in done.stderr.splitlines() if "skipped: " in line]
    for name in newer:
        assert [line for line in told if f"runs/{name}" in line], f"no word about {name}: {done.stderr}"


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_that_is_named_is_one_line(damaged, name):
    done = run_script(damaged, "ensemble.py", f"runs/{name}", "runs/sound", "--run-dir", f"both-{name}")
    assert "Traceback" not in done.stderr
    assert (done.returncode, done.stderr.count("\n")) in ((0, 0), (1, 1), (2, 1)), done.stderr


@pytest.mark.parametrize("name", RESULTS)
def test_a_damaged_run_keeps_no_other_from_the_results(damaged, tmp_path, monkeypatch, capsys, name):
    monkeypatch.setattr(results, "RECORDS", tmp_path / "records")
    assert not results.keep("standard", damaged / "runs" / name)
    said = capsys.readouterr().err
    assert "skipped: " in said
    assert str(damaged / "runs" / name) in said
    assert results.keep("standard", damaged / "runs" / "sound")
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["standard-0.json"]


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_to_resume_is_one_line(damaged, name):
    done = run_script(damaged, "fit.py", "--resume", f"runs/{name}", "--dry-run", "--epochs", "3")
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1, 2)
    assert len([line for line in done.stderr.splitlines() if "error: " in line]) == (done.returncode > 0), done.stderr


def test_nothing_is_written_through_a_link_in_a_run(good, tmp_path):
    shutil.copytree(good / "run", tmp_path / "run")
    for name in ("curves.svg", "curves.csv", "errors.sprite.png", "index.html", "model_card.md"):
        (tmp_path / name).write_text("mine")
        (tmp_path / "run" / "report" / name).unlink()
        (tmp_path / "run" / "report" / name).symlink_to(tmp_path / name)
    done = run_script(tmp_path, "report.py", "run")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "is a link that leads out of it; replace it with a copy of its target, or delete it" in done.stderr
    assert {path.read_text() for path in tmp_path.iterdir() if path.is_file()} == {"mine"}


def test_a_line_is_not_appended_through_a_link(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "error.log").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic"):
        append(tmp_path / "error.log", "theirs")
    append(tmp_path / "other.log", "ours")
    assert ((tmp_path / "victim").read_text(), (tmp_path / "other.log").read_text()) == ("mine", "ours")
