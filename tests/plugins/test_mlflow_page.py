"""Can users find in MLflow's pages what they look for: which run, how good, on which data, by whom?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import run_script
from drawing import chromium
from mlflow_stores import begin, client_of, free_port, mirrored, serving

from plugins.mlflow import fields, note, page
from plugins.mlflow.mirror import Mirror
from plugins.mlflow.state import Settings, State
from plugins.mlflow.store import Store
from trainer.runs.files import RunFiles

FLAGS = ("--epochs", "2", "--batch-size", "32", "--progress", "none", "--augment", "none")
HOSTILE = "<script>x</script>[a](b)|`c`\n# d"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Path:
    """A folder with two real runs, `runs/first` of a LeNet and `runs/tiny9k-second`."""
    made = tmp_path_factory.mktemp("page")
    for model, name in (("lenet", "first"), ("tiny9k", "tiny9k-second")):
        flags = ("--data", tiny, "--model", model, "--run-dir", f"runs/{name}", *FLAGS)
        done = run_script(made, "fit.py", *flags, env={"MLFLOW_TRACKING_URI": ""})
        assert "warning" not in done.stderr
        assert f"  then open  {page.address('1')}\n" in done.stdout
    return made


@pytest.fixture(scope="module")
def uri(folder: Path) -> str:
    return f"sqlite:///{folder}/runs/mlflow.db"


@pytest.mark.slow
def test_the_experiment_is_one_of_training_and_has_a_view_of_what_runs_have(uri):
    experiment = client_of(uri).get_experiment("1")
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    view = json.loads(experiment.tags["mlflow.sharedViewState.inkwell"])
    run = client_of(uri).search_runs(["1"], "run_name = 'lenet-first'")[0]
    shown = {f"{kind}.`{name}`" for kind in ("metrics", "params") for name in getattr(run.data, kind)}
    assert set(json.loads(view["state"])["selectedColumns"]) <= shown


@pytest.mark.slow
def test_runs_and_their_models_are_told_apart_by_architecture(uri):
    client = client_of(uri)
    assert {run.info.run_name for run in client.search_runs(["1"])} == {"lenet-first", "tiny9k-second"}
    assert {model.name for model in client.search_logged_models(["1"])} == {"lenet-first", "tiny9k-second"}


@pytest.mark.slow
def test_metrics_lie_in_groups_and_what_is_constant_is_a_parameter(folder, uri):
    found = mirrored(uri, folder / "runs" / "first")
    groups: dict[str, set[str]] = {}
    for name in {row[0] for row in found["points"]}:
        group, _, rest = name.rpartition("/")
        groups.setdefault(group, set()).add(rest)
    assert set(groups) == {"", "test", "best", "time"}
    curves = {"accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "epoch"}
    assert groups[""] == curves
    assert {"accuracy", "loss", "f1", "ece"} <= groups["test"]
    assert {"epoch", "step", "val_accuracy"} <= groups["best"]
    assert {"seconds", "images_per_second", "train_seconds", "wall_seconds", "steps"} <= groups["time"]
    data = json.loads((folder / "runs" / "first" / "run.json").read_text())["data"]
    sizes = {name: found["params"][f"data.{name}"] for name in ("train", "validation", "test")}
    assert sizes == {name: str(data[name]) for name in sizes}
    result = json.loads((folder / "runs" / "first" / "result.json").read_text())
    assert found["params"]["model.parameters"] == str(result["params"]["count"])


@pytest.mark.slow
def test_the_description_says_the_result_first_and_links_the_report(folder, uri):
    found = mirrored(uri, folder / "runs" / "first")
    text = found["tags"]["mlflow.note.content"]
    accuracy = next(value for name, _, value, _ in found["points"] if name == "test/accuracy")
    link = f"#/experiments/1/runs/{found['id']}/artifacts/report/index.html?workflowType=machine_learning"
    assert text.startswith(
        f"**{100 * accuracy:.2f} % of 40 test images classified correctly**, see the [report]({link})\n"
    )
    assert "report/index.html" in dict(found["artifacts"])
    assert found["tags"]["mlflow.source.name"] == "scripts/fit.py"
    assert found["tags"]["command"].endswith(f"--run-dir runs/first {' '.join(FLAGS)}")


@pytest.mark.slow
def test_images_that_were_trained_on_and_tested_are_counted_and_told(tmp_path):
    store = Store.at(None, tmp_path)
    sentence = "30 of 40 images were used for training; accuracy on the other 10: 90.00 % (59.58 to 98.21)"
    interval = {"value": 0.9, "low": 0.6, "high": 0.98, "right": 9, "images": 10}
    for name, trained_on in (("clean", 0), ("seen", 30)):
        overlap = {"images": 40, "trained_on": trained_on, "validated_on": 0, "others": interval, "sentence": sentence}
        test = {"accuracy": 0.97, "loss": 0.1, "overlap": overlap, "confusion": [[40]]}
        run_dir = begin(tmp_path, name)
        (run_dir / "result.json").write_text(json.dumps({"steps": 3, "test": test}))
        Mirror(run_dir, store, State(Settings(log_model=False))).update("done")
        found = mirrored(store.uri, run_dir)
        tested = {row[0]: row[2] for row in found["points"] if row[0].startswith("test/")}
        assert tested == {"test/accuracy": 0.97, "test/loss": 0.1, "test/trained_on": trained_on}
        text = found["tags"]["mlflow.note.content"]
        assert (f"\nTest images: {note.plain(sentence)}\n" in text) == bool(trained_on)


@pytest.mark.slow
def test_a_description_that_somebody_edited_is_kept(tmp_path):
    run_dir = begin(tmp_path, "run", status="interrupted")
    store, state = Store.at(None, tmp_path), State(Settings(log_model=False))
    Mirror(run_dir, store, state).update("interrupted")
    client = client_of(store.uri)
    (run,) = client.search_runs(["1"])
    assert run.data.tags["mlflow.note.content"].startswith("**Interrupted**")
    client.set_tag(run.info.run_id, "mlflow.note.content", "the one with the coffee stain")
    Mirror(run_dir, store, state).update("done")
    assert client.get_run(run.info.run_id).data.tags["mlflow.note.content"] == "the one with the coffee stain"


@pytest.mark.slow
def test_an_experiment_that_somebody_gave_a_kind_is_left_alone(tmp_path):
    run_dir, store = begin(tmp_path, "run"), Store.at(None, tmp_path)
    store.prepare()
    kind = {"mlflow.experimentKind": "genai_development"}
    made = client_of(store.uri).create_experiment("inkwell", store.artifacts, kind)
    Mirror(run_dir, store, State(Settings(log_model=False))).update("done")
    tags = client_of(store.uri).get_experiment(made).tags
    assert tags == kind


def test_what_names_hold_means_nothing_to_markdown(tmp_path):
    data = {"name": HOSTILE, "train": 1, "notices": [HOSTILE]}
    run_dir = begin(tmp_path, "run", data=data, stop_reason=HOSTILE, host=HOSTILE)
    (run_dir / "report" / "index.html").touch()
    text = note.note(RunFiles(run_dir), "failed", "#/there")
    assert text.startswith("**Failed**, see the [report](#/there)\n")
    for line in text.replace(r"\|", "").splitlines():
        assert line.count("|") in (0, 3)
        assert not line.startswith("#")
    assert "<script" not in text.replace(r"\<", "")
    assert "[a](b)" not in text


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("/home/me/inkwell/scripts/fit.py --epochs 2", "scripts/fit.py"),
        ("scripts/fit.py", "scripts/fit.py"),
        ("'/my code/scripts/fit.py' --data x", "scripts/fit.py"),
        ("inkwell fit --epochs 2", "inkwell fit"),
        ("/home/me/mine.py", "mine.py"),
        ("fit.py 'half a", "fit.py"),
        ("", ""),
    ],
)
def test_the_source_is_the_program_as_people_call_it(command, program):
    assert fields.source(command) == program


@pytest.mark.parametrize(
    ("name", "model", "title"),
    [("lenet-2026", "lenet", "lenet-2026"), ("run", "lenet", "lenet-run"), ("run", "", "run")],
)
def test_a_title_has_the_model_in_it(name, model, title):
    assert fields.title(name, model) == title


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.mark.soak
def test_the_address_opens_a_page_of_training_with_the_accuracy_as_a_column(folder, uri, browser):
    """Uses MLflow's own page, which may change with any release of MLflow."""
    port = free_port()
    with serving(folder, port, uri=uri):
        opened = browser.new_page(viewport={"width": 1400, "height": 900})
        opened.goto(page.address("1").replace(":5000", f":{port}"))
        opened.wait_for_selector('[role="columnheader"]:has-text("test/accuracy")', timeout=300_000)
        opened.wait_for_selector("text=lenet-first", timeout=300_000)
        assert "Model registry" in opened.inner_text("body")
        assert "Prompts" not in opened.inner_text("body")
