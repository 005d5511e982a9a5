"""Are the pictures of the documentation those of real commands and pages, and small enough?"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from trainer.errors import InkwellError

pytest.importorskip("pyte")
pytest.importorskip("playwright")

from scripts.gallery import png
from scripts.gallery.front import html
from scripts.gallery.screen import Screen, svg
from scripts.gallery.terminal import record

PROGRAM = """\
import sys, time
try:
    print(f"{sys.stdout.isatty()} \\x1b[2mfaint\\x1b[0m \\x1b[33mwarning\\x1b[0m\\nready", end="", flush=True)
    time.sleep(300)
except KeyboardInterrupt:
    print("x" * 100)
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory):
    """A program that was interrupted once it had said something."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "program.py").write_text(PROGRAM)
    return record(["program.py"], folder, 80, interrupt="read[y]")


def shown(screen: Screen) -> list[str]:
    return [line.rstrip() for line in screen.display if line.strip()]


def test_a_command_runs_in_a_terminal_and_is_interrupted_as_by_a_person(recording):
    command, said, *after = shown(recording.screen())
    assert command == "$ python program.py"
    assert said == "True faint warning"
    assert "".join(after) == f"ready^C{'x' * 100}"
    assert max(map(len, after)) == 80


def test_a_screen_is_shown_as_it_was(recording):
    assert shown(recording.screen(0)) == ["$ python program.py"]
    assert len(shown(recording.screen())) == 4
    assert 0 == recording.when("program") < recording.when("warning") <= recording.when("xx") <= recording.seconds
    assert recording.when("yy") is None


def test_a_command_that_fails_is_not_pictured(tmp_path: Path):
    (tmp_path / "program.py").write_text("raise SystemExit('lost the thread')")
    with pytest.raises(InkwellError, match=r"^cannot picture program\.py: it ended with 1, not 0: lost the thread$"):
        record(["program.py"], tmp_path, 80)


def test_a_picture_of_a_screen_keeps_its_text_and_colours(recording):
    picture = svg(recording.screen(), "title")
    styles = {text.strip("&#160;"): style for style, text in re.findall(r'class="\S+-(r\d+)"[^>]*>([^<]+)<', picture)}
    colours = dict(re.findall(r"-(r\d+) { fill: (#\w+)", picture))
    assert len({colours[styles[word]] for word in ("True", "faint", "warning")}) == 3


def test_an_error_is_pictured_too(tmp_path: Path):
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    screen = record(["scripts/fit.py", "--model", "lennet"], tmp_path, 120, status=2).screen()
    assert "did you mean 'lenet'?" in "".join(shown(screen))


@pytest.fixture
def noise() -> bytes:
    """A picture of 100 x 100 pixels that no method makes much smaller."""
    return encoded(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8))


def encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_picture_has_its_size_if_it_is_small_enough(noise, tmp_path: Path):
    png.write(noise, tmp_path / "noise.png")
    with Image.open(tmp_path / "noise.png") as image:
        assert image.size == (100, 100)


def test_a_small_dot_and_two_shades_of_white_keep_their_colours(tmp_path: Path):
    pixels = np.full((300, 300, 3), 255, np.uint8)
    pixels[:, 150:] = (253, 252, 249)
    pixels[200:, :, :] = np.random.default_rng(0).integers(20, 60, (100, 300, 3))
    pixels[100:104, 100:104] = (255, 95, 87)
    png.write(encoded(pixels), tmp_path / "dot.png")
    with Image.open(tmp_path / "dot.png") as image:
        kept = [image.convert("RGB").getpixel(place) for place in ((102, 102), (10, 10), (290, 10))]
    assert np.abs(np.subtract(kept, [(255, 95, 87), (255, 255, 255), (253, 252, 249)])).max() <= 1


def test_a_large_picture_is_made_smaller(noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(png, "LARGEST", 4000)
    png.write(noise, tmp_path / "noise.png")
    assert (tmp_path / "noise.png").stat().st_size < 4000
    with Image.open(tmp_path / "noise.png") as image:
        assert image.size in ((75, 75), (50, 50))


def test_a_picture_that_stays_too_large_is_refused(noise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(png, "LARGEST", 1000)
    with pytest.raises(InkwellError, match=r"noise\.png: larger than 1\.0 kB at half size; take a picture of less$"):
        png.write(noise, tmp_path / "noise.png")
    assert not (tmp_path / "noise.png").exists()


def test_the_readme_is_shown_with_its_tables_and_coloured_code():
    page = html("| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nimport x\n```\n\n<img src='a.png'>\n")
    assert "<td>2</td>" in page
    assert '<span class="kn">import</span>' in page
    assert "<img src='a.png'>" in page


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["redme"], "unknown picture 'redme'; did you mean 'readme'? (known: "),
        (["--mnist", "nowhere"], "cannot train on nowhere: not a folder; name the folder of the MNIST files"),
    ],
)
def test_wrong_usage_is_one_line(script, flags: list[str], said: str):
    done = script("pictures.py", *flags)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"pictures.py: error: {said}")


def test_a_missing_package_is_named_with_the_command_that_installs_it(script, tmp_path: Path):
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "pyte.py").write_text("raise ModuleNotFoundError(\"No module named 'pyte'\", name='pyte')\n")
    done = script("pictures.py", "--to", tmp_path / "made", env={"PYTHONPATH": str(tmp_path / "absent")})
    said = 'cannot take pictures: pyte is missing; python -m pip install -e ".[pictures]"'
    assert (done.returncode, done.stderr) == (1, f"pictures.py: error: {said}\n")
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
def test_the_readme_is_pictured(script, tmp_path: Path):
    done = script("pictures.py", "readme", "--to", tmp_path)
    if "no Chromium" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'readme.png'}\n"
    with Image.open(tmp_path / "readme.png") as image:
        assert image.height > image.width
