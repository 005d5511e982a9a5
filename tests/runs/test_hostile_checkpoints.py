"""Is a damaged or forged checkpoint refused without running code and without taking memory?"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import pickle
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Variable

from trainer import Plugin, Run, checkpoint
from trainer.checkpoint import LAYOUT, MANIFEST, STATE, SUMS, Checkpoints
from trainer.errors import CheckpointError, InkwellError, UsageError
from trainer.registry import plugins as registry
from trainer.runs import manifest as manifests
from trainer.runs.directory import RunDirectory
from trainer.runs.find import find_checkpoint
from trainer.runs.manifest import Manifest
from trainer.runs.numerics import Numerics
from trainer.runs.trained import load_trained


def variables() -> list[Variable]:
    numbers = np.random.default_rng(0)
    return [
        Variable("c1/kernel", numbers.normal(size=(5, 5, 1, 6)).astype(np.float32)),
        Variable("c1/bias", numbers.normal(size=6).astype(np.float32)),
        Variable("adam/iteration", np.array(7, np.int64)),
    ]


def write(folder: Path, step: int = 7) -> Path:
    fields = {"epoch": 1, "step": step, "plugins": {"early_stopping": {"best": 0.1}}}
    snapshot = checkpoint.snapshot(f"epoch=0001-step={step:07d}", variables(), fields)
    folder.mkdir(parents=True, exist_ok=True)
    return Checkpoints(folder).write(snapshot, ["last"] if step % 2 else ["best", "last"])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of `variables()`."""
    return write(tmp_path / "checkpoints")


def refusal(path: Path) -> str:
    """Return the one-line refusal of a checkpoint, which must name it."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.restore(checkpoint.read(path), variables())
    said = str(caught.value)
    assert f"checkpoint {path}" in said
    assert "\n" not in said
    return said


# Accidents


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_no_flipped_bit_goes_unnoticed(saved, part):
    whole = (saved / part).read_bytes()
    dice = random.Random(part)
    for position in dice.sample(range(8 * len(whole)), 400):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        (saved / part).write_bytes(damaged)
        assert f"is damaged: {'' if part == SUMS else part}" in refusal(saved), position
    (saved / part).write_bytes(whole)
    checkpoint.read(saved)


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_no_truncation_goes_unnoticed(saved, part):
    whole = (saved / part).read_bytes()
    dice = random.Random(part)
    lengths = range(len(whole)) if len(whole) < 400 else dice.sample(range(len(whole)), 400)
    for length in {0, len(whole) - 1, *lengths}:
        (saved / part).write_bytes(whole[:length])
        assert "is damaged: " in refusal(saved), length


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_bits_flipped_in_two_files_at_once_do_not_make_up_for_each_other(saved, part):
    dice = random.Random(part)
    wholes = {name: (saved / name).read_bytes() for name in (STATE, MANIFEST, SUMS)}
    for _ in range(100):
        for name in {part, dice.choice(sorted(wholes))}:
            damaged = bytearray(wholes[name])
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
            (saved / name).write_bytes(damaged)
        assert "is damaged: " in refusal(saved)
        for name, whole in wholes.items():
            (saved / name).write_bytes(whole)


POINTERS = [
    *(b"", b"\n", b".", b"..", b"../..", b"/", b"/etc/passwd", b"a\0b", b"\xff", b"x" * 5000, b"best"),
    *(
        b"epoch=0001-step=",
        b"epoch=0001-step=0000001\0",
        b"epoch=1-step=/../../../elsewhere",
        b"epoch=1-step=" + b"1" * 300,
    ),
    *(b"epoch=0001-step=0000001\nepoch=0001-step=0000002", "epoch=0001-step=\u0661".encode()),
]
pointers = pytest.mark.parametrize("content", POINTERS, ids=lambda content: repr(content[:40]))


@pointers
def test_a_damaged_pointer_puts_no_sound_checkpoint_out_of_reach(tmp_path, content):
    folder = tmp_path / "run" / "checkpoints"
    paths = [write(folder, step) for step in (1, 2)]
    (folder / "last").write_bytes(content)
    store = Checkpoints(folder)
    found = []
    for path in store.newest():  # like a run that is resumed
        try:
            found.append(checkpoint.read(path).path)
        except CheckpointError:
            store.set_aside(path)
    assert sorted(found) == paths
    assert all(path.is_dir() for path in paths)


@pointers
def test_a_damaged_pointer_is_named_where_its_checkpoint_is_wanted(tmp_path, content):
    path = write(tmp_path / "run" / "checkpoints")
    (tmp_path / "run" / "run.json").write_text(json.dumps({"layout": LAYOUT}))
    pointer = path.parent / "best"
    pointer.write_bytes(content)
    assert damage(lambda: find_checkpoint(tmp_path / "run")) == f"the pointer {pointer} is damaged"
    assert damage(lambda: Checkpoints(path.parent).role("best")) == f"the pointer {pointer} is damaged"
    pointer.unlink()
    assert find_checkpoint(tmp_path / "run") == path


def test_a_pointer_that_is_not_a_file_is_damaged_too(tmp_path):
    path = write(tmp_path / "checkpoints")
    store, pointer = Checkpoints(path.parent), path.parent / "best"
    for make in (
        pointer.mkdir,
        lambda: os.mkfifo(pointer),
        lambda: pointer.symlink_to("best"),
        lambda: pointer.touch(0),
    ):
        make()
        assert damage(lambda: store.role("best")) == f"the pointer {pointer} is damaged"
        assert list(store.newest()) == [path]
        pointer.rmdir() if pointer.is_dir() else pointer.unlink()
    assert store.role("best") is None


def message(act: Callable[[], Any]) -> str:
    """Return the one-line message of the `CheckpointError` raised by `act`."""
    with pytest.raises(CheckpointError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def damage(act: Callable[[], Any]) -> str:
    """Return the problem in a `CheckpointError`, without reason and remedy."""
    return message(act).partition(":")[0]


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "/proc/1/root/x"], ids=lambda path: repr(path[:20]))
def test_a_path_that_no_run_can_have_is_refused(path):
    with pytest.raises(UsageError, match="is neither a run directory nor a checkpoint"):
        find_checkpoint(Path(path))


def test_a_pointer_that_leads_elsewhere_has_nothing_renamed_there(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    path, elsewhere = write(folder), tmp_path / "elsewhere"
    elsewhere.mkdir()
    for content in ("../../elsewhere", str(elsewhere)):
        (folder / "last").write_text(content)
        store = Checkpoints(folder)
        for candidate in store.newest():
            if candidate != path:
                store.set_aside(candidate)
        assert {path.name for path in tmp_path.iterdir()} == {"run", "elsewhere"}


# Forgeries: the sums cannot reveal them, since a forger adjusts the sums too


def reseal(path: Path, parts: dict[str, bytes]) -> Path:
    """Change files of a checkpoint and correct its sums."""
    for name, content in parts.items():
        (path / name).write_bytes(content)
    lines = [f"{sha256((path / name).read_bytes()).hexdigest()}  {name}\n" for name in (STATE, MANIFEST)]
    (path / SUMS).write_text("".join(lines))
    return path


def npy(value: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def claim(descr: Any, shape: Any, data: bytes = b"") -> bytes:
    """Return a .npy file whose header claims data that is missing."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def arrays() -> list[tuple[str, bytes]]:
    """Return the members of a sound `state.npz`."""
    return [(f"{i:04d}.npy", npy(variable.value)) for i, variable in enumerate(variables())]


def with_first(content: bytes, name: str = "0000.npy") -> bytes:
    return zipped([(name, content), *arrays()[1:]])


def declare(content: bytes, field: int, value: int) -> bytes:
    """Return an archive whose directory has another value for its first member, in four bytes at `field`."""
    entry = content.index(b"PK\x01\x02")
    return content[: entry + field] + value.to_bytes(4, "little") + content[entry + field + 4 :]


def inflating(compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip bomb: a valid array of a gigabyte of zeros, in a megabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, archive.open("0000.npy", "w", force_zip64=True) as file:
        file.write(claim("<f4", (2**28,)))
        for _ in range(1024):
            file.write(bytes(2**20))
    return buffer.getvalue()


def repeated() -> bytes:
    """Return a directory of a thousand members that all refer to the same megabyte of the file."""
    content = zipped([("0000.npy", claim("<u1", (2**20,), bytes(2**20)))])
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entries = b"".join(content[start:end].replace(b"0000", b"%04d" % i) for i in range(1000))
    counts = (1000).to_bytes(2, "little") * 2
    tail = counts + len(entries).to_bytes(4, "little") + start.to_bytes(4, "little") + b"\0\0"
    return content[:start] + entries + b"PK\x05\x06\0\0\0\0" + tail


STATES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no zip": lambda: b"PK\x03\x04 and so on",
    "one array instead": lambda: npy(np.zeros(3, np.float32)),
    "one claim instead": lambda: claim("<f4", (10**12,)),
    "claims 4 TB": lambda: with_first(claim("<f4", (10**12,))),
    "claims 4 TB in two dimensions": lambda: with_first(claim("<f4", (10**6, 10**6), bytes(600))),
    "claims more than 64 bits count": lambda: with_first(claim("<f4", (2**40, 2**40))),
    "claims a huge number of nothing": lambda: with_first(claim("<f4", (10**30, 0))),
    "claims items of no size": lambda: with_first(claim("|S0", (10**12,))),
    "claims a negative shape": lambda: with_first(claim("<f4", (-150, -1), bytes(600))),
    "claims long items": lambda: with_first(claim("|S1000000000000", (1,))),
    "claims no shape": lambda: with_first(claim("<f4", "150")),
    "claims no dtype": lambda: with_first(claim(["f4"], (150,))),
    "nested header": lambda: with_first(b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000),
    "long header": lambda: with_first(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little") + b" " * 99),
    "text": lambda: with_first(npy(np.array(["a" * 600]))),
    "too little": lambda: with_first(arrays()[0][1][:-1]),
    "too much": lambda: with_first(arrays()[0][1] + b"\0"),
    "leaves the folder": lambda: with_first(arrays()[0][1], "../../0000.npy"),
    "absolute name": lambda: with_first(arrays()[0][1], "/0000.npy"),
    "no array by its name": lambda: with_first(arrays()[0][1], "0000"),
    "one member more": lambda: zipped([*arrays(), ("run.py", b"")]),
    "declares 4 GB": lambda: declare(zipped(arrays()), 24, 2**32 - 2),
    "encrypted": lambda: declare(zipped(arrays()), 8, 1),
    "another compression": lambda: zipped(arrays(), zipfile.ZIP_BZIP2),
    "bomb": inflating,
    "the same over and over": repeated,
}


@pytest.mark.parametrize("make", STATES.values(), ids=STATES)
def test_a_forged_state_is_refused(saved, make):
    before = sorted(saved.parent.parent.rglob("*"))
    assert f"{STATE}: " in refusal(reseal(saved, {STATE: make()}))
    assert sorted(saved.parent.parent.rglob("*")) == before


def manifest(saved: Path, **changes: Any) -> bytes:
    return json.dumps({**json.loads((saved / MANIFEST).read_text()), **changes}).encode()


@pytest.mark.parametrize(
    "forged",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"7",
        b"null",
        b'"format variables"',
        b"\xff",
        b"{}",
        json.dumps({"layout": LAYOUT}).encode(),
        b"9" * 5000,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_an_invalid_manifest_is_refused(saved, forged):
    path = reseal(saved, {MANIFEST: forged})
    if forged == b"{}":  # a checkpoint of the first version had no number either
        assert "it has layout 1" in message(lambda: checkpoint.read(path))
    else:
        assert MANIFEST in refusal(path)


LAYOUTS = (1, 2, LAYOUT + 1, float(LAYOUT), True, None, str(LAYOUT), [LAYOUT], {}, "x\n" * 9999)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda value: repr(value)[:9])
def test_another_layout_is_refused_in_one_line_that_says_so(saved, layout):
    versions = {"inkwell-trainer": "0.1.0\n" * 99}
    path = reseal(saved, {MANIFEST: manifest(saved, layout=layout, versions=versions)})
    said = message(lambda: checkpoint.read(path))
    assert said.startswith(f"cannot read checkpoint {saved}: it has layout ")
    assert "written by Inkwell 0.1.0 0.1.0" in said
    assert f"this version reads layout {LAYOUT}; " in said
    assert len(said) < 500


def test_half_a_character_which_could_never_be_written_again_is_refused(saved):
    assert MANIFEST in refusal(reseal(saved, {MANIFEST: manifest(saved, logs={"\ud800": 1.0})}))


@pytest.mark.parametrize(
    "variables",
    [7, None, {"a": 1}, "abc", [7], ["abc"], [None], [{}], [{"shape": [5, 5, 1, 6], "dtype": "float32"}]],
    ids=repr,
)
def test_a_manifest_without_variables_is_refused(saved, variables):
    assert refusal(reseal(saved, {MANIFEST: manifest(saved, variables=variables)}))


def test_a_manifest_that_claims_absurd_shapes_is_refused(saved):
    claimed = json.loads((saved / MANIFEST).read_text())["variables"]
    claimed[0]["shape"] = [10**12]
    forged = {MANIFEST: manifest(saved, variables=claimed)}
    assert f"{STATE} does not match {MANIFEST}" in refusal(reseal(saved, forged))
    forged[STATE] = with_first(claim("<f4", (10**12,)))
    assert f"{STATE}: " in refusal(reseal(saved, forged))


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_a_manifest_that_claims_narrow_numbers_is_refused(saved, dtype):
    claimed = json.loads((saved / MANIFEST).read_text())["variables"]
    claimed[0]["dtype"] = dtype
    said = refusal(reseal(saved, {MANIFEST: manifest(saved, variables=claimed)}))
    assert f"{STATE} does not match {MANIFEST}" in said  # the array has another size
    wider = zipped([("0000.npy", npy(np.zeros((5, 5, 1, 6), "u4"))), *arrays()[1:]])
    assert f"{STATE} does not match {MANIFEST}" in refusal(reseal(saved, {STATE: wider}))
    unsigned, other = ("u2", "f2") if dtype == "bfloat16" else ("u1", "i1")
    few = zipped([("0000.npy", npy(np.zeros((5, 5, 1, 5), unsigned))), *arrays()[1:]])
    assert f"{STATE} does not match {MANIFEST}" in refusal(reseal(saved, {STATE: few}))
    others = zipped([("0000.npy", npy(np.zeros((5, 5, 1, 6), other))), *arrays()[1:]])
    assert f"{STATE} does not match {MANIFEST}" in refusal(reseal(saved, {STATE: others}))
    fits = zipped([("0000.npy", npy(np.zeros((5, 5, 1, 6), unsigned))), *arrays()[1:]])
    assert f"it has c1/kernel {dtype}[5, 5, 1, 6] instead of" in refusal(reseal(saved, {STATE: fits}))


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_a_manifest_that_claims_one_narrow_number_is_refused(saved, dtype):
    claimed = json.loads((saved / MANIFEST).read_text())["variables"]
    claimed[2]["dtype"] = dtype  # a scalar of eight bytes, which cannot be viewed as scalars of one or two
    said = refusal(reseal(saved, {MANIFEST: manifest(saved, variables=claimed)}))
    assert f"{STATE} does not match {MANIFEST}" in said


@pytest.mark.parametrize("dtype", ["__name__", "finfo", "void16", "O", "f4,O", ["bfloat16"], {"a": 1}, None], ids=repr)
def test_a_manifest_that_names_no_type_of_numbers_is_refused(saved, dtype):
    claimed = json.loads((saved / MANIFEST).read_text())["variables"]
    claimed[0]["dtype"] = dtype
    said = refusal(reseal(saved, {MANIFEST: manifest(saved, variables=claimed)}))
    assert f"{STATE} does not match {MANIFEST}" in said


@pytest.mark.parametrize("name", ["c1\nkernel", "c" * 10**6, 7, [], {"a": "\ud800"}], ids=lambda name: repr(name)[:20])
def test_a_forged_name_of_a_variable_makes_no_long_message(saved, name):
    claimed = json.loads((saved / MANIFEST).read_text())["variables"]
    claimed[0]["name"] = name
    assert len(refusal(reseal(saved, {MANIFEST: manifest(saved, variables=claimed)}))) < 500 + len(str(saved))


@pytest.mark.parametrize("part", [STATE, MANIFEST])
def test_no_forged_byte_makes_anything_but_a_checkpoint_error(saved, part):
    """Whatever the files contain, they are either a fitting checkpoint or refused."""
    whole = (saved / part).read_bytes()
    dice = random.Random(part)
    for _ in range(400):
        forged = bytearray(whole)
        for _ in range(dice.choice((1, 1, 2, 8))):
            forged[dice.randrange(len(forged))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        reseal(saved, {part: bytes(forged)})
        with suppress(CheckpointError):
            checkpoint.restore(checkpoint.read(saved), variables())


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["in an array", "in all", "in a table", "instead of an array", "instead of all"])
def test_a_pickle_is_never_executed(saved, tmp_path, place):
    sprung = tmp_path / "sprung"
    trap = np.array([Trap(sprung)], dtype=object)
    table = np.array([(1, Trap(sprung))], dtype=[("a", "i4"), ("b", object)])
    forged = {
        "in an array": lambda: with_first(npy(trap)),
        "in all": lambda: npy(trap),
        "in a table": lambda: with_first(npy(table)),
        "instead of an array": lambda: with_first(pickle.dumps(Trap(sprung))),
        "instead of all": lambda: pickle.dumps(Trap(sprung)),
    }[place]()
    assert f"{STATE}: " in refusal(reseal(saved, {STATE: forged}))
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap works where nothing guards"


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_what_is_not_a_file_is_not_read(saved, part):
    (saved / part).unlink()
    os.mkfifo(saved / part)
    assert "cannot read" in within_a_gigabyte([saved])[0]  # a pipe must not block
    (saved / part).unlink()
    (saved / part).symlink_to("/dev/zero")
    assert "cannot read" in within_a_gigabyte([saved])[0]
    (saved / part).unlink()
    (saved / part).mkdir()
    assert "cannot read" in refusal(saved)


# Forged manifests: the files are sound, but the manifest contains what no run writes


class Remembers(Plugin):
    """Accepts any state."""

    def __init__(self, name: str = "remembers") -> None:
        self.name, self.seen = name, 3

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


def planned(directory: Path | None = None) -> Run:
    return Run(directory=directory, seed=1, steps=20, steps_per_epoch=10, data={"name": "made", "digest": "0123"})


def fields(**changes: Any) -> dict[str, Any]:
    """Return the values in the manifest of a run at step 7, with forged ones; `...` removes a key."""
    run = planned()
    run.epoch, run.step, run.validated, run.seconds, run.logs = 1, 7, 7, 0.5, {"loss": 0.5, "val_loss": 0.25}
    states = {"remembers": {"seen": 7}, "second": {"seen": 8}}
    known = {**json.loads(json.dumps(Manifest.of(run, states).to_dict())), **changes}
    return {key: value for key, value in known.items() if value is not ...}


def parsed(**changes: Any) -> Manifest:
    """Return the parsed manifest with these values."""
    return Manifest.parse(fields(**changes), "checkpoint x")


NUMBERS = ("x", None, -1, 1.5, True, math.nan, math.inf, 10**30, [], {})
TEXTS = (None, 7, [], {}, True)
TABLES = (None, 7, "x", [], True)
NUMERICS = dataclasses.asdict(Numerics.here("none"))
RECOVERY = {"reason": "a spike", "skip": [7], "factor": 0.5}
FORGED: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("epoch", "step", "steps", "images", "validated", "history"), NUMBERS),
    **dict.fromkeys(("seconds", "epoch_seconds", "step_seconds"), tuple(v for v in NUMBERS if v not in (1.5, 10**30))),
    "seed": ("x", None, 1.5, True, math.nan, [], 2),
    "steps_per_epoch": (*NUMBERS, 0, 9),
    "learning_rate": ("x", True, [], {}),
    "unfinished": ("x", None, 1, 0, []),
    "recoveries": (
        *(None, 7, "x", {}, [7], [None], ["x"], [{}], [{"reason": "x"}]),
        *([{**RECOVERY, "skip": value}] for value in (None, 7, "x", {}, [], [0], [-1], ["x"], [1.5], [None], [10**30])),
        *([{**RECOVERY, "factor": value}] for value in (None, "x", [], 0, -1, math.nan, math.inf)),
        *([{**RECOVERY, "reason": value}] for value in (None, 7, [])),
    ),
    "stop_reason": TEXTS,
    "logs": (*TABLES, {"loss": "x"}, {"loss": []}, {"loss": True}, {"a\nb": "x"}),
    "plugins": (*TABLES, {"remembers": 7}, {"remembers": {}}, {"second": []}),
    "data": (*TABLES, {}, {"digest": None}, {"digest": 7}, {"digest": "x\ny", "name": "a\nb" * 9999}),
    "config": TABLES,
    "versions": (*TABLES, {"python": 3}),
    "models": (None, 7, "x", {}, True, [7], [None]),
    "numerics": (
        *(*TABLES, {}),
        *({**NUMERICS, "cores": value} for value in (*NUMBERS, 0)),
        *({**NUMERICS, "threads": value} for value in NUMBERS),
        *({**NUMERICS, "processor": value} for value in TEXTS),
        *({**NUMERICS, "instructions": value} for value in (None, 7, "x", {}, [7], [None])),
        *({**NUMERICS, "variables": value} for value in (*TABLES, {"XLA_FLAGS": 3})),
    ),
}
CASES = [(key, value) for key, values in FORGED.items() for value in (..., *values)]
forgeries = pytest.mark.parametrize(("key", "value"), CASES, ids=[f"{k}={v!r:.30}" for k, v in CASES])


def test_every_field_of_a_manifest_is_forged_here():
    assert set(FORGED) == set(fields())


@forgeries
def test_forged_fields_are_refused_before_anything_is_changed(key, value):
    run, both = planned(), [Remembers(), Remembers("second")]

    def resume() -> None:
        manifest = parsed(**{key: value})
        manifests.check(run, manifest, anyway=False)
        manifests.take_up(run, manifest, both, done=False)

    assert len(message(resume)) < 500
    assert run == planned()
    assert [plugin.seen for plugin in both] == [3, 3]


@pytest.mark.parametrize(
    "changes",
    [{"epoch": 0}, {"epoch": 3}, {"step": 10**12}, {"step": 0, "epoch": 2}, {"validated": 8}, {"epoch": 2**53}],
    ids=repr,
)
def test_fields_that_contradict_one_another_are_refused(changes):
    assert "contradict" in message(lambda: parsed(**changes))


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (1, 0), (1, 1), (1, 10), (2, 10), (2, 11), (2, 20)])
def test_an_epoch_is_in_progress_or_has_ended_or_is_about_to_begin(epoch, step):
    manifests.check(planned(), parsed(epoch=epoch, step=step, validated=0), anyway=False)


def test_genuine_fields_are_restored():
    run, both = planned(), [Remembers(), Remembers("third")]
    manifests.check(run, parsed(), anyway=False)
    manifests.take_up(run, parsed(), both, done=False)
    assert (run.epoch, run.step, run.validated, run.seconds) == (1, 7, 7, 0.5)
    assert [plugin.seen for plugin in both] == [7, 3]


def test_a_number_that_was_not_finite_is_so_again():
    run = planned()
    manifests.take_up(run, parsed(logs={"loss": 0.5, "val_loss": None}), [], done=False)
    assert run.logs["loss"] == 0.5
    assert math.isnan(run.logs["val_loss"])


@pytest.mark.parametrize("value", [{}, [], None, 7, {"seen": 1, "layout": LAYOUT}], ids=repr)
def test_a_manifest_of_something_else_is_refused(value):
    assert "checkpoint x is invalid" in damage(lambda: Manifest.parse(value, "checkpoint x"))


class Picky(Remembers):
    """Rejects its state, and says so late."""

    def restore(self, state: dict[str, Any]) -> None:
        self.seen = 0
        raise ValueError("no such\nstate")


def test_a_plugin_that_cannot_take_back_its_state_is_named_and_the_others_stay_as_they_were():
    run, both = planned(), [Remembers(), Picky("second")]
    with pytest.raises(CheckpointError) as caught:
        manifests.take_up(run, parsed(), both, done=False)
    assert str(caught.value) == ("plugin 'second' cannot restore its state from the checkpoint: ValueError: no such")
    assert run == planned()
    assert both[0].seen == 3


@pytest.mark.parametrize("name", [entry.name for entry in registry.entries() if not entry.distribution])
@pytest.mark.parametrize("state", [7, None, "x", [], {}, {"best": "x"}, {"best": [], "top": 7, "waited": {}}], ids=repr)
def test_no_plugin_makes_anything_but_a_checkpoint_error_of_a_forged_state(name, state):
    plugin, run, fresh = registry.build(name), planned(), registry.build(name).state()
    with suppress(CheckpointError):
        manifests.take_up(run, parsed(plugins={name: state}), [plugin], done=False)
    assert run.step == 7 or (run, plugin.state()) == (planned(), fresh)
    if fresh and not isinstance(state, dict):
        assert damage(lambda: manifests.take_up(run, parsed(plugins={name: state}), [plugin], done=False)) == (
            f"plugin {name!r} cannot restore its state from the checkpoint"
        )


@pytest.mark.parametrize("content", [None, b"", b"{}\n", b"{}\n[", b"\xff\n\xff\n", b"[" * 10**5 + b"\n{}\n"], ids=repr)
def test_a_history_that_a_checkpoint_does_not_fit_is_refused_before_anything_is_changed(tmp_path, content):
    history = tmp_path / "history.jsonl"
    if content is not None:
        history.write_bytes(content)
    run = planned(tmp_path)
    assert str(history) in message(lambda: manifests.check(run, parsed(history=2), anyway=False))
    assert run == planned(tmp_path)
    if content is not None:
        with pytest.raises(InkwellError, match=f"^{history} "):
            RunDirectory(tmp_path).cut_history(2)
        assert history.read_bytes() == content


LENET = {"model": {"name": "lenet"}}
SHAPE = {"digest": "0", "source_digest": "0", "input_shape": [12, 12, 1], "class_names": ["0", "1"]}


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"config": value}
            for value in (*TABLES, {}, {"model": 7}, {"model": {"nmae": "lenet"}}, {"plugins": {"x": 7}})
        ),
        *({"config": {"data": {"batch_size": value}}} for value in ("x", -1, 10**30, math.nan)),
        *({"data": value} for value in (*TABLES, {}, {"name": "made"})),
        *(
            {"data": {**SHAPE, "input_shape": v}}
            for v in (None, 7, "abc", [12, 12], [0, 12, 1], [10**12, 1, 1], [1.5] * 3)
        ),
        *({"data": {**SHAPE, "class_names": value}} for value in (None, 7, [], [7], "abc")),
        *({"data": {**SHAPE, key: value}} for key in ("digest", "source_digest") for value in (None, 7, [])),
        {"data": {**SHAPE, "input_shape": [1, 1, 1]}},
    ],
    ids=lambda changes: repr(changes)[:60],
)
def test_a_forged_origin_of_a_model_is_refused(saved, changes):
    sound, forged = (manifest(saved, **fields(**{"config": LENET, "data": SHAPE, **new})) for new in ({}, changes))
    assert str(saved) in message(lambda: load_trained(reseal(saved, {MANIFEST: forged})))
    assert "does not fit" not in message(lambda: load_trained(reseal(saved, {MANIFEST: forged})))
    assert "does not fit" in message(lambda: load_trained(reseal(saved, {MANIFEST: sound})))


# Memory

WITHIN = r"""
import re, resource, sys
from pathlib import Path
import numpy
from trainer import checkpoint
from trainer.errors import CheckpointError

resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for path in sys.argv[1:]:
    try:
        checkpoint.read(Path(path))
        print("read")
    except CheckpointError as error:
        print(error)
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def within_a_gigabyte(paths: list[Path]) -> list[str]:
    """Return the refusals of checkpoints in a process with one GiB of address space, and its peak in MiB."""
    command = [sys.executable, "-c", WITHIN, *map(str, paths)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_bombs_are_refused_before_they_take_memory(tmp_path):
    bombs = ("one claim instead", "claims 4 TB", "declares 4 GB", "bomb", "the same over and over")
    paths = [reseal(write(tmp_path / name), {STATE: STATES[name]()}) for name in bombs]
    *said, peak = within_a_gigabyte(paths)
    assert len(said) == len(bombs)
    assert all(f"{STATE}: " in line for line in said)
    assert int(peak) < 200


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_a_file_that_is_too_long_is_not_read(saved, part):
    with (saved / part).open("r+b") as file:
        file.truncate(2**40)
    *said, peak = within_a_gigabyte([saved])
    assert len(said) == 1
    assert "cannot read" in said[0]
    assert int(peak) < 200
