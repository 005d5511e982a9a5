"""Is handwriting found, framed and read as by a human, and refused when it is not a digit?"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import ALONE, ROOT, run_script
from PIL import Image
from scipy import ndimage

from models.recognizer import Recognizer, open_picture
from models.recognizer.find.lines import lines_of
from models.recognizer.find.pieces import Piece
from models.recognizer.find.seams import seams_of
from models.recognizer.find.touching import cut_apart
from models.recognizer.source import DIGITS, Source
from scripts.synthetic.handwriting import SIDE, drawn, enlarged, overlap, scribble, touching
from scripts.synthetic.photos import Photo, junk, lines, photos
from trainer.data import load
from trainer.errors import DataError


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Test images of mnist5k, `[N, 28, 28]`, and their labels."""
    part = load("mnist5k").test
    return np.asarray(part.images)[..., 0], np.asarray(part.labels)


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    """A recognizer that chooses the nearest mean of the training images: fast, and correct four times out of five."""
    part = load("mnist5k").train
    images, labels = np.asarray(part.images, np.float64).reshape(-1, 784) / 255, np.asarray(part.labels)
    means = np.stack([images[labels == k].mean(axis=0) for k in range(10)])

    def classify(pixels: np.ndarray) -> np.ndarray:
        flat = pixels.reshape(len(pixels), -1) / 255
        odds = np.exp(2 * (flat @ means.T) - (means**2).sum(axis=1))
        return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)

    return Recognizer(Source(classify, (28, 28, 1), DIGITS, {}))


def on_paper(ink: np.ndarray, margin: int = 60, paper: float = 230, pen: float = 40) -> np.ndarray:
    """Return a gray picture, uint8 `[H, W]`, of ink."""
    return (paper + (pen - paper) * np.pad(ink, margin)).astype(np.uint8)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """Return the similarity of two images: the correlation of their pixels."""
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


# Opening


def test_a_picture_opens_alike_from_a_file_and_from_bytes(tmp_path):
    image = Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
    image.save(tmp_path / "a.png")
    from_file = open_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(from_file, np.asarray(image))
    np.testing.assert_array_equal(from_file, open_picture((tmp_path / "a.png").read_bytes()))


@pytest.mark.parametrize("ink", [(0, 0, 0), (20, 60, 200), (255, 255, 255)])
def test_ink_on_a_transparent_canvas_is_seen_whatever_its_colour(recognizer, ink):
    alpha = np.pad(drawn(3, np.random.default_rng(0), 0.1), 30)
    canvas = np.zeros((*alpha.shape, 4), np.uint8)
    canvas[..., :3], canvas[..., 3] = ink, 255 * alpha
    (reading,) = recognizer.read([open_picture(encoded(Image.fromarray(canvas), "PNG"))])
    (plain,) = recognizer.read([on_paper(alpha)])
    assert alike(reading.seen, plain.seen) > 0.98


def forged(kind: str) -> bytes:
    if kind == "bomb":
        return encoded(Image.new("1", (13_000, 13_000)), "PNG")
    if kind == "zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.png", b"x")
        return file.getvalue()
    random = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    return encoded(Image.fromarray(random), "JPEG")[:1500] if kind == "truncated" else b""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("bomb", "upload: 13000x13000, more than 25 million pixels"),
        ("zip", "upload: not a PNG, JPEG, BMP, GIF or WEBP image"),
        ("truncated", "upload: "),
        ("empty", "upload: not a PNG, JPEG, BMP, GIF or WEBP image"),
    ],
)
def test_what_cannot_be_decoded_is_refused_in_one_line(kind, said):
    with pytest.raises(DataError) as caught:
        open_picture(forged(kind), "upload")
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


# Framing


def test_images_that_are_framed_already_reach_the_model_untouched(recognizer, digits):
    images = digits[0][:200]
    for picture in (images, 255 - images, np.repeat(images[..., np.newaxis], 3, axis=3)):
        readings = recognizer.read(list(picture))
        np.testing.assert_array_equal(np.stack([reading.seen for reading in readings])[..., 0], images)


def test_a_digit_is_read_where_it_stands_a_pixel_beside_and_slanted(recognizer, digits):
    (reading,) = recognizer.read([digits[0][10]])
    views = [np.roll(reading.seen, shift, axis=(0, 1)) for shift in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))]
    image = Image.fromarray(reading.seen[..., 0])
    for slant in (0.15, -0.15):
        shear = (1, slant, -slant * 14, 0, 1, 0)  # about the middle, since Pillow counts from the corner
        views.append(
            np.asarray(image.transform((28, 28), Image.Transform.AFFINE, shear, Image.Resampling.BILINEAR))[
                ..., np.newaxis
            ]
        )
    np.testing.assert_allclose(reading.probabilities, recognizer.classify(np.stack(views)).mean(axis=0), atol=1e-3)


def test_a_digit_anywhere_at_any_size_is_framed_as_mnist_is(recognizer, digits):
    for image in digits[0][::50]:
        ink = enlarged(image, 0)
        (reading,) = recognizer.read([np.pad(on_paper(ink), ((0, 150), (90, 0)), constant_values=230)])
        rows, columns = (np.nonzero(reading.seen[..., 0].max(axis=axis) > 40)[0] for axis in (1, 0))
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        assert np.abs(np.array(ndimage.center_of_mass(reading.seen[..., 0])) - 14).max() < 0.75
        assert alike(reading.seen, image) > 0.7  # a shift by one pixel costs this much


def test_dark_on_light_is_seen_as_light_on_dark(recognizer, digits):
    dark = on_paper(enlarged(digits[0][7], 0))
    readings = recognizer.read([dark, 255 - dark, dark[..., np.newaxis], np.repeat(dark[..., np.newaxis], 3, axis=2)])
    assert all(alike(readings[0].seen, reading.seen) > 0.98 for reading in readings)


@pytest.mark.parametrize("squared", [False, True])
def test_lines_of_the_paper_are_not_seen(recognizer, digits, squared):
    plain = on_paper(enlarged(digits[0][120], 0))
    lined = plain.copy()
    lined[20::55] = np.minimum(lined[20::55], 170)
    if squared:
        lined[:, 20::55] = np.minimum(lined[:, 20::55], 170)
    seen = [reading.seen for reading in recognizer.read([plain, lined])]
    assert alike(*seen) > 0.95


def test_the_edge_of_a_shadow_is_not_seen(recognizer, digits):
    plain = on_paper(enlarged(digits[0][300], 0))
    shaded = plain.copy()
    shaded[:, : shaded.shape[1] // 2] = shaded[:, : shaded.shape[1] // 2] * 0.6
    seen = [reading.seen for reading in recognizer.read([plain, shaded])]
    assert alike(*seen) > 0.95


def test_thin_and_thick_pens_are_seen_alike(recognizer):
    thin, thick = (drawn(2, np.random.default_rng(3), width) for width in (0.025, 0.2))
    inked = [(reading.seen > 128).sum() for reading in recognizer.read([on_paper(thin), on_paper(thick)])]
    assert 0.4 < inked[0] / inked[1] < 1.1


# Refusing


def test_blank_paper_and_two_digits_are_refused_with_the_reason(recognizer, digits):
    random = np.random.default_rng(0)
    grain = np.clip(random.normal(225, 3, (300, 200)), 0, 255).astype(np.uint8)
    shaded = (grain * np.linspace(1, 0.6, 200)).astype(np.uint8)
    a, b = enlarged(digits[0][0], 0), enlarged(digits[0][60], 0)
    height = max(len(a), len(b))
    pair = np.concatenate([np.pad(ink, ((0, height - len(ink)), (40, 40))) for ink in (a, b)], axis=1)
    readings = recognizer.read([grain, shaded, np.full((9, 9), 255, np.uint8), on_paper(pair)])
    assert [reading.label for reading in readings] == [None] * 4
    assert [reading.reason for reading in readings] == [*["blank"] * 3, "not one digit: 2 pieces"]


def test_what_mattered_lies_on_the_ink(recognizer, digits):
    (reading,) = recognizer.read([digits[0][10]])
    mattered = recognizer.importance(reading.seen)
    assert (mattered.shape, mattered.dtype) == ((28, 28), np.float32)
    assert mattered.min() >= 0
    assert mattered.max() == 1
    assert mattered[ndimage.maximum_filter(reading.seen[..., 0], 11) == 0].max() < 0.01


# Touching digits


def test_touching_digits_can_be_cut_where_they_touch(digits):
    random = np.random.default_rng(0)
    found = []
    for _ in range(8):
        inks = [enlarged(digits[0][random.integers(len(digits[0]))], 0) for _ in range(2)]
        a, b = (ink > 0.5 for ink in touching(*inks, random))
        seams = seams_of(np.float32(a | b), SIDE)
        found.append(max(min(overlap((a | b) & s.left, a), overlap((a | b) & ~s.left, b)) for s in seams))
    assert np.mean(np.array(found) > 0.95) >= 0.75


@pytest.mark.parametrize(("uncut", "count"), [(0.99, 1), (0.1, 2)])
def test_touching_digits_are_cut_if_that_is_read_better(digits, uncut, count):
    ones = (enlarged(image, 0) for image in digits[0][digits[1] == 1][:2])
    whole = np.maximum(*touching(*ones, np.random.default_rng(0)))

    def read(inks: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([uncut if (ink > 0.5).sum() > 0.9 * (whole > 0.5).sum() else 0.95 for ink in inks])

    assert len(cut_apart(whole, SIDE, read)) == count


def test_what_is_left_of_a_broken_digit_goes_to_its_other_half_not_to_its_neighbour():
    upper, lower = Piece(111, 810, 233, 895, (1,), 3208), Piece(245, 804, 308, 891, (2,), 2684)
    neighbour = Piece(98, 883, 336, 1145, (3,), 26352)
    (line,) = lines_of([neighbour, upper, lower])
    assert [set(piece.labels) for piece in line] == [{1, 2}, {3}]


def test_a_scribble_below_a_number_is_no_number(recognizer, digits):
    inks = [np.pad(enlarged(digits[0][k], 0)[:150], ((0, 0), (20, 20))) for k in (0, 60, 110)]
    number = np.concatenate(inks, axis=1)
    waste = scribble(np.random.default_rng(1))
    width = max(number.shape[1], waste.shape[1])
    rows = [np.pad(ink, ((0, 120), (0, width - ink.shape[1]))) for ink in (number, waste)]
    assert [len(line.text) for line in recognizer.read_many(on_paper(np.concatenate(rows)))] == [3]


# With a trained model


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of LeNet on 4,000 images, which reads 96 % of MNIST's test images correctly."""
    folder = tmp_path_factory.mktemp("workshop")
    done = run_script(folder, "fit.py", "--data", "mnist5k", "--epochs", "12", "--run-dir", "runs/lenet", *ALONE)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def trained(workshop: Path) -> Recognizer:

    return Recognizer.load(workshop / "runs" / "lenet")


def labels(recognizer: Recognizer, made: list[Photo]) -> list[str | None]:
    return [recognizer.read([open_picture(photo.data)])[0].label for photo in made]


@pytest.mark.slow
def test_photos_are_read_nearly_as_well_as_clean_images(trained):
    made = photos(60, seed=7)
    right = [label == photo.truth for label, photo in zip(labels(trained, made), made, strict=True)]
    assert np.mean(right) > 0.88  # with a model that reads 96 % of clean images correctly


@pytest.mark.slow
def test_junk_is_refused(trained):
    assert np.mean([label is None for label in labels(trained, junk(60, seed=7))]) >= 0.85


@pytest.mark.slow
def test_numbers_are_read(trained):
    made = lines(12, seed=7)
    texts = [" ".join(line.text for line in trained.read_many(open_picture(photo.data))) for photo in made]
    assert np.mean([len(text) == len(photo.truth) for text, photo in zip(texts, made, strict=True)]) >= 0.75


@pytest.fixture(scope="module")
def page(workshop: Path, digits) -> str:
    """A picture `page.png` of two numbers, one below the other."""
    rows = []
    for row in ((0, 60, 110), (160, 210)):
        inks = [enlarged(digits[0][k], 0) for k in row]
        rows.append(
            np.concatenate([np.pad(ink[:195, :], ((0, 200 - len(ink[:195])), (0, 60))) for ink in inks], axis=1)
        )
    width = max(row.shape[1] for row in rows)
    ink = np.concatenate([np.pad(row, ((40, 60), (0, width - row.shape[1]))) for row in rows])
    Image.fromarray(on_paper(ink)).save(workshop / "page.png")
    return "page.png"


@pytest.mark.slow
def test_many_finds_the_numbers_of_a_sheet_and_draws_their_boxes(workshop, page):
    done = run_script(workshop, "predict.py", page, "--many", "--format", "jsonl", "--explain", "boxes")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert [len(number) for number in printed["numbers"]] == [3, 2]
    above, below = (line["box"] for line in printed["lines"])
    assert above[3] < below[1]
    lefts = [digit["box"][0] for digit in printed["lines"][0]["digits"]]
    assert lefts == sorted(lefts)
    assert open_picture(workshop / "boxes" / "page.png").shape == open_picture(workshop / page).shape


@pytest.mark.slow
def test_predict_takes_folders_and_standard_input_and_continues_after_bad_files(workshop, digits):
    folder = workshop / "scans"
    folder.mkdir()
    for k, name in enumerate(["b.png", "a.png"]):
        Image.fromarray(digits[0][60 * k]).save(folder / name)
    Image.new("L", (50, 50), 255).save(folder / "c.jpg")
    (folder / "notes.txt").write_text("no image")
    (workshop / "bad.png").write_bytes(b"nothing")
    command = [sys.executable, str(ROOT / "scripts" / "predict.py"), "scans", "bad.png", "-", "--format", "csv"]
    sent = encoded(Image.fromarray(digits[0][200]), "PNG")
    done = subprocess.run(command, cwd=workshop, input=sent, capture_output=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.decode() == "predict.py: bad.png: not a PNG, JPEG, BMP, GIF or WEBP image\n"
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    assert [row["file"] for row in rows] == ["scans/a.png", "scans/b.png", "scans/c.jpg", "-"]
    assert [row["reason"] for row in rows if not row["digit"]] == ["blank"]
    assert all(abs(sum(float(row[f"p_{k}"]) for k in range(10)) - 1) < 1e-4 for row in rows)


@pytest.mark.slow
def test_a_refused_picture_is_a_result_and_explained(workshop):
    Image.new("L", (80, 80), 255).save(workshop / "white.png")
    done = run_script(workshop, "predict.py", "white.png", "--format", "jsonl", "--explain", "why")
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert (printed["file"], printed["digit"], printed["reason"]) == ("white.png", None, "blank")
    assert len(printed["probabilities"]) == 10
    assert open_picture(workshop / "why" / "white.png").shape[1] > 500
