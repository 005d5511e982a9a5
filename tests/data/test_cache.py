"""Does a set larger than memory give the same data as from memory, at constant memory, whatever befalls its cache?"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, files_no_longer_than, make_images
from PIL import Image

from trainer.data import load
from trainer.data.imageset import ImageSet
from trainer.data.mapped import Mapped
from trainer.data.sources import memory
from trainer.data.sources.arrayfile import ArrayFile
from trainer.data.split import Data, canonical
from trainer.errors import DataError
from trainer.stage import in_progress

NO_MEMORY = "from trainer.data import load; from trainer.data.sources import memory; memory.available = lambda: 0\n"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 4 class folders with 120 PNGs of 12 x 12 x 1, and one truncated file."""
    data = make_images(120)
    for i, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        folder = tmp_path / "pictures" / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    whole = (tmp_path / "pictures" / "class 0" / "0.png").read_bytes()
    (tmp_path / "pictures" / "class 1" / "cut.png").write_bytes(whole[:-40])
    return tmp_path / "pictures"


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make nothing fit in memory."""
    monkeypatch.setattr(memory, "available", lambda: 0)


@pytest.fixture
def both(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Data, Data]:
    """The same folder, read from memory and from the cache."""
    held = load(str(pictures), tmp_path / "data")
    monkeypatch.setattr(memory, "available", lambda: 0)
    return held, load(str(pictures), tmp_path / "data")


def cached(data: Data) -> bool:
    return all(isinstance(part.images, Mapped) for part in (data.train, data.validation, data.test))


def places(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "data" / "cache").iterdir() if path.is_dir()]


def run_python(program: str, *arguments: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# The same data


def test_digest_splits_and_images_are_the_same_as_in_memory(both: tuple[Data, Data]) -> None:
    held, mapped = both
    assert cached(mapped)
    assert not cached(held)
    assert mapped.digest == held.digest
    for part in ("train", "validation", "test"):
        ours, theirs = getattr(mapped, part), getattr(held, part)
        np.testing.assert_array_equal(ours.images, theirs.images)
        np.testing.assert_array_equal(ours.labels, theirs.labels)
        np.testing.assert_array_equal(ours.images[-1], theirs.images[-1])


def test_batches_are_the_same_as_in_memory_from_any_step_on(keras: ModuleType, both: tuple[Data, Data]) -> None:
    from trainer.data.pipeline import EvaluationRows, TrainingRows

    held, mapped = ([*TrainingRows(data.train, 32, 0, "strong").batches().take(12)] for data in both)
    resumed = [*TrainingRows(both[1].train, 32, 0, "strong").batches(5).take(7)]
    looked = [[*EvaluationRows(data.validation, 4).batches()] for data in both]
    for ours, theirs in ((mapped, held), (resumed, held[5:]), *([looked] * 2)):
        assert len(ours) == len(theirs)
        for (images, labels), (expected, numbers) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(images, expected)
            np.testing.assert_array_equal(labels, numbers)
    assert TrainingRows(both[1].train, 32).peek()[0].shape == (32, 12, 12, 1)


def test_trained_weights_are_the_same_as_from_memory(keras: ModuleType, both: tuple[Data, Data]) -> None:
    from trainer.trainer import Trainer

    trained = []
    for data in both:
        keras.utils.set_random_seed(0)
        images = keras.Input(data.input_shape)
        model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(images)))
        run = Trainer(model, plugins=[]).fit(data, epochs=2)
        trained.append((b"".join(np.asarray(weight).tobytes() for weight in model.weights), run.result["test"]))
    assert trained[0] == trained[1]


# The cache


def test_a_second_run_reads_the_cache_and_decodes_nothing(
    pictures: Path, tmp_path: Path, no_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(str(pictures), tmp_path / "data")
    monkeypatch.setattr("trainer.data.sources.folder.read_header", None)
    monkeypatch.setattr("trainer.data.sources.folder.read_image", None)
    second = load(str(pictures), tmp_path / "data")
    assert second.digest == first.digest
    (place,) = places(tmp_path)
    for data, when in ((first, "new"), (second, "from an earlier run")):
        skipped, kept = data.notices
        assert "1 of 121 images skipped: class 1/cut.png" in skipped
        assert kept == (
            f"{pictures}: 17.4 kB of decoded images do not fit in memory and are read from {place} ({when})"
        )


def test_a_changed_file_is_decoded_again(pictures: Path, tmp_path: Path, no_memory: None) -> None:
    first = load(str(pictures), tmp_path / "data")
    Image.new("L", (12, 12), 7).save(pictures / "class 2" / "2.png")
    second = load(str(pictures), tmp_path / "data")
    assert second.digest != first.digest
    assert len(places(tmp_path)) == 2


def flip(place: Path) -> None:
    content = bytearray((place / "train-images.npy").read_bytes())
    content[5000] ^= 1
    (place / "train-images.npy").write_bytes(content)


def shorten(place: Path) -> None:
    os.truncate(place / "train-images.npy", 9000)


def empty(place: Path) -> None:
    (place / "train-labels.npy").write_bytes(b"")


def forget(place: Path) -> None:
    (place / "cache.json").unlink()


def lie(place: Path) -> None:
    record = json.loads((place / "cache.json").read_text())
    (place / "cache.json").write_text(json.dumps({**record, "splits": {"train": 3}}))


@pytest.mark.parametrize("damage", [flip, shorten, empty, forget, lie])
def test_a_damaged_cache_is_made_again(damage, pictures: Path, tmp_path: Path, no_memory: None) -> None:
    first = load(str(pictures), tmp_path / "data")
    (place,) = places(tmp_path)
    damage(place)
    again = load(str(pictures), tmp_path / "data")
    assert again.digest == first.digest
    assert "rebuilt, because it was damaged" in again.notices[-1]
    assert "from an earlier run" in load(str(pictures), tmp_path / "data").notices[-1]


def test_a_run_killed_while_it_decodes_leaves_nothing_that_is_taken_for_complete(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        NO_MEMORY
        + """
import sys, time
from trainer.data.sources.arrayfile import ArrayFile
def add(self, images, add=ArrayFile.add):
    add(self, images)
    self._file.flush()
    print("written", flush=True)
    time.sleep(60)
ArrayFile.add = add
load(sys.argv[1], sys.argv[2])
"""
    )
    process = run_python(program, pictures, tmp_path / "data")
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = places(tmp_path)
    assert left.suffix == ".part"
    held = load(str(pictures), tmp_path / "data")
    monkeypatch.setattr(memory, "available", lambda: 0)
    data = load(str(pictures), tmp_path / "data")
    assert cached(data)
    assert data.digest == held.digest
    assert [path.suffix for path in places(tmp_path)] == [""]


def test_what_a_killed_run_left_of_another_set_is_removed(pictures: Path, tmp_path: Path, no_memory: None) -> None:
    (tmp_path / "data" / "cache" / "other-0123.part").mkdir(parents=True)
    load(str(pictures), tmp_path / "data")
    assert len(places(tmp_path)) == 1


def test_two_runs_at_once_share_one_cache(pictures: Path, tmp_path: Path) -> None:
    program = NO_MEMORY + "import sys; print(load(sys.argv[1], sys.argv[2]).digest)"
    runs = [run_python(program, pictures, tmp_path / "data") for _ in range(3)]
    said = [run.communicate(timeout=300) for run in runs]
    assert {run.returncode for run in runs} == {0}, said
    assert {out.strip() for out, _ in said} == {load(str(pictures), tmp_path / "data").digest}
    assert len(places(tmp_path)) == 1


def test_a_disk_that_fills_up_is_reported_in_one_line_and_nothing_is_left(
    pictures: Path, tmp_path: Path, no_memory: None
) -> None:
    (tmp_path / "data" / "cache").mkdir(parents=True)
    with files_no_longer_than(10_000), pytest.raises(DataError) as caught:
        load(str(pictures), tmp_path / "data")
    assert str(caught.value) == (
        f"cannot decode {pictures} to {tmp_path / 'data' / 'cache'}, which needs 17.4 kB: File too large; "
        "free some space there, or choose another data folder (--data-dir)"
    )
    assert places(tmp_path) == []
    assert cached(load(str(pictures), tmp_path / "data"))


def test_a_disk_without_room_is_reported_before_anything_is_decoded(
    pictures: Path, tmp_path: Path, no_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.data.sources.folder.read_image", None)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=9_000))
    with pytest.raises(DataError, match=r"cache, which needs 17\.4 kB: only 9\.0 kB free; free some space there"):
        load(str(pictures), tmp_path / "data")
    assert places(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_reported(pictures: Path, tmp_path: Path, no_memory: None) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match=r"Not a directory; .*--data-dir"):
        load(str(pictures), tmp_path / "data")


def test_a_data_folder_is_read_without_the_cache_in_it(pictures: Path, no_memory: None) -> None:
    first, second = (load(str(pictures), pictures) for _ in range(2))
    assert first.class_names == second.class_names == ("class 0", "class 1", "class 2", "class 3")
    assert "from an earlier run" in second.notices[-1]


def test_decoding_announces_how_far_it_is(
    pictures: Path, tmp_path: Path, no_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def note(self: ArrayFile, images: np.ndarray) -> None:
        seen.append([(stage.text, stage.done, stage.total, stage.unit) for stage in in_progress()])
        add(self, images)

    add = ArrayFile.add
    monkeypatch.setattr(ArrayFile, "add", note)
    monkeypatch.setattr("trainer.data.sources.decoding.BLOCK_BYTES", 144 * 60)
    load(str(pictures), tmp_path / "data")
    reading, decoding = seen[1]
    assert reading == (f"reading {pictures}", 0, 0, "")
    assert decoding[0].startswith(f"decoding {pictures} to ")
    assert decoding[1:] == (60, 121, "images")
    assert in_progress() == ()


def test_a_file_that_grows_is_read_as_one_array(tmp_path: Path) -> None:
    parts = [make_images(count).images for count in (7, 1, 130_000)]
    with ArrayFile(tmp_path / "a.npy", (12, 12, 1)) as file:
        for part in parts:
            file.add(part)
        file.complete()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.concatenate(parts))


def test_a_map_of_somebody_else_stays_on_disk_too(tmp_path: Path) -> None:
    held = make_images(40)
    np.save(tmp_path / "a.npy", held.images)
    mapped = ImageSet(np.load(tmp_path / "a.npy", mmap_mode="r"), held.labels)
    assert isinstance(mapped.subset(np.arange(7)).images, Mapped)
    assert canonical(mapped)[1] == canonical(held)[1]


def test_canonical_order_is_that_of_the_bytes_of_the_hashes() -> None:
    data = make_images(300)
    pairs = zip(data.images, data.labels, strict=True)
    keys = [hashlib.blake2b(image.tobytes() + label.tobytes(), digest_size=16).digest() for image, label in pairs]
    ordered, digest = canonical(data)
    np.testing.assert_array_equal(ordered.images, data.images[sorted(range(300), key=keys.__getitem__)])
    assert digest == hashlib.sha256(b"".join(sorted(keys))).digest()


# Memory


@pytest.mark.slow
def test_constant_memory_while_a_large_set_is_decoded_ordered_and_read(tmp_path: Path) -> None:
    program = (
        NO_MEMORY
        + """
import sys
from pathlib import Path
import numpy as np
from trainer import startup
startup.start(0)
from trainer.data.sources.cache import Cache
from trainer.data.sources.decoding import Undecoded
from trainer.data.imageset import ImageSet, Source
from trainer.data.pipeline import EvaluationRows, TrainingRows
from trainer.data.split import split

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1000

def blocks(name):
    random = np.random.default_rng(0)
    for _ in range(32):
        yield random.integers(0, 256, (4000, 32, 32, 3), np.uint8), np.arange(4000, dtype=np.int32) % 4

def read(data):
    steps = TrainingRows(data, 128, 0, "none").batches().take(-(-len(data) // 128))
    return sum(len(labels) for pipeline in (steps, EvaluationRows(data).batches()) for _, labels in pipeline)

read(ImageSet(*next(blocks("warm up"))))
before = anonymous()
images, _ = Cache(Path(sys.argv[1]), "made", 0).load(lambda: Undecoded({"train": 128_000}, (32, 32, 3), blocks))
data = split(Source("made", images["train"], None, tuple("abcd")), 0)
assert read(data.train) == 2 * len(data.train) == 2 * 103_680
print(data.train.images.nbytes / 1e6, anonymous() - before)
"""
    )
    process = run_python(program, tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    size, grown = map(float, out.split())
    assert size > 300
    # Prefetched batches take up to about 100 MB, whatever the size of the set; in memory it would be the whole set.
    assert grown < size / 2, f"{grown:.0f} MB more for {size:.0f} MB of images"


@pytest.mark.parametrize(
    ("line", "folder", "limit", "usage", "stat"),
    [
        ("0::/a/b", "a", "memory.max", "memory.current", "active_file 5\ninactive_file 10\n"),
        ("4:memory:/a/b", "memory/a", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file 15\n"),
    ],
)
def test_the_limit_of_a_control_group_counts(
    line: str, folder: str, limit: str, usage: str, stat: str, tmp_path: Path
) -> None:
    group = tmp_path / "groups" / folder
    (group / "b").mkdir(parents=True)
    (tmp_path / "cgroup").write_text(f"7:cpu:/\n{line}\n")
    for name, content in ((limit, "1000\n"), (usage, "400\n"), ("memory.stat", stat)):
        (group / name).write_text(content)
    assert list(memory._left_in_groups(tmp_path / "cgroup", tmp_path / "groups")) == [615]
    (group / limit).write_text("max\n")
    assert list(memory._left_in_groups(tmp_path / "cgroup", tmp_path / "groups")) == []


def test_the_limit_of_the_process_counts() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    before = memory.available()
    resource.setrlimit(resource.RLIMIT_DATA, (before, hard))
    try:
        assert memory.available() < before
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
