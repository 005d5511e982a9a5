"""Does MLflow have everything in a run directory exactly once, even for runs that are rewound, moved or nested?"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow_stores import assert_complete, begin, client_of, mirrored

from plugins.mlflow.mirror import Mirror
from plugins.mlflow.plugin import Mlflow
from plugins.mlflow.state import Settings, State, mirror_lock
from plugins.mlflow.store import Store
from plugins.mlflow.sync import Busy, bring_up_to_date
from trainer.run import Run

pytestmark = pytest.mark.slow
Lines = list[dict[str, Any]]
RESULT = {"epochs": 2, "steps": 200, "params": {"count": 12}, "test": {"loss": 0.06, "accuracy": 0.98, "confusion": []}}


@pytest.fixture(autouse=True)
def _no_tracking_server_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run root, at a path that needs quoting, whose store is created by the first test that needs it."""
    return tmp_path_factory.mktemp("run root")


@pytest.fixture(scope="module")
def uri(root: Path) -> str:
    return f"sqlite:///{root}/mlflow.db"


def line(step: int, time: float = 0.0, kind: str = "batch", **numbers: float | None) -> dict[str, Any]:
    return {"kind": kind, "epoch": 1, "step": step, "time": 1767225600 + step / 1000 + time, **numbers}


def write(run_dir: Path, lines: Lines, mode: str = "a") -> None:
    with (run_dir / "history.jsonl").open(mode) as file:
        file.writelines(json.dumps(values) + "\n" for values in lines)


def mirror(run_dir: Path, **settings: Any) -> Mirror:
    store = Store.at(None, run_dir.parent)
    return Mirror(run_dir, store, State(Settings(log_model=False, **settings)))


def sync(run_dir: Path) -> bool:
    return bring_up_to_date(run_dir, Store.at(None, run_dir.parent), Settings(log_model=False))


def finish(run_dir: Path) -> None:
    """End a run with a result, as its process does."""
    (run_dir / "result.json").write_text(json.dumps(RESULT))


def values(found: dict[str, Any], name: str) -> list[tuple[int, float]]:
    return [(step, value) for key, step, value, _ in found["points"] if key == name]


def test_ten_thousand_lines_arrive_once_and_again_nothing(root, uri):
    run_dir = begin(root, "long")
    write(run_dir, [line(step, batch_loss=1 / step, gradient_norm=0.5) for step in range(1, 10_001)])
    write(run_dir, [line(10_000, 0.5, "epoch", loss=0.5, val_loss=0.25)])
    finish(run_dir)
    sent = mirror(run_dir)
    sent.update("done")
    found = mirrored(uri, run_dir)
    assert len(values(found, "batch_loss")) == len(values(found, "gradient_norm")) == 10_000
    assert values(found, "epoch") == [(10_000, 1.0)]
    sent.update("done")
    assert not sync(run_dir)
    (run_dir / "mlflow.json").unlink()
    assert sync(run_dir)  # although the record of what was sent is lost
    assert mirrored(uri, run_dir) == found
    assert_complete(found, run_dir)


def test_what_is_not_finite_arrives_as_not_a_number_and_stays_one_point(root, uri):
    run_dir = begin(root, "nan")
    write(run_dir, [line(1, loss=None), line(2, loss=0.5)])
    mirror(run_dir).update("failed")
    mirror(run_dir).update("failed")
    (first, second) = values(mirrored(uri, run_dir), "loss")
    assert math.isnan(first[1])
    assert second == (2, 0.5)


def test_a_run_that_goes_back_while_it_is_mirrored(root, uri):
    run_dir = begin(root, "rewound", ended=None)
    one = mirror(run_dir)
    for step in range(10, 60, 10):
        write(run_dir, [line(step, batch_loss=1 / step)])
        one.update(None)
    kept = [line(step, batch_loss=1 / step) for step in (10, 20, 30)]
    write(run_dir, [*kept, line(40, 0.5, batch_loss=9.0)], "w")
    one.update(None)
    found = mirrored(uri, run_dir)
    assert found["status"] == "RUNNING"
    assert values(found, "batch_loss") == [(10, 0.1), (20, 0.05), (30, 1 / 30), (40, 0.025), (40, 9.0), (50, 0.02)]
    assert found["tags"]["superseded_steps"] == "40"
    one.update("done")
    found = mirrored(uri, run_dir)
    assert found["tags"]["superseded_steps"] == "40, 50"
    assert values(found, "batch_loss")[-1] == (50, 0.02)


def test_a_run_that_repeats_itself_has_every_point_once(root, uri):
    run_dir = begin(root, "repeated")
    lines = [line(step, batch_loss=1 / step) for step in range(1, 6)]
    write(run_dir, [*lines, line(5, 0.1, "epoch", loss=0.5, seconds=1.5)])
    mirror(run_dir).update("interrupted")
    again = [line(4, 9.0, batch_loss=0.25), line(5, 9.0, batch_loss=0.2), line(5, 9.1, "epoch", loss=0.5, seconds=1.7)]
    write(run_dir, [*lines[:3], *again, line(6, 9.0, batch_loss=0.1)], "w")
    state = State.read(run_dir)
    assert state is not None
    Mirror(run_dir, Store.at(None, root), state).update("done")
    found = mirrored(uri, run_dir)
    assert values(found, "batch_loss") == [*((step, 1 / step) for step in range(1, 6)), (6, 0.1)]
    assert values(found, "loss") == [(5, 0.5)]
    assert values(found, "time/seconds") == [(5, 1.5)]
    assert "superseded_steps" not in found["tags"]
    assert found["status"] == "FINISHED"


def test_a_setting_that_changed_on_resuming_is_a_tag(root, uri):
    run_dir = begin(root, "changed")
    mirror(run_dir).update("interrupted")
    config = '[data]\nname = "mnist"\n[training]\nseed = 7\nlog_every_steps = 32\nepochs = '
    (run_dir / "config.toml").write_text(f"{config}20\n")
    mirror(run_dir).update("interrupted")
    (run_dir / "config.toml").write_text(f"{config}30\n")
    mirror(run_dir).update("done")
    found = mirrored(uri, run_dir)
    assert (found["params"]["training.epochs"], found["params"]["training.log_every_steps"]) == ("20", "32")
    assert found["tags"]["resumed.training.epochs"] == "30"


def test_a_run_that_was_deleted_in_mlflow_is_sent_again(root, uri):
    run_dir = begin(root, "deleted")
    write(run_dir, [line(1, loss=0.5)])
    mirror(run_dir).update("done")
    before = mirrored(uri, run_dir)["id"]
    client_of(uri).delete_run(before)
    state = State.read(run_dir)
    assert state is not None
    Mirror(run_dir, Store.at(None, root), state).update("done")
    found = mirrored(uri, run_dir)
    assert found["id"] != before
    assert values(found, "loss") == [(1, 0.5)]


def test_runs_of_a_sweep_lie_under_one_parent(root, uri):
    runs = [begin(root, f"seed{number}") for number in range(2)]
    for run_dir in runs:
        mirror(run_dir, parent="seeds").update("done")
    (parent,) = {mirrored(uri, run_dir)["tags"]["mlflow.parentRunId"] for run_dir in runs}
    found = client_of(uri).get_run(parent)
    assert (found.info.run_name, found.info.status) == ("seeds", "FINISHED")


def test_a_run_root_that_was_moved_keeps_its_artifacts_and_takes_new_runs(tmp_path, uri):
    old, new = tmp_path / "old", tmp_path / "new"
    first = begin(old, "first")
    mirror(first).update("done")
    old.rename(new)
    moved = f"sqlite:///{new}/mlflow.db"
    second = begin(new, "second")
    mirror(second).update("done")
    assert not old.exists()
    for run_dir in (new / "first", second):
        run_id = mirrored(moved, run_dir)["id"]
        copied = client_of(moved).download_artifacts(run_id, "report/curves.svg", str(tmp_path))
        assert Path(copied).read_bytes() == b"a picture"


def test_a_run_that_another_process_mirrors_is_refused(root):
    run_dir = begin(root, "held")
    with mirror_lock(run_dir), pytest.raises(Busy, match="another process is mirroring it"):
        sync(run_dir)


def test_the_plugin_mirrors_a_run_without_delaying_it(root, uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = begin(root, "hooks", status="running", ended=None)
    plugin = Mlflow(experiment="mine", log_model=False)
    run = Run(name="hooks", directory=run_dir)
    plugin.on_fit_start(run)
    write(run_dir, [line(1, kind="epoch", loss=0.5)])
    plugin.on_epoch_end(run)
    finish(run_dir)
    run.status = "done"
    plugin.on_fit_end(run)
    found = mirrored(uri, run_dir)
    assert (found["status"], values(found, "loss")) == ("FINISHED", [(1, 0.5)])
    assert list(tmp_path.iterdir()) == []
    state = State.read(run_dir)
    assert state is not None
    assert state.ended == "done"


def test_a_run_without_a_directory_is_not_mirrored():
    plugin, run = Mlflow(), Run()
    hooks: tuple[Callable[[Run], None], ...] = (plugin.on_fit_start, plugin.on_epoch_end, plugin.on_fit_end)
    for hook in hooks:
        hook(run)
