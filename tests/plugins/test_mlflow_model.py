"""Is the registered model the trained one, served fast, loadable without Inkwell, and helpful about bad requests?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import requests
from conftest import SILENT, Done, run_script
from mlflow_stores import Gate, client_of, end, free_port, serving, until

from plugins.mlflow.model import log_model, promote
from plugins.mlflow.store import Store
from trainer.data import load
from trainer.errors import UsageError

NAME = "digits"
REAL = os.environ.get("INKWELL_MNIST")
BATCH = 100
pytestmark = [
    pytest.mark.slow,
    # raised and suppressed by MLflow itself while it is imported
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A LeNet trained for an epoch, on MNIST if available, the test images, and the trainer's predictions for them."""
    folder = tmp_path_factory.mktemp("served")
    data = ["--data", "mnist", "--data-dir", str(Path(REAL).parent)] if REAL else ["--data", "mnist5k"]
    flags = [*data, "--epochs", "1", "--seed", "5", "--run-dir", "runs/lenet"]
    done = run_script(folder, "fit.py", *flags, *SILENT)
    assert done.returncode == 0, done.stderr

    from trainer.runs.trained import load_trained
    from trainer.trainer import Trainer

    images = load(data[1], data[3] if REAL else "data", 5).test.images
    classes = Trainer(load_trained(folder / "runs" / "lenet").model).predict(images).argmax(axis=1)
    return SimpleNamespace(folder=folder, run_dir=folder / "runs" / "lenet", images=images, classes=classes)


@pytest.fixture(scope="module")
def store(trained: SimpleNamespace) -> Store:
    store = Store.at(None, trained.folder / "runs")
    store.prepare()
    return store


def begin(store: Store) -> tuple[str, str]:
    """Create an MLflow run; return its experiment and its id."""
    client = client_of(store.uri)
    found = client.get_experiment_by_name("models")
    experiment = found.experiment_id if found else client.create_experiment("models", store.artifacts)
    return experiment, client.create_run(experiment).info.run_id


def log(store: Store, run: tuple[str, str], run_dir: Path, register: str | None) -> None:
    """Log the model from a separate thread, as the mirror does."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            log_model(store, *run, run_dir, register)
        except BaseException as error:
            failures.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join(60)
    assert not worker.is_alive()
    if failures:
        raise failures[0]


@pytest.fixture(scope="module")
def registered(trained: SimpleNamespace, store: Store) -> tuple[str, str]:
    """The run whose model is champion; logged twice, as after an outage."""
    run = begin(store)
    for _ in range(2):
        log(store, run, trained.run_dir, NAME)
    done = promote_script(trained.folder, NAME)
    assert (done.returncode, done.stdout) == (0, f"{NAME}: version 1 is the champion, the first one\n")
    return run


def promote_script(folder: Path, *arguments: str) -> Done:
    env = {"MLFLOW_TRACKING_URI": ""}
    return run_script(folder, "promote.py", *arguments, env=env)


def test_the_run_has_the_model_once_and_the_version_knows_both(store, registered):
    client = client_of(store.uri)
    experiment, run_id = registered
    (output,) = client.get_run(run_id).outputs.model_outputs
    (model,) = client.search_logged_models([experiment])
    assert output.model_id == model.model_id
    assert model.status == "READY"
    (version,) = client.search_model_versions(f"name = '{NAME}'")
    assert (version.run_id, str(version.version)) == (run_id, "1")
    assert client.get_model_version_by_alias(NAME, "challenger").version == version.version
    assert json.loads(model.tags["mlflow.modelVersions"])[0]["name"] == NAME
    files = {path.name for path in Path(model.artifact_location.removeprefix("file://")).iterdir()}
    assert {"MLmodel", "conda.yaml", "requirements.txt", "spec.json", "README.md", "input_example.json"} <= files


def test_a_version_becomes_champion_only_on_request(trained, store, registered):
    client = client_of(store.uri)
    log(store, begin(store), trained.run_dir, NAME)
    aliases = client.get_registered_model(NAME).aliases
    assert {alias: str(version) for alias, version in aliases.items()} == {"challenger": "2", "champion": "1"}
    assert promote(store, NAME) == ("1", "2")
    assert promote(store, NAME) == ("2", "2")
    assert promote(store, NAME, "1") == ("2", "1")
    log(store, registered, trained.run_dir, NAME)  # a belated run does not become the challenger
    assert str(client.get_model_version_by_alias(NAME, "challenger").version) == "2"


def test_unknown_names_are_one_line(trained, store, registered, tmp_path):
    client_of(store.uri).create_registered_model("empty")
    for name, version, text in (
        (NAME, "77", "unknown version of digits '77'"),
        ("empty", None, "cannot promote 'empty': it has no challenger; name a version with --version"),
    ):
        with pytest.raises(UsageError, match=text):
            promote(store, name, version)
    for folder, text in (
        (trained.folder, "unknown registered model 'digts'; did you mean 'digits'?"),
        (tmp_path, "there is no MLflow store at sqlite:///"),
    ):
        done = promote_script(folder, "digts")
        assert (done.returncode, done.stdout) == (2, "")
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


WITHOUT_INKWELL = """
import sys
class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("trainer", "models", "plugins", "scripts"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nowhere())
import mlflow.pyfunc
import numpy as np
classify = mlflow.pyfunc.load_model(sys.argv[1]).predict
np.save(sys.argv[3], classify(np.load(sys.argv[2])))
for wrong in (np.zeros((1, 28, 28, 1), "float32"), np.zeros((28, 28), "uint8"), [[1, 2], [3]]):
    try:
        classify(wrong)
    except Exception as error:
        print(error)
"""


def test_the_champion_is_loaded_without_inkwell(trained, store, registered, tmp_path):
    np.save(tmp_path / "images.npy", trained.images[:1000])
    paths = [str(tmp_path / name) for name in ("images.npy", "probabilities.npy")]
    command = [sys.executable, "-I", "-c", WITHOUT_INKWELL, f"models:/{NAME}@champion", *paths]
    env = {**os.environ, "MLFLOW_TRACKING_URI": store.uri}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    probabilities = np.load(paths[1])
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (min(1000, len(trained.images)), 10))
    assert (probabilities.argmax(axis=1) == trained.classes[:1000]).all()
    lines = done.stdout.splitlines()
    assert [line.rpartition("these are ")[2] for line in lines] == [
        "float32 [1, 28, 28, 1]",
        "uint8 [28, 28]",
        "lists of unequal lengths",
    ]


class Served:
    """A served model.

    Args:
        port: Its port.
    """

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy

    def is_up(self) -> bool:
        try:
            return bool(self.session.get(f"{self.address}/ping", timeout=5).ok)
        except requests.RequestException:
            return False

    def classify(self, images: Any) -> requests.Response:
        return self.session.post(f"{self.address}/invocations", json={"inputs": images}, timeout=300)


@pytest.fixture(scope="module")
def served(trained: SimpleNamespace, store: Store, registered: object) -> Iterator[Served]:
    """The champion, served by `mlflow models serve`."""
    port = free_port()
    uri = f"models:/{NAME}@champion"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "-p", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it looks for uvicorn there
    env = {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": store.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (trained.folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    served = Served(port)
    try:
        with served.session:
            until(lambda: process.poll() is not None or served.is_up(), 300)
            assert process.poll() is None, (trained.folder / "serve.log").read_text()
            yield served
    finally:
        end(process)


def test_all_test_images_are_answered_with_the_classes_of_the_trainer(trained, served):
    answered = []
    for start in range(0, len(trained.images), BATCH):
        answer = served.classify(trained.images[start : start + BATCH].tolist())
        assert answer.status_code == 200
        answered += answer.json()["predictions"]
    assert len(answered) == len(trained.images)
    assert (np.argmax(answered, axis=1) == trained.classes).all()


def test_one_image_alone_is_answered_with_its_class(trained, served):
    for image, expected in zip(trained.images[:20], trained.classes, strict=False):
        answer = served.classify([image.tolist()])
        assert answer.status_code == 200
        assert np.argmax(answer.json()["predictions"]) == expected


ONE = np.zeros((1, 28, 28, 1), int)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        ((ONE / 255).tolist(), "float64 [1, 28, 28, 1]"),
        (ONE[0].tolist(), "int64 [28, 28, 1]"),
        (ONE[:, :14].tolist(), "int64 [1, 14, 28, 1]"),
        ((ONE + 300).tolist(), "numbers from 300 to 300"),
        ((ONE - 1).tolist(), "numbers from -1 to -1"),
        ((ONE == 0).tolist(), "bool [1, 28, 28, 1]"),
        ([[[1, 2], [3]]], "lists of unequal lengths"),
        ([], "float64 [0]"),
        (None, "object []"),
        ("digit", "<U5 []"),
    ],
)
def test_a_wrong_type_or_shape_gets_one_line(served, images, found):
    answer = served.classify(images)
    assert answer.status_code == 400
    expected = "uint8 [N, 28, 28, 1], in JSON integers from 0 to 255"
    assert answer.json()["message"] == f"the images must be {expected}; these are {found}"
    assert len(answer.text) < 300


def test_a_server_without_logged_models_gets_the_model_as_an_artifact_of_the_run(trained, tmp_path):
    behind = free_port()
    gate = Gate(behind)
    gate.refused = {"logged-models": 404}  # Azure ML's tracking server is like that
    with serving(tmp_path, behind), gate.opened():
        store = Store.at(gate.uri, tmp_path)
        run = begin(store)
        for _ in range(2):
            log(store, run, trained.run_dir, NAME)
        client = client_of(f"http://127.0.0.1:{behind}")
        (folder,) = [entry.path for entry in client.list_artifacts(run[1])]
        assert f"{folder}/MLmodel" in [entry.path for entry in client.list_artifacts(run[1], folder)]
        (version,) = client.search_model_versions(f"name = '{NAME}'")
        assert version.run_id == run[1]
        assert promote(store, NAME) == (None, "1")
        direct = Store.at(f"http://127.0.0.1:{behind}", tmp_path)  # the same server, which does have logged models
        log(direct, begin(direct), trained.run_dir, NAME)
        newest = client_of(direct.uri).get_model_version_by_alias(NAME, "challenger")
        assert str(newest.version) == "2"
        assert "/models/m-" in newest.source
