"""Is a checkpoint that was damaged or forged refused, without running code and without taking memory?"""

from __future__ import annotations

import io
import json
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

from trainer import checkpoint
from trainer.checkpoint import MANIFEST, STATE, SUMS, Checkpoints
from trainer.errors import CheckpointError


def variables() -> list[Variable]:
    numbers = np.random.default_rng(0)
    return [
        Variable("c1/kernel", numbers.normal(size=(5, 5, 1, 6)).astype(np.float32)),
        Variable("c1/bias", numbers.normal(size=6).astype(np.float32)),
        Variable("adam/iteration", np.array(7, np.int64)),
    ]


def write(folder: Path, step: int = 7) -> Path:
    facts = {"epoch": 1, "step": step, "plugins": {"early_stopping": {"best": 0.1}}}
    snapshot = checkpoint.snapshot(f"epoch=0001-step={step:07d}", variables(), facts)
    folder.mkdir(parents=True, exist_ok=True)
    return Checkpoints(folder).write(snapshot, ["last"] if step % 2 else ["best", "last"])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of `variables()`."""
    return write(tmp_path / "checkpoints")


def refusal(path: Path) -> str:
    """Return why a checkpoint is refused, in one line that names it."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.restore(checkpoint.read(path), variables())
    said = str(caught.value)
    assert said.startswith(f"checkpoint {path}")
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


POINTERS = [b"", b"\n", b".", b"..", b"../..", b"/", b"a\0b", b"\xff", b"x" * 5000, b"epoch=0001-step=", b"best"]


@pytest.mark.parametrize("content", POINTERS, ids=lambda content: repr(content[:20]))
def test_a_damaged_pointer_puts_no_sound_checkpoint_out_of_reach(tmp_path, content):
    folder = tmp_path / "run" / "checkpoints"
    paths = [write(folder, step) for step in (1, 2)]
    (folder / "last").write_bytes(content)
    store = Checkpoints(folder)
    found = []
    for path in store.newest():  # as a run does that is resumed
        try:
            found.append(checkpoint.read(path).path)
        except CheckpointError:
            store.set_aside(path)
    assert sorted(found) == paths
    assert all(path.is_dir() for path in paths)


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


# Forgeries: what the sums cannot tell, since whoever forges a checkpoint forges them too


def reseal(path: Path, parts: dict[str, bytes]) -> Path:
    """Change files of a checkpoint and make its sums right."""
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
    """Return a .npy file whose header claims what is not there."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def arrays() -> list[tuple[str, bytes]]:
    """The members of a sound `state.npz`."""
    return [(f"{i:04d}.npy", npy(variable.value)) for i, variable in enumerate(variables())]


def with_first(content: bytes, name: str = "0000.npy") -> bytes:
    return zipped([(name, content), *arrays()[1:]])


def declare(content: bytes, field: int, value: int) -> bytes:
    """Return an archive whose directory says something else of its first member, in four bytes at `field`."""
    entry = content.index(b"PK\x01\x02")
    return content[: entry + field] + value.to_bytes(4, "little") + content[entry + field + 4 :]


def inflating(compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip bomb: a sound array of a gigabyte of zeros, in a megabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, archive.open("0000.npy", "w", force_zip64=True) as file:
        file.write(claim("<f4", (2**28,)))
        for _ in range(1024):
            file.write(bytes(2**20))
    return buffer.getvalue()


def repeated() -> bytes:
    """A directory of a thousand members that are all the same megabyte of the file."""
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
    assert f"{STATE} cannot be read: " in refusal(reseal(saved, {STATE: make()}))
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
        b'{"format": 1e999}',
        b"9" * 5000,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_manifest_that_is_none_is_refused(saved, forged):
    assert MANIFEST in refusal(reseal(saved, {MANIFEST: forged})) or b"format" in forged


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
    assert f"{STATE} does not hold what {MANIFEST} says" in refusal(reseal(saved, forged))
    forged[STATE] = with_first(claim("<f4", (10**12,)))
    assert f"{STATE} cannot be read" in refusal(reseal(saved, forged))


@pytest.mark.parametrize("part", [STATE, MANIFEST])
def test_no_forged_byte_makes_anything_but_a_checkpoint_error(saved, part):
    """Whatever stands in the files: either it is a checkpoint that fits, or it is refused."""
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
    assert f"{STATE} cannot be read: " in refusal(reseal(saved, {STATE: forged}))
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap works where nothing guards"


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_what_is_no_file_is_not_read(saved, part):
    (saved / part).unlink()
    os.mkfifo(saved / part)
    assert "cannot be read" in within_a_gigabyte([saved])[0]  # a pipe would be waited for
    (saved / part).unlink()
    (saved / part).symlink_to("/dev/zero")
    assert "cannot be read" in within_a_gigabyte([saved])[0]
    (saved / part).unlink()
    (saved / part).mkdir()
    assert "cannot be read" in refusal(saved)


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
        print(str(error).removeprefix(f"checkpoint {path}: "))
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def within_a_gigabyte(paths: list[Path]) -> list[str]:
    """Return why checkpoints are refused in a process that may have one GiB of addresses, and its peak in MiB."""
    command = [sys.executable, "-c", WITHIN, *map(str, paths)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_bombs_are_refused_before_they_take_memory(tmp_path):
    bombs = ("one claim instead", "claims 4 TB", "declares 4 GB", "bomb", "the same over and over")
    paths = [reseal(write(tmp_path / name), {STATE: STATES[name]()}) for name in bombs]
    *said, peak = within_a_gigabyte(paths)
    assert len(said) == len(bombs)
    assert all(line.startswith(f"{STATE} cannot be read: ") for line in said)
    assert int(peak) < 200


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_a_file_that_is_too_long_is_not_read(saved, part):
    with (saved / part).open("r+b") as file:
        file.truncate(2**40)
    *said, peak = within_a_gigabyte([saved])
    assert len(said) == 1
    assert "cannot be read" in said[0]
    assert int(peak) < 200
