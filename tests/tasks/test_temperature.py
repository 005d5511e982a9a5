"""Does the temperature calibrate the probabilities, and does a run keep it?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import SILENT, Script

from trainer.evaluation import calibration_report
from trainer.tasks.temperature import COLDEST, HOTTEST, fit_temperature


def drawn(temperature: float, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Return logits that are `temperature` times too large for the labels drawn from them."""
    random = np.random.default_rng(0)
    logits = 2 * random.standard_normal((count, 5))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (shares.cumsum(1) < random.random((count, 1))).sum(1)
    return temperature * logits, labels.astype(np.int32)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_by_which_logits_are_too_large_is_found(temperature):
    logits, labels = drawn(temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.06)
    best = calibration_report(logits / found, labels)["nll"]
    for other in (0.9 * found, 1.1 * found):
        assert calibration_report(logits / other, labels)["nll"] > best


def test_labels_that_are_all_right_or_all_wrong_give_a_limit():
    logits = np.eye(3)
    assert fit_temperature(logits, np.arange(3)) == pytest.approx(COLDEST)
    assert fit_temperature(logits, np.array([1, 2, 0])) == pytest.approx(HOTTEST)


@pytest.mark.slow
def test_a_run_keeps_the_temperature_of_its_weights_and_evaluate_uses_it(script: Script, tiny: Path, tmp_path: Path):
    done = script("fit.py", "--model", "mlp:units=[8]", "--data", tiny, "--epochs", "2", "--run-dir", "run", *SILENT)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert COLDEST <= result["temperature"] <= HOTTEST
    assert result["test"]["calibrated_nll"] != result["test"]["nll"]
    calibrated = f"(calibrated {100 * result['test']['calibrated_ece']:.2f} %)"
    for shown in (done.stdout, script("evaluate.py", "run").stdout):
        assert calibrated in shown
