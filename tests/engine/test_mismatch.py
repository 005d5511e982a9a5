"""Is resuming a run with something different refused, with the difference shown and nothing lost?"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SILENT, Done, make_images, run_script

from trainer.errors import CheckpointError
from trainer.plugin import Plugin
from trainer.registry import plugins as registry
from trainer.runs.find import differences
from trainer.runs.lock import LOCK

EPOCHS = 2


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK
    }


def fit(folder: Path, *arguments: str) -> Done:
    done = run_script(folder, "fit.py", "--data", "data.npz", *SILENT, *arguments)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with data and `run`, a run of two epochs on it."""
    folder = tmp_path_factory.mktemp("mismatch")
    for name in ("data.npz", "other.npz"):
        shutil.copy(tiny, folder / name)
    done = fit(folder, "--model", "lenet", "--epochs", str(EPOCHS), "--run-dir", "run")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(workshop: Path, tmp_path: Path) -> Path:
    """A copy of `workshop`, to be changed."""
    return Path(shutil.copytree(workshop, tmp_path / "folder"))


def refusal(folder: Path, *arguments: str, status: int) -> str:
    """Resume with other arguments; return the one-line refusal, after checking that nothing changed."""
    before = bytes_of(folder)
    done = fit(folder, "--resume", "run", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert bytes_of(folder) == before
    *plan, last = done.stderr.splitlines()
    assert not [line for line in plan if "error" in line or "warning" in line]
    assert last.startswith("fit.py: error: ")
    return last.removeprefix("fit.py: error: ")


DIFFERENCES = {
    ("--model", "mlp"): "model.name: lenet → mlp",
    ("--model", "lenet:dropout=0.5"): "model.args.dropout: - → 0.5",
    ("--data", "other.npz"): "data.name: data.npz → other.npz",
    ("--optimizer", "sgd"): "optimizer.name: adam → sgd",
    ("--lr", "0.01"): "optimizer.learning_rate: 0.002 → 0.01",
    ("--batch-size", "64"): "data.batch_size: 128 → 64",
    ("--seed", "1"): "training.seed: 0 → 1",
    ("--augment", "strong"): "data.augmentation: none → strong",
    ("--plugin", "early_stopping:patience=3"): "plugins.early_stopping.patience: 5 → 3",
    ("--no-plugin", "early_stopping", "--lr", "1"): (
        "optimizer.learning_rate: 0.002 → 1.0; "
        "plugins.early_stopping.monitor: val_loss → -; plugins.early_stopping.patience: 5 → -"
    ),
}


@pytest.mark.parametrize(("arguments", "said"), DIFFERENCES.items(), ids=[" ".join(flags) for flags in DIFFERENCES])
def test_another_configuration_is_refused_with_the_difference(workshop, arguments, said):
    expected = f"cannot resume run: its configuration differs ({said}); --resume-anyway accepts that"
    assert refusal(workshop, *arguments, status=2) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--model", "mlp"),
            r"checkpoint run/\S+ does not fit the model: it has \S+/kernel float32\[5, 5, 1, \d+\] instead of .*",
        ),
        (
            ("--optimizer", "sgd"),
            r"checkpoint run/\S+ does not fit the model: it has adam/\S+ \S+ instead of sgd/\S+ \S+",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_run_that_cannot_continue_is_refused_even_when_forced(workshop, arguments, said):
    assert re.fullmatch(said, refusal(workshop, *arguments, "--epochs", "3", "--resume-anyway", status=1))


def replace_data(folder: Path, count: int = 200) -> None:
    """Replace the images in the data file, keeping its name."""
    train, test = make_images(count, seed=2), make_images(40, seed=3)
    parts = {"x_train": train.images, "y_train": train.labels, "x_test": test.images, "y_test": test.labels}
    np.savez(folder / "data.npz", **parts)


def test_data_that_changed_under_the_same_name_are_refused_with_both_digests(folder):
    replace_data(folder)
    said = refusal(folder, "--epochs", "3", status=1)
    digests = re.fullmatch(
        r"cannot resume: the run was trained on data.npz \((\w{12})…\), not on data.npz \((\w{12})…\); "
        "add --resume-anyway to continue with the new data",
        said,
    )
    assert digests
    assert digests[1] == json.loads((folder / "run" / "result.json").read_text())["data"]["digest"][:12]
    assert digests[1] != digests[2]


@pytest.mark.slow
def test_a_run_continues_with_changed_data_when_forced(folder):
    replace_data(folder)
    history = (folder / "run" / "history.jsonl").read_text()
    done = fit(folder, "--resume", "run", "--epochs", "3", "--resume-anyway")
    assert done.returncode == 0, done.stderr
    after = (folder / "run" / "history.jsonl").read_text()
    assert after.startswith(history)
    assert json.loads(after.splitlines()[-1])["epoch"] == 3


def test_changed_data_of_another_size_is_refused_even_when_forced(folder):
    replace_data(folder, count=400)
    said = refusal(folder, "--epochs", "3", "--resume-anyway", status=1)
    assert said.startswith("cannot resume: the checkpoint has 2 steps per epoch, this run has 3; ")


class Watching(Plugin):
    """Only watches."""

    name = "watching"
    observer = True


class Steering(Plugin):
    """May influence training."""

    name = "steering"


@pytest.fixture
def _own_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a user's plugins, and one that cannot be loaded, for one test."""
    registry.entries()  # the tables are read once: into the entries that stay
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    for plugin in (Watching, Steering):
        registry.register(plugin.name)(plugin)
    registry.table({"broken": ("nowhere:Broken", "cannot be imported")})


CONFIGURED: tuple[dict[str, Any], ...] = ({}, {"size": 1}, {"size": 2, "deep": {"size": 3}})


@pytest.mark.usefixtures("_own_plugins")
@pytest.mark.parametrize("name", ["watching", "progress", "mlflow"])
def test_an_observer_may_join_leave_and_change_whoever_wrote_it(name):
    layers = [{}, *({name: arguments} for arguments in CONFIGURED)]
    for before in layers:
        for now in layers:
            assert differences({"plugins": before}, {"plugins": now}) == []


@pytest.mark.usefixtures("_own_plugins")
@pytest.mark.parametrize("name", ["steering", "early_stopping", "unknown", "broken"])
def test_a_plugin_that_steers_or_is_not_known_may_not(name):
    assert differences({"plugins": {name: {"size": 1}}}, {"plugins": {name: {"size": 2}}}) == [
        f"plugins.{name}.size: 1 → 2"
    ]
    assert differences({"plugins": {}}, {"plugins": {name: {}}}) == [f"plugins.{name}: - → {{}}"]
    assert differences({"plugins": {name: {"size": 1}}}, {"plugins": {}}) == [f"plugins.{name}.size: 1 → -"]


OWN = """
from trainer import Plugin
from trainer.registry import plugins

@plugins.register("counter")
class Counter(Plugin):
    observer = {observer}

    def __init__(self, size: int = 1) -> None:
        pass
"""


@pytest.mark.slow
def test_a_users_own_observer_joins_changes_and_leaves_a_resumed_run(folder):
    (folder / "own.py").write_text(OWN.format(observer=True))
    own = ("--import", "own", "--plugin", "counter")
    for epochs, arguments in ((3, own), (4, (*own[:-1], "counter:size=2")), (5, (*own[:2], "--no-plugin", "counter"))):
        done = fit(folder, "--resume", "run", "--epochs", str(epochs), *arguments)
        assert done.returncode == 0, done.stderr
    (folder / "own.py").write_text(OWN.format(observer=False))
    done = fit(folder, "--resume", "run", "--epochs", "6", *own)
    assert "cannot resume run: its configuration differs (plugins.counter" in done.stderr
    assert done.returncode == 2


# From Python


def train(keras, folder: Path, width: int = 4, optimizer: str = "Adam", epochs: int = 1, **arguments: Any):
    from plugins.checkpoint import Checkpoint
    from trainer.trainer import Trainer

    images = keras.Input((12, 12, 1))
    x = keras.layers.Dense(width, activation="relu")(keras.layers.Flatten()(images))
    model = keras.Model(images, keras.layers.Dense(4)(x))
    chosen = getattr(keras.optimizers, optimizer)(1e-2)
    known = {"seed": arguments.pop("seed", 0), "data": arguments.pop("data", None)}
    trainer = Trainer(model, optimizer=chosen, plugins=[Checkpoint()], run_dir=folder, **known)
    before, verb = weights(model), trainer.resume if arguments.pop("resumed", False) else trainer.fit
    try:
        return verb(make_images(200), validation_data=make_images(40, seed=1), epochs=epochs, **arguments)
    except CheckpointError:
        assert weights(model) == before, "the model was changed by a checkpoint that does not fit"
        raise


def weights(model) -> Sequence[bytes]:
    return [np.asarray(variable).tobytes() for variable in model.variables]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "SGD"}, r"checkpoint \S+ does not fit the model: it has adam/\S+ \S+ instead of sgd/\S+ \S+"),
        (
            {"optimizer": "AdamW"},
            r"checkpoint \S+ does not fit the model: it has adam/\S+ \S+ instead of adam_w/\S+ \S+",
        ),
        (
            {"width": 5},
            r"checkpoint \S+ does not fit the model: "
            r"it has dense/kernel float32\[144, 4\] instead of dense/kernel float32\[144, 5\]",
        ),
        (
            {"seed": 1},
            "cannot resume: the run was started with seed 0, not 1; add --resume-anyway to continue with the new seed",
        ),
        (
            {"data": {"name": "new", "digest": "4567"}},
            r"cannot resume: the run was trained on unnamed data \([0-9a-f]{12}…\), not on new \(4567…\); .*",
        ),
    ],
    ids=repr,
)
def test_a_trainer_refuses_to_continue_with_what_does_not_fit(keras, tmp_path, changes, said):
    train(keras, tmp_path / "run")
    before = bytes_of(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        train(keras, tmp_path / "run", epochs=2, resumed=True, **changes)
    assert re.fullmatch(said, str(caught.value))
    assert bytes_of(tmp_path) == before
    assert train(keras, tmp_path / "run", epochs=2, resumed=True).status == "done"


def test_a_trainer_continues_with_another_seed_when_forced(keras, tmp_path):
    train(keras, tmp_path / "run")
    assert train(keras, tmp_path / "run", epochs=2, resumed=True, seed=1, anyway=True).status == "done"
