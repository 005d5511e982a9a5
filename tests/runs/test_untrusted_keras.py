"""Does a `.keras` file of unknown origin load if it is harmless, and is it refused unread if it is not?"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import ROOT

from trainer.errors import CheckpointError
from trainer.runs.untrusted_keras import (
    CLASSES,
    CONFIG,
    MAX_BYTES,
    METADATA,
    WEIGHTS,
    build_untrusted,
    config_json,
    load_keras,
)

Config = dict[str, Any]


@pytest.fixture(scope="module")
def plain(keras, tmp_path_factory) -> Path:
    """A harmless file: the model of `classifier`."""
    return save(classifier(keras), tmp_path_factory.mktemp("plain") / "plain.keras")


@pytest.fixture
def forged(plain, tmp_path) -> Callable[[dict[str, bytes]], Path]:
    """Return a copy of the harmless file with some parts replaced."""

    def forge(parts: dict[str, bytes]) -> Path:
        return pack(tmp_path / "forged.keras", {**unpack(plain), **parts})

    return forge


def classifier(keras):
    """Return a small classifier with state besides its weights."""
    images = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2", kernel_constraint="max_norm")(images)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Dense(4)(x))


def save(model, path: Path) -> Path:
    """Save a model with weights that no initializer produces."""
    numbers = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(numbers.uniform(0.1, 0.9, variable.shape))
    model.save(path)
    return path


def unpack(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def refusal(path: Path) -> str:
    """Return the one-line refusal of a file, which must begin with its path."""
    with pytest.raises(CheckpointError) as caught:
        load_keras(path)
    said = str(caught.value)
    assert said.startswith(f"cannot load {path}: ")
    assert said.isprintable()
    return said.removeprefix(f"cannot load {path}: ")


def same_outputs(model, loaded) -> bool:
    images = np.random.default_rng(1).random((3, *model.input_shape[1:]), np.float32)
    return np.array_equal(model(images, training=False), loaded(images, training=False))


# Harmless files


def nested(keras):
    """Return a compiled model within a compiled model."""
    inner = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(5, "tanh")])
    inner.compile("adam", "mse")
    images = keras.Input((6, 6, 1))
    model = keras.Model(images, keras.layers.Dense(2)(inner(images)))
    model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
    return model


def residual(keras):
    """Return a model with branches, various convolutions, attention, an activation layer and augmentation."""
    layers = keras.layers
    images = keras.Input((6, 6, 1))
    x = layers.RandomRotation(0.1)(layers.Rescaling(2.0, -1.0)(images))
    x = layers.Conv2D(4, 3, padding="same", activation=layers.LeakyReLU(0.2))(x)
    y = layers.SeparableConv2D(4, 3, padding="same", pointwise_regularizer="l2")(layers.LayerNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same", depthwise_constraint="max_norm")(layers.Activation("gelu")(y))
    x = layers.Reshape((36, 4))(layers.Add()([x, y]))
    x = layers.EinsumDense("abc,cd->abd", output_shape=(None, 3))(layers.MultiHeadAttention(2, 2)(x, x))
    return keras.Model(images, layers.Softmax()(layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))


def lenet5(keras):
    """Return Inkwell's own model with layers that Keras does not have."""
    from models.lenet5 import lenet5

    return lenet5((28, 28, 1), 10)


@pytest.mark.parametrize("build", [classifier, nested, residual, lenet5])
def test_a_harmless_file_gives_the_same_outputs(keras, tmp_path, build):
    model = build(keras)
    loaded = load_keras(save(model, tmp_path / "model.keras"))
    assert same_outputs(model, loaded)
    assert not any(layer.compiled for layer in loaded._flatten_layers() if isinstance(layer, keras.Model))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float16"])
def test_other_dtypes_load(keras, tmp_path, policy):
    layers = [keras.Input((6, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(3, dtype=policy)]
    with warnings.catch_warnings():  # NumPy warns when it casts what Keras reads as bfloat16
        warnings.simplefilter("ignore", DeprecationWarning)
        path = save(keras.Sequential(layers), tmp_path / "model.keras")
        assert same_outputs(keras.Sequential(layers), load_keras(path))


def test_a_file_compressed_by_another_program_loads(plain, tmp_path):
    path = pack(tmp_path / "deflated.keras", unpack(plain), zipfile.ZIP_DEFLATED)
    assert same_outputs(load_keras(plain), load_keras(path))


def test_every_class_on_the_list_exists(keras):
    import importlib

    for module, name in CLASSES:
        assert isinstance(getattr(importlib.import_module(module), name), type), (module, name)


# Names in config.json


def dense(config: Config) -> Config:
    """Return the serialized last layer of the classifier."""
    return config["config"]["layers"][-1]


def change_of(config: Config, module: str | None, name: str, registered: str | None = None, **arguments: Any) -> None:
    dense(config).update(module=module, class_name=name, registered_name=registered)
    dense(config)["config"].update(arguments)


def set_in_dense(key: str, value: Any) -> Callable[[Config], None]:
    return lambda config: dense(config)["config"].update({key: value})


def to_class(module: str | None, name: str, registered: str | None = None) -> Callable[[Config], None]:
    return lambda config: change_of(config, module, name, registered)


def function(module: str, name: str) -> Config:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


NUMPY = {"class_name": "__numpy__", "config": {"value": ["a"], "dtype": "S1000000000"}}
LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wEAAAA=", None, None]}}
TYPESPEC = {"class_name": "__typespec__", "spec_name": "system", "module": "os", "registered_name": None, "config": {}}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (to_class("keras.layers", "Lambda"), "'Lambda' of 'keras.layers' is not a class that may be loaded"),
        (to_class("keras.layers", "TFSMLayer"), "'TFSMLayer' of 'keras.layers' is not a class"),
        (to_class("keras.layers", "TorchModuleWrapper"), "'TorchModuleWrapper' of 'keras.layers' is not a class"),
        (to_class("keras.layers", "StringLookup"), "'StringLookup' of 'keras.layers' is not a class"),
        (to_class("keras.src.layers.core.lambda_layer", "Lambda"), "of 'keras.src.layers.core.lambda_layer' is not"),
        (to_class("subprocess", "Popen"), "'Popen' of 'subprocess' is not a class"),
        (to_class("builtins", "Dense"), "'Dense' of 'builtins' is not a class"),
        (to_class("keras.layers.", "Dense"), "'Dense' of 'keras.layers.' is not a class"),
        (to_class(None, "Dense"), "'Dense' of None is not a class"),
        (to_class("keras.layers", "Dense", "Evil>Dense"), "'Evil>Dense' is a registered class of unknown origin"),
        (to_class("keras.layers", "Dense", "inkwell>Nothing"), "'inkwell>Nothing' is not registered; import the"),
        (to_class("a\x1b[2J\n" * 99, "Dense"), r"of 'a\\x1b[2J\\na\\x1b[2J"),
        (set_in_dense("activation", "elsewhere>evil"), "'elsewhere>evil' is not a Keras activation"),
        (set_in_dense("activation", "get_file"), "'get_file' is not a Keras activation"),
        (set_in_dense("activation", function("keras.utils", "get_file")), "'get_file' is not a function"),
        (set_in_dense("activation", function("os", "system")), "'system' is not a function"),
        (
            set_in_dense("kernel_initializer", "elsewhere>evil"),
            "'elsewhere>evil' may be the name of a registered object",
        ),
        (set_in_dense("kernel_initializer", [[{"a": {**NUMPY}}]]), "'__numpy__' of None is not a class"),
        (set_in_dense("bias_initializer", LAMBDA), "'__lambda__' of None is not a class"),
        (set_in_dense("anything", TYPESPEC), "'__typespec__' of 'os' is not a class"),
        (set_in_dense("anything", {"class_name": ["Dense"], "config": {}}), "['Dense'] of None is not a class"),
        (set_in_dense("anything", {"class_name": "Dense"}), "'Dense' has no configuration"),
        (lambda config: config.update(class_name="Lambda"), "does not describe a functional or sequential model"),
        (lambda config: config.update(module="elsewhere"), "'Functional' of 'elsewhere' is not a class"),
    ],
)
def test_what_is_not_known_to_be_harmless_is_refused_by_name(plain, forged, change, said):
    config = json.loads(unpack(plain)[CONFIG])
    change(config)
    found = refusal(forged({CONFIG: json.dumps(config).encode()}))
    assert found.startswith(CONFIG)
    assert said.replace(r"\\", "\\") in found
    assert len(found) < 250


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "config.json is not JSON"),
        (b"[]", "config.json does not describe a functional or sequential model"),
        (b"\xff\xfe\x00", "config.json is not JSON"),
        (b'{"class_name": "Functional", "a": ' + b"[" * 80 + b"]" * 80 + b"}", "has no configuration"),
        (b"[" * 1_000_000, "config.json is nested deeper than 64 levels"),
        (b'{"a":' * 500_000, "config.json is nested deeper than 64 levels"),
        (b" " * (4 * 2**20 + 1), "config.json declares 4,194,305 bytes, more than 4,194,304"),
    ],
    ids=["empty", "list", "no text", "no config", "deep lists", "deep tables", "long"],
)
def test_an_invalid_configuration_is_refused(forged, content, said):
    assert said in refusal(forged({CONFIG: content}))


def test_deep_nesting_within_a_layer_is_refused(plain, forged):
    config = json.loads(unpack(plain)[CONFIG])
    deep: Any = 0
    for _ in range(65):
        deep = [deep]
    dense(config)["config"]["units"] = deep
    assert "nested deeper than 64 levels" in refusal(forged({CONFIG: json.dumps(config).encode()}))


def test_a_model_that_is_refused_for_its_size_leaves_nothing_behind_in_keras(keras, plain, forged):
    config = json.loads(unpack(plain)[CONFIG])
    dense(config)["config"]["units"] = 10**12
    assert "numbers, more than 52,428,800" in refusal(forged({CONFIG: json.dumps(config).encode()}))
    with keras.StatelessScope():
        pass  # at the end of a scope, Keras creates the variables that wait for it


def test_what_keras_cannot_build_is_one_line(plain, forged):
    config = json.loads(unpack(plain)[CONFIG])
    for key, value in (("units", -3), ("units", "many"), ("dtype", "no_such_type"), ("no_such_argument", 1)):
        changed = copy.deepcopy(config)
        dense(changed)["config"][key] = value
        assert refusal(forged({CONFIG: json.dumps(changed).encode()}))


def test_a_model_that_was_never_built_is_refused(keras, tmp_path):
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Dense(3)]).save(tmp_path / "model.keras")
    assert "saved before its input shape was known" in refusal(tmp_path / "model.keras")


def test_code_in_a_lambda_is_not_run(keras, tmp_path):
    sprung = tmp_path / "sprung"
    text = str(sprung)  # the values that the code closes over are saved with it
    trap = keras.layers.Lambda(lambda x: (__import__("pathlib").Path(text).touch(), x)[1], output_shape=(3,))
    images = keras.Input((3,))
    model = keras.Model(images, trap(images))
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras", safe_mode=False, compile=False)(np.zeros((1, 3)))
    assert sprung.exists(), "the trap works where nothing guards"
    sprung.unlink()
    assert "'Lambda' of 'keras.layers' is not a class that may be loaded" in refusal(tmp_path / "model.keras")
    assert not sprung.exists()


def test_code_of_a_registered_class_of_somebody_else_is_not_run(keras, tmp_path):
    sprung = tmp_path / "sprung"

    @keras.saving.register_keras_serializable("elsewhere")
    class Trap(keras.layers.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            sprung.touch()

        def call(self, inputs):
            return inputs

    images = keras.Input((3,))
    keras.Model(images, Trap()(images)).save(tmp_path / "model.keras")
    sprung.unlink()
    try:
        assert "'elsewhere>Trap' is a registered class of unknown origin" in refusal(tmp_path / "model.keras")
        assert not sprung.exists()
    finally:
        del keras.saving.get_custom_objects()["elsewhere>Trap"]


# The archive


def renamed(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda parts: {**parts, name: b"content"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (renamed("assets/vocabulary.txt"), "it contains 'assets/vocabulary.txt', which no model needs"),
        (renamed("../../outside"), "it contains '../../outside', which"),
        (renamed("/outside"), "it contains '/outside', which"),
        (renamed("./config.json"), "it contains './config.json', which"),
        (renamed("Config.json"), "it contains 'Config.json', which"),
        (renamed("model.weights.npz"), "it contains 'model.weights.npz', which"),
        (renamed("a\x1b[31m\n"), r"it contains 'a\x1b[31m\n', which"),
        (renamed("long" * 10_000), "...,"),
        (lambda parts: {k: v for k, v in parts.items() if k != CONFIG}, "config.json is missing"),
        (lambda parts: {k: v for k, v in parts.items() if k != WEIGHTS}, "model.weights.h5 is missing"),
        (lambda parts: {**parts, METADATA: b" " * 70_000}, "metadata.json declares 70,000 bytes, more than 65,536"),
        (lambda parts: {**parts, WEIGHTS: b"no HDF5"}, "model.weights.h5 is damaged"),
    ],
)
def test_an_archive_of_anything_else_is_refused(plain, tmp_path, change, said):
    assert said in refusal(pack(tmp_path / "forged.keras", change(unpack(plain))))
    assert [path.name for path in tmp_path.iterdir()] == ["forged.keras"]


def test_a_part_that_is_there_twice_is_refused(plain, tmp_path):
    path = pack(tmp_path / "forged.keras", unpack(plain))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CONFIG, b"{}")
    assert "it contains config.json twice" in refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_without_limits_is_refused(plain, tmp_path, compression):
    path = pack(tmp_path / "forged.keras", unpack(plain), compression)
    assert "uses a compression that Keras never uses" in refusal(path)


def declare(content: bytes, name: str, size: int) -> bytes:
    """Return an archive whose directory declares another size of a member."""
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
    return content[: entry + 24] + size.to_bytes(4, "little") + content[entry + 28 :]


def test_a_part_that_declares_too_much_is_refused(plain, tmp_path):
    path = tmp_path / "forged.keras"
    path.write_bytes(declare(plain.read_bytes(), WEIGHTS, 2**32 - 2))
    assert f"{WEIGHTS} declares 4,294,967,294 bytes, more than {MAX_BYTES:,}" in refusal(path)
    path.write_bytes(declare(plain.read_bytes(), WEIGHTS, MAX_BYTES))
    assert f"its parts declare more than {MAX_BYTES:,} bytes" in refusal(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.keras"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert refusal(path) == "it has 209,715,201 bytes, more than 209,715,200"


def test_what_is_not_a_file_is_refused(tmp_path):
    assert refusal(tmp_path) == "it is not a file"
    assert refusal(tmp_path / "nothing.keras") == "No such file or directory"
    os.mkfifo(tmp_path / "pipe.keras")
    assert refusal(tmp_path / "pipe.keras") == "it is not a file"
    assert refusal(Path("/dev/zero")) == "it is not a file"


def test_every_truncation_is_refused(plain, tmp_path):
    whole = plain.read_bytes()
    dice = random.Random(0)
    for left in {0, 1, len(whole) - 1, *(dice.randrange(len(whole)) for _ in range(200))}:
        (tmp_path / "model.keras").write_bytes(whole[:left])
        assert refusal(tmp_path / "model.keras"), left


def test_a_flipped_bit_is_refused_or_harmless(keras, plain, tmp_path):
    whole = plain.read_bytes()
    model = load_keras(plain)
    dice = random.Random(0)
    path = tmp_path / "model.keras"
    refused = 0
    for position in (dice.randrange(8 * len(whole)) for _ in range(200)):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            assert same_outputs(model, load_keras(path)), position  # a harmless position, such as a date
        except CheckpointError:
            refused += 1
    assert refused > 150


# The weights


def loop(file: h5py.File) -> None:
    file["layers/loop"] = file["layers"]


def again(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = file["layers/dense/vars/0"]


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "data", (4,))
    file.create_virtual_dataset("virtual", layout)


def linked(link: Any) -> Callable[[h5py.File], None]:
    return lambda file: file["layers/dense/vars"].__setitem__("2", link)


def data_set(*args: Any, **kwargs: Any) -> Callable[[h5py.File], None]:
    return lambda file: file.create_dataset("extra", *args, **kwargs) and None


def just_below(file: h5py.File) -> None:
    """Many data sets, none of them large: keras-team/keras#23100."""
    for number in range(1000):
        file.create_dataset(f"layers/dense/vars/{number + 2}", (40 * 2**20,), "f4", chunks=(1024,))


def deep(file: h5py.File) -> None:
    file.create_group("/".join("a" * 70))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (linked(h5py.ExternalLink("/etc/hostname", "/data")), "'2' is a link"),
        (linked(h5py.SoftLink("/layers")), "'2' is a link"),
        (virtual, "'virtual' stores its data in another file"),
        (data_set((8,), "u1", external=[("/etc/hostname", 0, 8)]), "'extra' stores its data in another file"),
        (data_set((10**12,), "f4", chunks=(1024,)), "declares 4,000,000,000,"),
        (data_set((10**12,), "f4"), "declares 4,000,000,000,"),
        (data_set((2**40, 2**40), "f8", chunks=(1, 1)), "declares 9,671,406,556,917,033,397,"),
        (just_below, "declares 167,772,160,"),
        (data_set(data=np.zeros(10**7, np.uint8), compression="gzip"), "'extra' is compressed, which Keras never does"),
        (data_set(data=["text"]), "'extra' does not contain numbers"),
        (data_set(data=h5py.Empty("f4")), "'extra' does not contain numbers"),
        (data_set(2, np.dtype([("a", "f4"), ("b", "S9")])), "'extra' does not contain numbers"),
        (lambda file: file.__setitem__("extra", np.dtype("f4")), "'extra' is neither a group nor a data set"),
        (loop, "'loop' refers to an object that occurs elsewhere"),
        (again, "refers to an object that occurs elsewhere"),
        (deep, "nested deeper than 64 levels"),
    ],
)
def test_weights_that_are_not_plain_numbers_are_refused(plain, forged, change, said):
    buffer = io.BytesIO(unpack(plain)[WEIGHTS])
    with h5py.File(buffer, "r+") as file:
        change(file)
    found = refusal(forged({WEIGHTS: buffer.getvalue()}))
    assert found.startswith(WEIGHTS)
    assert said in found


def test_weights_of_another_model_are_refused(plain, forged):
    buffer = io.BytesIO(unpack(plain)[WEIGHTS])
    with h5py.File(buffer, "r+") as file:
        kernel = file["layers/dense/vars/0"][()]
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = kernel[:-1]
    assert refusal(forged({WEIGHTS: buffer.getvalue()}))
    with h5py.File(buffer, "r+") as file:
        del file["layers/dense"]
    assert refusal(forged({WEIGHTS: buffer.getvalue()}))


# Memory

WITHIN = r"""
import re, resource, sys
from pathlib import Path
from trainer.errors import CheckpointError
from trainer.runs.untrusted_keras import load_keras

def peak():
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024

if sys.argv[1] == "keras":
    from trainer import startup
    startup.configure()
    startup.start(seed=0)
    import keras
    load_keras(Path(sys.argv[2]))
else:
    import h5py
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
before = peak()
for path in sys.argv[3:]:
    try:
        load_keras(Path(path))
        print("loaded")
    except CheckpointError as error:
        print(str(error).removeprefix(f"cannot load {path}: "))
print(peak() - before)
"""


def refusals_within(kind: str, plain: Path, paths: list[Path]) -> tuple[list[str], int]:
    """Return the refusals of files in a separate process, and the growth of its memory over them in MiB.

    Without Keras, which needs more, the process has one GiB of address space.
    """
    command = [sys.executable, "-c", WITHIN, kind, *map(str, [plain, *paths])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    *said, grown = done.stdout.splitlines()
    return said, int(grown)


def test_bombs_are_refused_before_they_take_memory(plain, tmp_path):
    parts = unpack(plain)
    paths = [tmp_path / f"{name}.keras" for name in ("inflating", "config", "shapes", "many")]
    inflating = zipfile.ZipFile(paths[0], "w", zipfile.ZIP_DEFLATED)
    with inflating, inflating.open(WEIGHTS, "w", force_zip64=True) as member:
        for _ in range(1024):
            member.write(bytes(2**20))
    inflating = zipfile.ZipFile(paths[0], "a")
    with inflating:
        inflating.writestr(CONFIG, parts[CONFIG])
    pack(paths[1], {**parts, CONFIG: b"[" * 4_000_000}, zipfile.ZIP_DEFLATED)
    for path, change in zip(paths[2:], (data_set((10**12,), "f4"), just_below), strict=True):
        buffer = io.BytesIO(parts[WEIGHTS])
        with h5py.File(buffer, "r+") as file:
            change(file)
        pack(path, {**parts, WEIGHTS: buffer.getvalue()})
    assert max(path.stat().st_size for path in paths) < 10 * 2**20
    said, grown = refusals_within("h5py", plain, paths)
    assert said[0] == f"{WEIGHTS} declares 1,073,741,824 bytes, more than 209,715,200"
    assert said[1] == f"{CONFIG} is nested deeper than 64 levels"
    assert said[2].startswith(f"{WEIGHTS} declares 4,000,000,000,")
    assert said[3].startswith(f"{WEIGHTS} declares 167,772,160,")
    assert grown < 200


def test_a_model_that_is_too_large_is_refused_before_it_is_built(keras, plain, tmp_path):
    """Its weights need not be in the file: Keras would first create random ones."""
    config = json.loads(unpack(plain)[CONFIG])
    paths = []
    for units in (10**7, 10**12):  # 1.9 GB, and more than exists
        dense(config)["config"]["units"] = units
        paths.append(pack(tmp_path / f"{units}.keras", {**unpack(plain), CONFIG: json.dumps(config).encode()}))
    said, grown = refusals_within("keras", plain, paths)
    assert said == [
        "config.json describes a model of 490,000,044 numbers, more than 52,428,800",
        "config.json describes a model of 49,000,000,000,044 numbers, more than 52,428,800",
    ]
    assert grown < 300


# Other structures


def siamese(keras):
    """Return a model of two images and a vector, with shared layers, operations on tensors and two outputs."""
    layers, ops = keras.layers, keras.ops
    left, right = (keras.Input((8, 8, 1), name=name) for name in ("left", "right"))
    extra = keras.Input((3,), name="extra")
    tower = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4, activation="relu")])
    a, b = tower(left), tower(right)
    apart = ops.sqrt(ops.sum(ops.square(a - b), axis=-1, keepdims=True) + 1e-6)
    every = ops.concatenate([ops.abs(a - b), apart, ops.relu(extra)], axis=-1)
    outputs = {"same": layers.Dense(1, name="same")(every[:, :-1]), "mean": ops.mean(every, axis=1)}
    return keras.Model({"left": left, "right": right, "extra": extra}, outputs)


def sequences(keras):
    """Return a recurrent model of two sequences that gives a list."""
    layers = keras.layers
    words, numbers = keras.Input((5,), dtype="int32", name="words"), keras.Input((5, 2), name="numbers")
    x = layers.Concatenate()([layers.Embedding(10, 3)(words), layers.Masking()(numbers)])
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    return keras.Model([words, numbers], [layers.TimeDistributed(layers.Dense(1))(x), layers.GRU(2)(x)])


@pytest.mark.parametrize("make", [siamese, sequences])
def test_a_model_of_any_structure_is_built_again(keras, make):
    model = make(keras)
    again = build_untrusted(config_json(model), "model.json")
    again.set_weights(model.get_weights())
    numbers = np.random.default_rng(0)
    x = keras.tree.map_structure(lambda tensor: numbers.random((3, *tensor.shape[1:]), np.float32), model.input)
    ours, theirs = (keras.tree.map_structure(np.asarray, each(x, training=False)) for each in (model, again))
    keras.tree.assert_same_structure(ours, theirs)
    for one, other in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        np.testing.assert_array_equal(one, other)
