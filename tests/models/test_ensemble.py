"""Are an ensemble's probabilities the mean of its members', and does a student learn from its teacher?"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from conftest import SILENT, Script, make_images

from trainer.errors import UsageError
from trainer.registry import models as registry


def train(script: Script, data: Path, name: str, *arguments: str) -> None:
    length = () if "--steps" in arguments else ("--epochs", "1")
    done = script("fit.py", "--data", data, *length, "--run-dir", name, *SILENT, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_runs_become_one_run_whose_probabilities_are_their_mean(script: Script, tiny: Path, tmp_path: Path, keras):
    from trainer.runs.trained import load_trained

    train(script, tiny, "a", "--model", "lenet", "--set", "optimizer.args.use_ema=true")
    train(script, tiny, "b", "--model", "mlp:units=[8]", "--seed", "0")
    done = script("ensemble.py", "a", "b", "--run-dir", "both")
    assert done.returncode == 0, done.stderr
    assert " % of 40 test images (95 %: " in done.stdout
    assert "ensemble.py" not in done.stdout
    assert "  evaluate  python scripts/evaluate.py both\n" in done.stdout

    images = make_images(20, seed=5).images / np.float32(255)
    a, b, both = (np.asarray(load_trained(tmp_path / name).model(images)) for name in ("a", "b", "both"))
    softmax = lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)  # noqa: E731
    np.testing.assert_allclose(np.exp(both), (softmax(a) + softmax(b)) / 2, atol=1e-6)

    result = json.loads((tmp_path / "both" / "result.json").read_text())
    evaluated = script("evaluate.py", "both")
    assert f"{100 * result['test']['accuracy']:.2f} %" in evaluated.stdout
    assert result["best"]["val_accuracy"] is not None
    assert "none of the 40 images was used for training" in evaluated.stdout
    assert "all 180 images were used for training" in script("evaluate.py", "both", "--split", "train").stdout

    train(script, tiny, "c", "--model", "mlp:units=[8]", "--seed", "1")
    assert script("ensemble.py", "a", "c", "--run-dir", "seeds").returncode == 0
    result = json.loads((tmp_path / "seeds" / "result.json").read_text())
    # the validation images of one are training images of the other
    assert (result["best"]["val_accuracy"], result["temperature"]) == (None, None)
    assert "calibrated_ece" not in result["test"]
    again = script("ensemble.py", "a", "b", "--run-dir", "both")
    assert (again.returncode, again.stderr) == (
        2,
        "ensemble.py: error: cannot create run directory both: it already exists; choose another with --run-dir\n",
    )


def test_shifted_views_count_like_the_image_itself(keras):
    keras.utils.set_random_seed(0)
    member = {"name": "mlp", "args": {"units": [8]}}
    plain = registry.build("ensemble", (12, 12, 1), 4, members=[member])
    views = registry.build("ensemble", (12, 12, 1), 4, members=[member], shift=2)
    views.get_layer("member0").set_weights(plain.get_layer("member0").get_weights())
    images = make_images(3).images / np.float32(255)
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    moved = [padded[:, y : y + 12, x : x + 12] for y, x in ((2, 2), (4, 2), (0, 2), (2, 4), (2, 0))]
    expected = np.mean([np.exp(plain(view)) for view in moved], axis=0)
    np.testing.assert_allclose(np.exp(views(images)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "needs at least one member"),
        ([{"nam": "lenet"}], "a member must be a name"),
        ([{"name": "lenett"}], "did you mean 'lenet'"),
    ],
)
def test_invalid_members_are_reported(keras, members, message):
    with pytest.raises(UsageError, match=message):
        registry.build("ensemble", (28, 28, 1), 10, members=members)


@pytest.mark.slow
def test_a_student_learns_from_its_teacher(script: Script, tiny: Path, tmp_path: Path):
    train(script, tiny, "teacher", "--model", "lenet", "--steps", "60")
    arguments = ("--model", "mlp:units=[8]", "--task", "distillation:teacher=teacher,weight=1.0,temperature=2.0")
    train(script, tiny, "student", *arguments)
    train(script, tiny, "alone", "--model", "mlp:units=[8]")
    state = [next((tmp_path / name / "checkpoints").glob("*/state.npz")).read_bytes() for name in ("student", "alone")]
    assert state[0] != state[1]
    wrong = script("fit.py", "--data", "mnist5k", "--run-dir", "x", *SILENT, *arguments)
    assert wrong.returncode == 2
    assert wrong.stderr.endswith(
        "error: cannot learn from teacher: the teacher maps (12, 12, 1) to (4,), the model (28, 28, 1) to (10,); "
        "both must be the same\n"
    )
    missing = script("fit.py", "--data", tiny, "--task", "distillation:teacher=nobody", "--run-dir", "x", *SILENT)
    assert (missing.returncode, "nobody is neither a run directory nor a checkpoint" in missing.stderr) == (2, True)


def test_the_loss_of_a_student_is_that_of_the_paper(keras, tmp_path):
    from trainer.tasks.distillation import Distillation

    keras.utils.set_random_seed(0)
    student, teacher = (registry.build("mlp", (12, 12, 1), 4, units=[8], dropout=0.0) for _ in range(2))
    data = make_images(10)
    images, labels = data.images / np.float32(255), data.labels
    task = Distillation("unused", weight=0.3, temperature=2.0)
    task._teacher = teacher
    loss, _ = task.forward(student, (images, labels), True, None)

    log_softmax = lambda z: z - np.log(np.exp(z).sum(1, keepdims=True))  # noqa: E731
    z, t = np.asarray(student(images), np.float64), np.asarray(teacher(images), np.float64)
    hard = -log_softmax(z)[np.arange(10), labels].mean()
    soft = -(np.exp(log_softmax(t / 2)) * log_softmax(z / 2)).sum(1).mean()
    assert float(loss) == pytest.approx(0.3 * 4 * soft + 0.7 * hard, rel=1e-5)
    assert float(task.forward(student, (images, labels), False, None)[0]) == pytest.approx(hard, rel=1e-5)


def test_members_learn_each_for_itself(keras):
    import tensorflow as tf

    from models.ensemble.task import Members
    from trainer.tasks.classification import Classification

    keras.utils.set_random_seed(0)
    member = {"name": "mlp", "args": {"units": [8], "dropout": 0.0}}
    model = registry.build("ensemble", (12, 12, 1), 4, members=[member, member], shift=1)
    data = make_images(10)
    batch = (data.images / np.float32(255), data.labels)
    first, second = (model.get_layer(f"member{number}") for number in range(2))

    def gradient(task: Classification, net) -> tuple[list[np.ndarray], np.ndarray]:
        with tf.GradientTape() as tape:
            loss, outputs = task.forward(net, batch, True, None)
        return [np.asarray(g) for g in tape.gradient(loss, first.trainable_variables)], np.asarray(outputs)

    together, outputs = gradient(Members(), model)
    alone, logits = gradient(Classification(), first)
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(2 * ours, theirs, rtol=1e-4, atol=1e-7)

    softmax = lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)  # noqa: E731
    mean = (softmax(logits) + softmax(np.asarray(second(batch[0])))) / 2
    np.testing.assert_allclose(np.exp(outputs), mean, atol=1e-6)
    loss, outputs = Members().forward(model, batch, False, None)
    np.testing.assert_allclose(outputs, model(batch[0]), atol=1e-6)
    assert float(loss) == pytest.approx(-np.asarray(outputs)[np.arange(10), data.labels].mean(), rel=1e-4)


@pytest.mark.slow
def test_members_learn_side_by_side_in_one_run(script: Script, tiny: Path, tmp_path: Path, keras):
    from trainer.runs.trained import load_trained

    members = "ensemble:members=[{name='mlp',args={units=[8]}},{name='mlp',args={units=[8]}}]"
    train(script, tiny, "both", "--model", members, "--task", "members")
    evaluated = script("evaluate.py", "both")
    assert (evaluated.returncode, "accuracy" in evaluated.stdout) == (0, True), evaluated.stderr

    train(script, tiny, "third", "--model", "lenet")
    assert script("ensemble.py", "both", "third", "--run-dir", "three").returncode == 0
    config = tomllib.loads((tmp_path / "three" / "config.toml").read_text())
    assert [member["name"] for member in config["model"]["args"]["members"]] == ["mlp", "mlp", "lenet"]
    images = make_images(20, seed=5).images / np.float32(255)
    both, third, three = (np.exp(load_trained(tmp_path / name).model(images)) for name in ("both", "third", "three"))
    np.testing.assert_allclose(three, (2 * both + third / third.sum(1, keepdims=True)) / 3, atol=1e-6)

    alone = script("fit.py", "--data", tiny, "--model", "mlp:units=[8]", "--task", "members", "--run-dir", "x", *SILENT)
    assert alone.returncode == 2
    assert alone.stderr.endswith("error: task 'members' needs the model 'ensemble', but 'mlp' has no members\n")
