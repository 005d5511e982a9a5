"""Does another installed package's plugin, model or data source work by name, and do no harm when it is broken?"""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest
from conftest import SILENT, Done, run_script

PLUGIN = """
    from trainer import Plugin

    class Trace(Plugin):
        "Leave a trace."

        def __init__(self, text: str = "here"):
            self.text = text

        def on_fit_end(self, run):
            (run.directory / "trace.txt").write_text(f"{self.text} {run.status}")
"""
MODEL = """
    from trainer.registry import models

    @models.register("stripes")  # as well as by its entry point: one thing all the same
    def stripes(input_shape, num_classes, rows: int = 4):
        "Average over rows."
        import keras

        images = keras.Input(input_shape)
        x = keras.layers.AveragePooling2D((input_shape[0] // rows, input_shape[1]))(images)
        return keras.Model(images, keras.layers.Dense(num_classes)(keras.layers.Flatten()(x)))
"""
DATA = """
    import numpy as np

    def load(folder):
        from trainer.data.imageset import ImageSet, Source

        labels = np.arange(120, dtype=np.int32) % 3
        images = np.random.default_rng(0).integers(0, 256, (120, 8, 8, 1)).astype(np.uint8)
        return Source("striped", ImageSet(images, labels), None, ("a", "b", "c"))
"""


def install(site: Path, package: str, modules: dict[str, str], points: dict[str, dict[str, str]]) -> None:
    """Put a package into `site` as an installer does: modules, and a .dist-info with metadata and entry points."""
    (site / package).mkdir(parents=True)
    for name, text in {"__init__": "", **modules}.items():
        (site / package / f"{name}.py").write_text(textwrap.dedent(text))
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in names.items())])
        for group, names in points.items()
    )
    (info / "entry_points.txt").write_text("\n\n".join(groups) + "\n")
    (info / "RECORD").write_text("")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages."""
    return tmp_path / "site"


def fit(site: Path, *arguments: str | Path) -> Done:
    """Run `fit.py` with the packages of `site` installed."""
    return run_script(site.parent, "fit.py", *arguments, env={"PYTHONPATH": str(site)})


def listed(site: Path, kind: str) -> list[str]:
    done = fit(site, "--list", kind)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def refusal(site: Path, *arguments: str | Path) -> str:
    """Return the one-line error of a run that must not start."""
    done = fit(site, *arguments, "--run-dir", "refused")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert not (site.parent / "refused").exists()
    return done.stderr.strip().removeprefix("fit.py: error: ")


def healthy(site: Path) -> None:
    install(
        site,
        "stripes_kit",
        {"trace": PLUGIN, "net": MODEL, "sets": DATA},
        {
            "inkwell.plugins": {"trace": "stripes_kit.trace:Trace"},
            "inkwell.models": {"stripes": "stripes_kit.net:stripes"},
            "inkwell.data": {"striped": "stripes_kit.sets:load"},
        },
    )


def broken(site: Path) -> None:
    install(
        site,
        "broken_kit",
        {"bad": "raise ImportError('libfoo.so is missing\\nand more')"},
        {"inkwell.plugins": {"snap": "broken_kit.bad:Snap"}, "inkwell.models": {"crack": "broken_kit.bad:crack"}},
    )


def test_what_another_package_offers_is_listed_beside_ours(site):
    healthy(site)
    for kind, name in {"plugins": "trace", "models": "stripes", "data": "striped"}.items():
        lines = listed(site, kind)
        assert [line.split(maxsplit=1)[1] for line in lines if line.split()[0] == name] == ["from stripes_kit 1.2"]
        assert len(lines) > 1


@pytest.mark.slow
def test_plugin_model_and_data_of_another_package_train_by_name_beside_a_broken_package(site):
    healthy(site)
    broken(site)
    done = fit(
        site,
        *("--model", "stripes:rows=2", "--data", "striped", "--plugin", "trace:text=there"),
        *("--epochs", "1", *SILENT, "--run-dir", "run"),
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (site.parent / "run" / "trace.txt").read_text() == "there done"
    assert "striped: " in done.stdout


def test_a_misspelt_name_of_another_package_is_suggested_too(site):
    healthy(site)
    assert refusal(site, "--plugin", "trase").startswith("unknown plugin 'trase'; did you mean 'trace'? (known: ")


def test_arguments_of_another_package_are_checked_like_ours(site):
    healthy(site)
    expected = "plugin 'trace' has no argument 'txet'; did you mean 'text'? it takes (text: str = 'here')"
    assert refusal(site, "--data", "striped", "--plugin", "trace:txet=a") == expected


def test_a_broken_package_is_listed_and_stops_nobody_from_listing(site):
    broken(site)
    assert any(line.startswith("snap ") and line.endswith(" from broken_kit 1.2") for line in listed(site, "plugins"))
    assert any(line.startswith("crack ") for line in listed(site, "models"))


def test_using_a_broken_package_is_one_line_that_names_it(site):
    broken(site)
    assert refusal(site, "--data", "mnist5k", "--plugin", "snap") == (
        "cannot load plugin 'snap' of package broken_kit 1.2: ImportError: libfoo.so is missing"
    )


def test_an_entry_point_that_leads_nowhere_is_one_line_that_names_its_package(site):
    install(site, "moved_kit", {"here": ""}, {"inkwell.plugins": {"lost": "moved_kit.here:Lost"}})
    assert refusal(site, "--data", "mnist5k", "--plugin", "lost") == (
        "cannot load plugin 'lost' of package moved_kit 1.2: "
        "AttributeError: module 'moved_kit.here' has no attribute 'Lost'"
    )


def test_one_name_from_two_packages_is_refused_when_used_and_harmless_when_not(site):
    healthy(site)
    install(site, "rival_kit", {"trace": PLUGIN}, {"inkwell.plugins": {"trace": "rival_kit.trace:Trace"}})
    assert refusal(site, "--data", "striped", "--plugin", "trace") == (
        "plugin name 'trace' is offered by rival_kit 1.2 and stripes_kit 1.2; uninstall or rename one of them"
    )
    assert len([line for line in listed(site, "plugins") if line.startswith("trace ")]) == 2
    unused = fit(site, "--model", "stripes", "--data", "striped", "--print-config")
    assert (unused.returncode, unused.stderr) == (0, "")


def test_a_package_that_takes_one_of_our_names_is_named_when_it_is_used(site):
    install(site, "greedy_kit", {"net": MODEL}, {"inkwell.models": {"mlp": "greedy_kit.net:stripes"}})
    assert refusal(site, "--data", "mnist5k", "--model", "mlp") == (
        "model name 'mlp' is offered by models.mlp:mlp and greedy_kit 1.2; uninstall or rename one of them"
    )
    assert fit(site, "--data", "mnist5k", "--model", "lenet", "--print-config").returncode == 0


def test_a_half_removed_package_stops_nobody(site):
    healthy(site)
    (site / "stripes_kit-1.2.dist-info" / "METADATA").unlink()
    shutil.rmtree(site / "stripes_kit")
    assert any(line.startswith("trace ") for line in listed(site, "plugins"))
    said = refusal(site, "--data", "mnist5k", "--plugin", "trace")
    assert said.startswith("cannot load plugin 'trace' of package stripes_kit: ModuleNotFoundError: ")
