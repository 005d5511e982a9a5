"""Is Keras started for training alone, independently of the user's settings, and left as it was?"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SILENT, make_images, run_script
from PIL import Image

from trainer import checkpoint, startup

PROGRAMS = {
    "left out, and there when it is asked for later": """
        from trainer import startup
        startup.start(0)
        assert not set(startup.EXTRAS) & set(sys.modules), "they were imported"
        import pandas, scipy, keras
        assert keras.layers.Dense(2)(keras.ops.ones((1, 3))).shape == (1, 2)
        """,
    "left whole if the program imported it before": """
        import keras
        from trainer import startup
        startup.start(0)
        keras.wrappers.SKLearnClassifier(keras.Model)
        """,
    "left to other threads": """
        from concurrent.futures import ThreadPoolExecutor
        from trainer import startup
        with startup.without(("pandas",)), ThreadPoolExecutor(1) as reader:
            assert reader.submit(__import__, "pandas").result().DataFrame
        """,
}


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_of_a_program_is_as_it_was_after_the_imports(enabled):
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with startup.collector_paused():
            paused = not gc.isenabled()
        assert paused
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
        gc.unfreeze()


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_extras_of_keras_are(program):
    code = "import sys\n" + "\n".join(line[8:] for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


# What a user has set in Keras

SETTINGS = {
    "another layout": {"image_data_format": "channels_first"},
    "another type": {"floatx": "float16"},
    "another backend": {"backend": "torch", "epsilon": 0.1},
    "no such type": {"floatx": "bfloat99"},
    "no such layout": {"image_data_format": "upside down"},
    "an epsilon of another type": {"epsilon": 1},
    "an unhashable type": {"floatx": []},
    "a list": [1, 2],
    "no JSON": "{",
    "no text": b"\xff\xfe\x00",
    "nested too deep": "[" * 100_000,
    "a folder": None,
}
JUDGE = """
import importlib, json, os, sys
from pathlib import Path
from trainer import startup
startup.start(0)
import keras
config = importlib.import_module("keras.src.backend.config")
for case in sorted(Path(sys.argv[1]).iterdir()):
    os.environ["KERAS_HOME"] = str(case)
    try:
        importlib.reload(config)
        theirs = True
    except Exception as error:
        theirs = False
    del sys.modules["keras"]
    startup.configure()
    sys.modules["keras"] = keras
    print(json.dumps([case.name, theirs, os.environ["KERAS_HOME"] == str(case)]))
"""


def test_settings_of_keras_that_it_cannot_be_imported_with_are_skipped_and_no_others(tmp_path):
    for name, said in SETTINGS.items():
        write_settings(tmp_path / name, said)
    command = [sys.executable, "-c", JUDGE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    judged = {name: (theirs, ours) for name, theirs, ours in map(json.loads, done.stdout.splitlines())}
    assert {name for name, (theirs, ours) in judged.items() if theirs != ours} == set()
    assert {name for name, (theirs, _) in judged.items() if theirs} == {*list(SETTINGS)[:3], "no JSON", "no text"}


def write_settings(home: Path, said: Any) -> None:
    """Write a `keras.json`; None makes a folder of that name."""
    home.mkdir()
    if said is None:
        (home / "keras.json").mkdir()
    else:
        content = said if isinstance(said, str | bytes) else json.dumps(said)
        (home / "keras.json").write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def settings(keras) -> Iterator[Any]:
    """Settings of Keras, which are restored afterwards."""
    config = keras.config
    before = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
    yield config
    config.set_floatx(before[0])
    config.set_epsilon(before[1])
    config.set_image_data_format(before[2])
    config.set_dtype_policy(before[3])


def learnt(keras, images) -> list[bytes]:
    from models.lenet import lenet
    from trainer import Trainer

    keras.utils.set_random_seed(0)
    trainer = Trainer(lenet((12, 12, 1), 4), plugins=[])
    trainer.fit(images, validation_data=images, test_data=images, epochs=1)
    trainer.predict(images.images)
    return [variable.numpy().tobytes() for variable in trainer.model.variables]


def test_a_trainer_in_python_learns_the_same_whatever_is_set_in_keras(keras, images, settings):
    expected = learnt(keras, images)
    settings.set_floatx("float16")
    settings.set_dtype_policy("float16")  # would otherwise apply to a first layer
    settings.set_epsilon(0.1)
    settings.set_image_data_format("channels_first")
    assert learnt(keras, images) == expected
    assert (settings.floatx(), settings.epsilon(), settings.image_data_format()) == ("float16", 0.1, "channels_first")
    assert settings.dtype_policy().name == "float16"


def test_a_policy_that_the_user_chose_is_that_of_the_model(keras, settings):
    from models.lenet import lenet

    settings.set_dtype_policy("mixed_bfloat16")
    assert lenet((12, 12, 1), 4).get_layer("c1").compute_dtype == "bfloat16"


@pytest.mark.slow
def test_every_command_does_the_same_whatever_keras_json_says(tiny, tmp_path):
    hostile = {"floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "jax"}
    write_settings(tmp_path / "keras", hostile)
    drawn = make_images(1, side=12)
    Image.fromarray(drawn.images[0, :, :, 0]).save(tmp_path / "drawn.png")
    results = []
    for number, env in enumerate([{}, {"KERAS_HOME": str(tmp_path / "keras"), "TF_USE_LEGACY_KERAS": "1"}]):
        folder = tmp_path / str(number)
        folder.mkdir()

        def run(name: str, *arguments: str, folder: Path = folder, env: dict[str, str] = env) -> str:
            done = run_script(folder, f"{name}.py", *arguments, env=env)
            assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
            return done.stdout

        train = ["--model", "lenet", "--data", str(tiny), *SILENT]
        run("fit", *train, "--run-dir", "run", "--epochs", "1")
        run("fit", *train, "--resume", "run", "--resume-anyway", "--epochs", "2")
        run("export", "exported", "--run", "run", "--format", "keras", "--format", "savedmodel")
        last = folder / "run" / "checkpoints" / (folder / "run" / "checkpoints" / "last").read_text().strip()
        results.append(
            (
                [array.tobytes() for array in checkpoint.read(last).arrays],
                run("evaluate", "run").partition("report")[0],
                run("predict", "../drawn.png", "--run", "run"),
                run("predict", "../drawn.png", "--recognizer", "exported/keras"),
                run("predict", "../drawn.png", "--recognizer", "exported/savedmodel"),
            )
        )
    assert results[0] == results[1]
