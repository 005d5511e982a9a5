"""Is the recognizer as good as promised, with the defaults?"""

from __future__ import annotations

import json
import statistics

import pytest


@pytest.mark.slow
@pytest.mark.mnist
def test_lenet_reaches_99_1_percent_on_mnist_with_the_defaults(script, mnist_folder, tmp_path):
    accuracies = []
    for seed in (0, 1, 2):
        arguments = ["--model", "lenet", "--data", "mnist", "--data-dir", mnist_folder, "--seed", seed]
        done = script("fit.py", *arguments, "--run-dir", f"run{seed}", timeout=900)
        assert done.returncode == 0, done.stderr
        result = json.loads((tmp_path / f"run{seed}" / "result.json").read_text())
        assert result["epochs"] <= 10
        assert sum(map(sum, result["test"]["confusion"])) == 10_000
        accuracies.append(result["test"]["accuracy"])
    assert statistics.mean(accuracies) >= 0.991, accuracies


@pytest.mark.slow
@pytest.mark.parametrize("model", ["lenet5", "mlp", "simple_cnn"])
def test_the_other_models_learn_the_embedded_digits(script, tmp_path, model):
    arguments = ["--model", model, "--data", "mnist5k", "--run-dir", "run", "--no-plugin", "mlflow"]
    done = script("fit.py", *arguments, timeout=900)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["test"]["accuracy"] > 0.85
