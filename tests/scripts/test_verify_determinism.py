"""Does the script that trains twice report correctly whether the weights are equal?"""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT, Script


@pytest.fixture(scope="module")
def verify() -> ModuleType:
    """The script as a module."""
    path = ROOT / "scripts" / "verify_determinism.py"
    spec = importlib.util.spec_from_file_location("verify_determinism", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_two_trainings_with_dropout_and_augmentation_are_equal(script: Script, tmp_path):
    flags = (
        "--model",
        "simple_cnn",
        "--data",
        "mnist5k",
        "--batch-size",
        "16",
        "--steps",
        "6",
        "--set",
        "training.seed=3",
    )
    done = script("verify_determinism.py", *flags, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second, verdict = done.stdout.splitlines()
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert (second, verdict) == (first, "equal")
    assert {path.name for path in tmp_path.iterdir()} <= {"data"}  # the runs are deleted, prepared data may stay


def test_trainings_that_differ_are_reported_as_different(verify, monkeypatch, capsys):
    digests = iter("ab")
    monkeypatch.setattr(verify, "train", lambda config, run_dir: next(digests))
    monkeypatch.setattr("sys.argv", ["verify_determinism.py", "--model", "mlp"])
    assert verify.main() == 1
    assert capsys.readouterr().out == "a\nb\ndifferent\n"


def test_the_digest_sees_every_bit_and_every_shape(verify):
    zeros = np.zeros((2, 3), np.float32)
    same = verify.digest([zeros, zeros])
    assert verify.digest([zeros.copy(), zeros.copy()]) == same
    others = ([zeros, -zeros], [zeros, zeros.T], [zeros, zeros.astype(np.int32)], [zeros], [])
    assert len({same, *map(verify.digest, others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (("--model", "lenett"), 2, r"unknown model 'lenett'; did you mean 'lenet'\?"),
        (("--epoch", "3"), 2, "unknown argument '--epoch'; did you mean '--epochs'"),
        (("--steps", "0"), 2, "argument --steps: must be at least 1, not 0"),
        (("--data", "nowhere.npz"), 2, r"nowhere\.npz"),
    ],
)
def test_an_error_of_fit_is_passed_on_in_one_line_with_its_status(script: Script, flags, status, said):
    done = script("verify_determinism.py", *flags)
    assert (done.returncode, done.stdout) == (status, "")
    last = done.stderr.splitlines()[-1]
    assert re.match(f"verify_determinism.py: error: .*{said}", last)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_error_in_training_is_passed_on_in_one_line_with_its_status(script: Script, tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    done = script("verify_determinism.py", "--data", "broken.npz", "--model", "mlp")
    assert (done.returncode, done.stdout) == (1, "")
    said = "training 1 of 2: 50 steps\nverify_determinism.py: error: .*broken.npz.*\n"
    assert re.fullmatch(said, done.stderr)
