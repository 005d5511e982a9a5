"""Is a run that continues on another machine, or with other kernels, reported to differ in its last bits?"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT, SILENT, run_command

from trainer import startup
from trainer.runs.numerics import Numerics, differences, version_differences

NARROW = """
import os
if os.environ.get("NARROW"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
"""
BEFORE = Numerics(
    kernels="fused",
    cores=8,
    threads=0,
    onednn="on",
    processor="AMD EPYC 9654",
    instructions=["avx", "avx2", "fma"],
    accelerators=[],
    variables={},
)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or startup.usable_cores() == 1, reason="cores cannot be taken away here"
)
@pytest.mark.slow
def test_a_run_that_continues_on_fewer_cores_says_so_and_one_on_the_same_says_nothing(tiny, tmp_path):
    (tmp_path / "narrow.py").write_text(NARROW)

    def fit(*arguments: str, **environment: str) -> str:
        command = [sys.executable, str(ROOT / "scripts" / "fit.py"), "--import", "narrow", "--data", str(tiny), *SILENT]
        done = run_command([*command, "--model", "mlp", *arguments], tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stderr

    fit("--run-dir", "run", "--epochs", "1")
    assert "bit for bit" not in fit("--resume", "run", "--resume-anyway", "--epochs", "2")
    continued = fit("--resume", "run", "--resume-anyway", "--epochs", "3", NARROW="1")
    said = f"warning: the run continues, but not bit for bit: 1 core instead of {startup.usable_cores()}\n"
    assert continued.count(said) == 1
    assert json.loads((tmp_path / "run" / "result.json").read_text())["backend"]["cores"] == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"cores": 1}, ["1 core instead of 8"]),
        ({"threads": 4}, ["4 threads instead of 8"]),
        ({"threads": 8, "cores": 2}, []),  # only the number of threads matters
        ({"onednn": "off"}, ["oneDNN off instead of on"]),
        ({"instructions": ["avx", "avx512f", "fma"]}, ["with avx512f", "without avx2"]),
        ({"processor": "Neoverse", "instructions": ["asimd"]}, ["Neoverse instead of AMD EPYC 9654"]),
        ({"kernels": "keras"}, ["kernels keras instead of fused"]),
        ({"accelerators": ["NVIDIA A100"]}, ["NVIDIA A100 instead of no accelerator"]),
        ({"variables": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}, ["ONEDNN_MAX_CPU_ISA AVX2 instead of unset"]),
        ({"cores": 2, "kernels": "x\n" * 999}, ["2 cores instead of 8", f"kernels {'x ' * 39}x… instead of fused"]),
    ],
    ids=repr,
)
def test_two_machines_are_distinguished_by_what_matters(changes, said):
    assert differences(BEFORE, dataclasses.replace(BEFORE, **changes)) == said


def test_packages_that_compute_are_compared_and_python_is_not():
    before = {"python": "3.11.1", "keras": "3.15.0", "tensorflow": "2.20.0", "numpy": "2.2.0"}
    now = {**before, "python": "3.11.2", "tensorflow": "2.21.0"}
    assert version_differences(before, now) == ["tensorflow 2.21.0 instead of 2.20.0"]


def test_this_machine_is_known(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math")
    here = Numerics.here("keras")
    assert (here.kernels, here.cores, here.threads) == ("keras", startup.usable_cores(), 3)
    assert here.variables == {"XLA_FLAGS": "--xla_cpu_enable_fast_math"}
    assert here.processor
    if Path("/proc/cpuinfo").exists():
        assert set(here.instructions) & {"sse4_2", "asimd"}
