"""Is a checkpoint either complete or refused, bit for bit, and do old ones survive a failure?"""

from __future__ import annotations

import io
import json
import pickle
import random
import shutil
import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from conftest import Variable, files_no_longer_than

from trainer import checkpoint
from trainer.checkpoint import MANIFEST, STATE, SUMS, Checkpoints
from trainer.errors import CheckpointError

NAME = "epoch=0001-step=0000007"
CONTENT = {"epoch": 1, "step": 7, "plugins": {"early_stopping": {"best": 0.1, "waited": 2}}}


def variables(seed: int = 0) -> list[Variable]:
    numbers = np.random.default_rng(seed)
    return [
        Variable("c1/kernel", numbers.normal(size=(5, 5, 1, 6)).astype(np.float32)),
        Variable("c1/bias", numbers.normal(size=6).astype(np.float32)),
        Variable("adam/iteration", np.array(seed + 7, np.int64)),
    ]


def write(store: Checkpoints, name: str, written, manifest, roles) -> Path:
    return store.write(checkpoint.snapshot(name, written, manifest), roles)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of `variables()`."""
    return write(Checkpoints(tmp_path / "checkpoints"), NAME, variables(), CONTENT, ["best", "last"])


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(path)
    return str(caught.value)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# Round trips


def test_what_is_written_is_read_back_bit_for_bit(saved):
    found = checkpoint.read(saved)
    for ours, theirs in zip(found.arrays, variables(), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs.value)
    assert {key: found.manifest[key] for key in CONTENT} == CONTENT
    assert found.path == saved


def test_odd_floats_keep_their_bits(tmp_path):
    odd = np.array([np.nan, -0.0, np.inf, 1e-45, np.float32(0.1)], np.float32)
    path = write(Checkpoints(tmp_path / "c"), NAME, [Variable("w", odd)], {}, ["last"])
    assert checkpoint.read(path).arrays[0].tobytes() == odd.tobytes()


NARROW = ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2")


@pytest.mark.parametrize("dtype", NARROW)
def test_every_bit_pattern_of_a_narrow_type_comes_back(tmp_path, dtype):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    every = np.arange(2 ** (8 * kind.itemsize), dtype=f"u{kind.itemsize}").view(kind)
    written = [Variable("w", every.reshape(16, -1)), Variable("scalar", every[7:8].reshape(()))]
    path = write(Checkpoints(tmp_path / "c"), NAME, written, {}, ["last"])
    found = checkpoint.read(path).arrays
    assert [array.dtype for array in found] == [kind, kind]
    assert [array.tobytes() for array in found] == [variable.value.tobytes() for variable in written]


@pytest.mark.parametrize("policy", ["bfloat16", "float16", "mixed_bfloat16"])
def test_a_model_of_narrow_numbers_comes_back_bit_for_bit(keras, tmp_path, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        written, restored = (
            [*model.variables, *trained(keras, model).variables] for model in map(network, [keras] * 2)
        )
    finally:
        keras.config.set_dtype_policy(before)
    path = write(Checkpoints(tmp_path / "c"), NAME, written, {}, ["last"])
    restored[0].assign(restored[0] + 1)
    checkpoint.restore(checkpoint.read(path), restored)
    assert policy.startswith("mixed") or policy in {str(variable.dtype) for variable in written}
    for ours, theirs in zip(restored, written, strict=True):
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes(), ours.path


def trained(keras, model):
    """Return an optimizer that has made a step on `model`, so that it has state."""
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.random.normal(v.shape, dtype=v.dtype) for v in model.trainable_variables])
    return optimizer


def test_sha256sum_agrees(saved):
    done = subprocess.run(["sha256sum", "--check", SUMS], cwd=saved, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, f"{STATE}: OK\n{MANIFEST}: OK\n")


def network(keras, width: int = 4):
    """Return a model with everything that has its own state: dropout's seed generator, batch normalisation."""
    images = keras.Input((6, 6, 1))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(width, 3)(images))
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Dense(2)(x))


def test_a_model_and_its_optimizer_come_back_in_the_same_process_under_other_names(keras, tmp_path):
    first, second = network(keras), network(keras)
    optimizers = [keras.optimizers.Adam(), keras.optimizers.Adam()]
    for model, optimizer in zip((first, second), optimizers, strict=True):
        optimizer.build(model.trainable_variables)
    assert [v.path for v in first.variables] != [v.path for v in second.variables]  # conv2d, and conv2d_1
    first(np.ones((1, 6, 6, 1), np.float32), training=True)  # moves the seed of dropout
    optimizers[0].apply([np.ones(v.shape, np.float32) for v in first.trainable_variables], first.trainable_variables)
    written = [*first.variables, *optimizers[0].variables]
    assert any("seed_generator" in v.path for v in written)
    path = write(Checkpoints(tmp_path / "c"), NAME, written, {}, ["last"])
    restored = [*second.variables, *optimizers[1].variables]
    checkpoint.restore(checkpoint.read(path), restored)
    for ours, theirs in zip(restored, written, strict=True):
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes(), ours.path


def test_the_same_layers_make_the_same_choice_after_the_seed_came_back(keras, tmp_path):
    first, second = network(keras), network(keras)
    images = np.random.default_rng(0).normal(size=(3, 6, 6, 1)).astype(np.float32)
    path = write(Checkpoints(tmp_path / "c"), NAME, first.variables, {}, ["last"])
    checkpoint.restore(checkpoint.read(path), second.variables)
    np.testing.assert_array_equal(first(images, training=True), second(images, training=True))


def test_a_model_alone_takes_the_first_arrays(saved):
    model = variables(seed=1)[:2]
    checkpoint.restore(checkpoint.read(saved), model)
    np.testing.assert_array_equal(model[1].value, variables()[1].value)


# Mismatches


def other_shape(model: list[Variable]) -> None:
    model[1] = Variable("c1/bias", np.zeros(7, np.float32))


def other_dtype(model: list[Variable]) -> None:
    model[1] = Variable("c1/bias", np.zeros(6, np.float16))


def other_name(model: list[Variable]) -> None:
    model[1] = Variable("c2/bias", np.zeros(6, np.float32))


def other_order(model: list[Variable]) -> None:
    model[:2] = model[1], model[0]


def one_more(model: list[Variable]) -> None:
    model.append(Variable("d/bias", np.zeros(6, np.float32)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_shape, "does not fit the model: it has c1/bias float32[6] instead of c1/bias float32[7]"),
        (other_dtype, "does not fit the model: it has c1/bias float32[6] instead of c1/bias float16[6]"),
        (other_name, "does not fit the model: it has c1/bias float32[6] instead of c2/bias float32[6]"),
        (other_order, "does not fit the model: it has c1/kernel float32[5, 5, 1, 6] instead of c1/bias float32[6]"),
        (one_more, "does not fit the model: it has 3 variables instead of 4"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_assigned(saved, change, said):
    model = variables(seed=1)
    change(model)
    before = [v.value for v in model]
    with pytest.raises(CheckpointError) as caught:
        checkpoint.restore(checkpoint.read(saved), model)
    assert str(caught.value) == f"checkpoint {saved} {said}"
    assert all(v.value is value for v, value in zip(model, before, strict=True))


def test_another_architecture_is_refused(keras, tmp_path):
    path = write(Checkpoints(tmp_path / "c"), NAME, network(keras).variables, {}, ["last"])
    wider = network(keras, width=5)
    before = [np.asarray(v).copy() for v in wider.variables]
    with pytest.raises(CheckpointError, match=r"conv2d/kernel float32\[3, 3, 1, 4\] instead of conv2d/kernel "):
        checkpoint.restore(checkpoint.read(path), wider.variables)
    for variable, value in zip(wider.variables, before, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), value)


# Damage


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_no_flipped_byte_goes_unnoticed(saved, part):
    whole = (saved / part).read_bytes()
    dice = random.Random(part)
    ends = [0, len(whole) - 1, *(i for i, byte in enumerate(whole) if byte in b"\n ")][:20]
    for position in {*ends, *(dice.randrange(len(whole)) for _ in range(60))}:
        for mask in (1, 7, 0x20, 0xFF):  # 7 turns a line feed into a carriage return, 0x20 upper case into lower case
            damaged = bytearray(whole)
            damaged[position] ^= mask
            (saved / part).write_bytes(damaged)
            named = SUMS if part == SUMS else f"damaged: {part} does not match {SUMS}"
            said = refusal(saved)
            assert f"checkpoint {saved} is damaged: " in said, (position, mask)
            assert named in said, (position, mask)
    (saved / part).write_bytes(whole)
    checkpoint.read(saved)


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
@pytest.mark.parametrize("left", [0, 1, 0.5, -1])
def test_a_truncated_file_is_refused(saved, part, left):
    whole = (saved / part).read_bytes()
    (saved / part).write_bytes(whole[: int(left * len(whole))] if isinstance(left, float) else whole[:left])
    assert f"checkpoint {saved} is damaged: " in refusal(saved)


@pytest.mark.parametrize("part", [STATE, MANIFEST, SUMS])
def test_a_missing_file_is_refused_and_named(saved, part):
    (saved / part).unlink()
    assert refusal(saved) == f"cannot read checkpoint {saved}: No such file or directory: {saved / part}"


def test_more_than_was_written_is_refused(saved):
    with (saved / SUMS).open("a") as file:
        file.write(f"{'0' * 64}  extra\n")
    assert "damaged" in refusal(saved)


def reseal(path: Path) -> None:
    """Correct the sums of a forged checkpoint: they guard against accidents, not against attackers."""
    done = subprocess.run(["sha256sum", STATE, MANIFEST], cwd=path, capture_output=True, text=True, timeout=300)
    (path / SUMS).write_text(done.stdout)


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("bare", [False, True], ids=["object array in an npz", "bare pickle"])
def test_a_pickle_in_a_forged_checkpoint_is_never_executed(saved, tmp_path, bare):
    sprung = tmp_path / "sprung"
    buffer = io.BytesIO()
    if bare:
        pickle.dump(Trap(sprung), buffer)
    else:
        np.savez(buffer, **{"0000": np.array([Trap(sprung)], dtype=object)})
    (saved / STATE).write_bytes(buffer.getvalue())
    reseal(saved)
    assert refusal(saved).startswith(f"cannot read checkpoint {saved}: {STATE}: ")
    assert not sprung.exists()


def test_arrays_that_are_not_what_the_manifest_says_are_refused(saved):
    buffer = io.BytesIO()
    np.savez(buffer, **{"0000": np.zeros(3), "0001": np.zeros(6, np.float32), "0002": np.zeros((), np.int64)})
    (saved / STATE).write_bytes(buffer.getvalue())
    reseal(saved)
    assert refusal(saved) == f"checkpoint {saved} is damaged: {STATE} does not match {MANIFEST}"


@pytest.mark.parametrize("content", ["[]", "{", '{"layout": 2}', '{"layout": 4, "variables": []}', "\udcff"])
def test_a_forged_manifest_is_refused(saved, content):
    (saved / MANIFEST).write_bytes(content.encode(errors="surrogateescape"))
    reseal(saved)
    assert str(saved) in refusal(saved)


def test_a_pointer_to_a_checkpoint_that_is_gone_leads_to_nothing_that_is_read(saved):
    (saved.parent / "last").write_text("epoch=0009-step=0000009\n")
    path = Checkpoints(saved.parent).role("last")
    assert path is not None
    assert refusal(path).startswith(f"cannot read checkpoint {path}: No such file or directory")


def test_a_damaged_pointer_costs_no_checkpoint_that_it_may_have_named(saved):
    store = Checkpoints(saved.parent)
    (store.folder / "best").write_bytes(b"\xff\xfe")
    paths = [
        saved,
        *(write(store, f"epoch=0002-step={step:07d}", variables(step), {}, ["last"]) for step in (8, 9, 10)),
    ]
    assert all(path.is_dir() for path in paths)
    last = write(store, "epoch=0002-step=0000011", variables(11), {}, ["best", "last"])  # repairs the pointer
    assert names(store.folder) == {last.name, paths[-1].name, "best", "last", "previous"}


def test_a_file_that_the_system_left_there_keeps_no_checkpoint_alive(saved):
    store = Checkpoints(saved.parent)
    (store.folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    last = [write(store, f"epoch=0002-step={step:07d}", variables(step), {}, ["best", "last"]) for step in (8, 9, 10)]
    assert names(store.folder) == {last[-2].name, last[-1].name, ".DS_Store", "best", "last", "previous"}


# Retention


def test_only_checkpoints_without_a_role_are_deleted(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    paths = {}
    for step, roles in ((1, ["best", "last"]), (2, ["last"]), (3, ["last"]), (4, ["best"]), (5, ["last", "swa"])):
        paths[step] = write(store, f"epoch=0001-step={step:07d}", variables(step), {}, roles)
    assert {path for path in paths.values() if path.exists()} == {paths[3], paths[4], paths[5]}
    assert (store.role("best"), store.role("last"), store.role("swa")) == (paths[4], paths[5], paths[5])
    assert store.role("nobody") is None
    assert store.role("previous") == paths[3]
    assert names(store.folder) == {*(paths[k].name for k in (3, 4, 5)), "best", "last", "previous", "swa"}
    np.testing.assert_array_equal(checkpoint.read(paths[4]).arrays[0], variables(4)[0].value)


def test_what_is_not_a_checkpoint_is_left_alone(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    write(store, "epoch=0001-step=0000001", variables(), {}, ["last"])
    (store.folder / "notes").mkdir()
    write(store, "epoch=0001-step=0000002", variables(), {}, ["last"])
    kept = {"epoch=0001-step=0000001", "epoch=0001-step=0000002", "last", "previous", "notes"}
    assert names(store.folder) == kept


def test_a_later_moment_of_the_same_step_gets_a_name_of_its_own(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints")
    first = write(store, NAME, variables(), {}, ["best", "last"])
    second = write(store, NAME, variables(1), {}, ["last"])
    assert (first.name, second.name) == (NAME, f"{NAME}-2")
    assert (store.role("best"), store.role("last"), store.role("previous")) == (first, second, first)


# Failing writes


@pytest.mark.parametrize("size", [0, 100, 600, 1200], ids=lambda size: f"{size} bytes fit")
def test_a_write_that_fails_leaves_the_old_checkpoint_and_nothing_half_written(saved, size):
    store = Checkpoints(saved.parent)
    before = {path: path.read_bytes() for path in saved.parent.rglob("*") if path.is_file()}
    large = {"history": ["x" * 100] * 100} if size == 1200 else {}  # then the manifest is what does not fit
    few = [Variable("w", np.zeros(2, np.float32))] if size == 1200 else variables(1)
    with files_no_longer_than(size), pytest.raises(OSError, match="File too large"):
        write(store, "epoch=0002-step=0000014", few, large, ["best", "last"])
    assert {path: path.read_bytes() for path in saved.parent.rglob("*") if path.is_file()} == before
    assert names(saved.parent) == {NAME, "best", "last"}
    checkpoint.read(saved)


def test_the_next_write_succeeds_after_one_that_failed(saved):
    store = Checkpoints(saved.parent)
    with files_no_longer_than(100), pytest.raises(OSError, match="File too large"):
        write(store, "epoch=0002-step=0000014", variables(1), {}, ["last"])
    path = write(store, "epoch=0002-step=0000014", variables(1), {}, ["best", "last"])
    np.testing.assert_array_equal(checkpoint.read(path).arrays[0], variables(1)[0].value)
    assert names(saved.parent) == {path.name, saved.name, "best", "last", "previous"}


def test_leftovers_of_a_killed_process_do_no_harm(saved):
    leftover = saved.parent / f".tmp-1-{NAME}"
    shutil.copytree(saved, leftover)
    (leftover / STATE).write_bytes(b"half")
    path = write(Checkpoints(saved.parent), "epoch=0002-step=0000014", variables(1), {}, ["best", "last"])
    assert json.loads((path / MANIFEST).read_text())["layout"] == checkpoint.LAYOUT
    assert checkpoint.read(Checkpoints(saved.parent).role("last") or path).path == path
