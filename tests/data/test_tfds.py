"""Does the real TFDS give the same images as IDX and `.npz` files, and explain what is wrong when it cannot?"""

from __future__ import annotations

import contextlib
import gzip
import http.server
import os
import socket
import struct
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.image_classification import mnist as tfds_mnist

from trainer.data import load
from trainer.data.imageset import ImageSet
from trainer.data.mapped import Mapped
from trainer.data.sources import emnist, reach
from trainer.data.sources.find import load_source
from trainer.data.sources.mnist import ADDRESSES
from trainer.data.sources.reach import unreachable
from trainer.data.sources.tfds import UnavailableError
from trainer.data.sources.tfds_names import builder_name, image_sets, is_tfds
from trainer.errors import DataError, UsageError
from trainer.stage import in_progress
from trainer.startup import IMPORTING

TRAIN, TEST = 300, 60


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class Failing(Quiet):
    def do_HEAD(self) -> None:
        self.send_error(503)


class Server:
    """A web server on the loopback interface."""

    def __init__(self, folder: Path, handler: type[Quiet] = Quiet) -> None:
        handle = partial(handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def write_idx(folder: Path, classes: int = 10) -> Path:
    """Write random images in MNIST's file format, gzipped."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for split, number in (("train", TRAIN), ("t10k", TEST)):
        images = random.integers(0, 256, (number, 28, 28), np.uint8)
        labels = (np.arange(number) % classes).astype(np.uint8)
        for kind, array in (("images", images), ("labels", labels)):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            content = gzip.compress(header + array.tobytes(), 1)
            (folder / f"{split}-{kind}-idx{array.ndim}-ubyte.gz").write_bytes(content)
    return folder


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make TFDS's own MNIST builder expect as many images as `write_idx` writes."""
    monkeypatch.setattr(tfds_mnist, "_TRAIN_EXAMPLES", TRAIN)
    monkeypatch.setattr(tfds_mnist, "_TEST_EXAMPLES", TEST)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make MNIST and Fashion-MNIST come from an address where nobody listens."""
    server = Server(tmp_path)
    server.stop()
    move(server.url, monkeypatch)


def move(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make MNIST and Fashion-MNIST come from another address."""
    for name, builder in (("mnist", tfds_mnist.MNIST), ("fashion_mnist", tfds_mnist.FashionMNIST)):
        monkeypatch.setattr(builder, "URL", url)
        monkeypatch.setitem(ADDRESSES, name, url)


def test_mnist_is_looked_for_where_tfds_downloads_it() -> None:
    assert {"mnist": tfds_mnist.MNIST.URL, "fashion_mnist": tfds_mnist.FashionMNIST.URL} == ADDRESSES


@pytest.fixture
def served(small_mnist: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Server, Path]]:
    """Serve IDX files to TFDS's own MNIST builder; yields the server and the folder of the files."""
    files = write_idx(tmp_path / "files")
    server = Server(files)
    move(server.url, monkeypatch)
    yield server, files
    server.stop()


def in_any_order(images: ImageSet | None) -> list[bytes]:
    assert images is not None
    return sorted(image.tobytes() + label.tobytes() for image, label in zip(images.images, images.labels, strict=True))


def write_npz(path: Path, folder: Path) -> Path:
    source = load_source(str(folder), folder)
    assert source.test is not None
    arrays = {"x_train": source.train.images, "y_train": source.train.labels}
    np.savez(path, **arrays, x_test=source.test.images[..., 0], y_test=source.test.labels[:, np.newaxis])
    return path


def test_tfds_idx_and_npz_give_the_same_digest_split_and_trained_weights(
    served: tuple[Server, Path], tmp_path: Path, keras: ModuleType
) -> None:
    from trainer.trainer import Trainer

    npz = write_npz(tmp_path / "data.npz", served[1])
    loaded = [load(name, tmp_path / "data") for name in ("mnist", str(served[1]), str(npz))]
    trained = []
    for data in loaded:
        keras.utils.set_random_seed(0)
        images = keras.Input(data.input_shape)
        model = keras.Model(images, keras.layers.Dense(10)(keras.layers.Flatten()(images)))
        Trainer(model, plugins=[]).fit(data.train, validation_data=data.validation, epochs=2)
        trained.append(b"".join(np.asarray(weight).tobytes() for weight in model.weights))
    assert len({data.digest for data in loaded}) == 1
    for part in ("train", "validation", "test"):
        contents = [getattr(data, part).images.tobytes() + getattr(data, part).labels.tobytes() for data in loaded]
        assert len(set(contents)) == 1
    assert len(set(trained)) == 1


def test_tfds_idx_and_npz_give_the_same_images_and_later_loads_need_no_network(
    served: tuple[Server, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, files = served
    downloaded = load_source("mnist", tmp_path / "data")
    server.stop()
    prepared = load_source("mnist", tmp_path / "data")
    others = [load_source(str(path), tmp_path) for path in (files, write_npz(tmp_path / "a.npz", files))]
    for source in (prepared, *others):
        assert in_any_order(source.train) == in_any_order(downloaded.train)
        assert in_any_order(source.test) == in_any_order(downloaded.test)
        assert source.class_names == tuple("0123456789")
    assert (downloaded.name, len(downloaded.train)) == ("mnist", TRAIN)
    assert capsys.readouterr().out == ""  # results go to stdout, TFDS's messages do not


def test_a_version_may_be_named_and_auto_reads_what_is_prepared(served: tuple[Server, Path], tmp_path: Path) -> None:
    load_source("mnist:3.0.1", tmp_path / "data")
    served[0].stop()
    source = load_source("auto", tmp_path / "data")
    assert (source.name, source.notices) == ("mnist", ())


def test_damaged_prepared_data_are_an_error_that_says_what_to_delete(
    served: tuple[Server, Path], tmp_path: Path
) -> None:
    load_source("mnist", tmp_path / "data")
    (records,) = (tmp_path / "data" / "mnist" / "3.0.1").glob("mnist-train.tfrecord*")
    content = bytearray(records.read_bytes())
    content[5000] ^= 0xFF
    records.write_bytes(content)
    with pytest.raises(
        DataError, match=r"cannot read TFDS set 'mnist': DataLossError.*delete .*mnist.3\.0\.1 and run again"
    ):
        load_source("auto", tmp_path / "data")


def test_a_set_that_does_not_fit_in_memory_is_the_same_from_the_disk(
    served: tuple[Server, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = load("mnist", tmp_path / "data")
    monkeypatch.setattr("trainer.data.sources.memory.available", lambda: 0)
    made = load("mnist", tmp_path / "data")
    monkeypatch.setattr("trainer.data.sources.tfds._decode", None)
    found = load("mnist", tmp_path / "data")
    for data in (made, found):
        assert isinstance(data.train.images, Mapped)
        assert data.digest == held.digest
        np.testing.assert_array_equal(data.train.images, held.train.images)
        np.testing.assert_array_equal(data.test.labels, held.test.labels)
    assert "(new)" in made.notices[-1]
    assert "(from an earlier run)" in found.notices[-1]


def test_classes_without_any_image_are_left_out_with_a_notice(
    small_mnist: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(write_idx(tmp_path / "files", classes=8))
    move(server.url, monkeypatch)
    source = load_source("mnist:3.0.1", tmp_path / "data")
    server.stop()
    assert source.class_names == tuple("01234567")
    assert source.notices == ("mnist:3.0.1: 2 of 10 classes have no image and are left out: 8, 9",)
    with pytest.raises(DataError, match="holds 8 classes of 28x28x1 images, not 10 of 28x28x1"):
        load_source("mnist", tmp_path / "data")


def test_a_download_that_fails_midway_is_reported_and_leaves_nothing_prepared(
    served: tuple[Server, Path], tmp_path: Path
) -> None:
    path = served[1] / "t10k-labels-idx1-ubyte.gz"
    path.rename(path.with_suffix(".away"))
    for _ in range(2):
        with pytest.raises(UnavailableError, match=r"cannot prepare TFDS set 'mnist' in .*: DownloadError: .*404"):
            load_source("mnist", tmp_path / "data")
    path.with_suffix(".away").rename(path)
    assert len(load_source("mnist", tmp_path / "data").train) == TRAIN


def test_without_network_mnist_is_an_error_that_says_what_was_tried(offline: None, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        load_source("mnist", tmp_path / "data")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    looked = f"{tmp_path / 'data'} or {tmp_path / 'data' / 'mnist'}"
    for fragment in (
        f"mnist is not in {looked}, and cannot be downloaded from 127.0.0.1",
        "refused; connect to a network, or put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3",
        f"into {tmp_path / 'data' / 'mnist'}",
    ):
        assert fragment in message
    assert not (tmp_path / "data").exists()


def test_without_network_auto_takes_the_embedded_images_and_says_so(offline: None, tmp_path: Path) -> None:
    source = load_source("auto", tmp_path / "data")
    assert (source.name, len(source.train)) == ("mnist5k", 5000)
    (notice,) = source.notices
    assert notice.startswith("using 5,000 MNIST images instead of 70,000: MNIST was not found in ")
    assert str(tmp_path / "data") in notice
    assert "--data mnist says why" in notice


def test_a_set_that_tfds_could_download_is_told_the_same_way(offline: None, tmp_path: Path) -> None:
    said = r"cannot download TFDS set 'mnist:3.0.1' from 127.0.0.1 \(.*refused\); connect to a network, or copy the set"
    with pytest.raises(UnavailableError, match=said):
        load_source("mnist:3.0.1", tmp_path / "data")


def test_tfds_imports_nothing_while_another_thread_does(offline: None, tmp_path: Path) -> None:
    """It replaces `__import__` for all threads, which breaks the import of TensorFlow in another one now and then."""

    def refused() -> None:
        with contextlib.suppress(UnavailableError):
            load_source("mnist:3.0.1", tmp_path / "data")

    thread = threading.Thread(target=refused)
    with IMPORTING:
        thread.start()
        thread.join(timeout=2)
        assert thread.is_alive()
    thread.join(timeout=300)
    assert not thread.is_alive()


def test_fashion_is_not_taken_from_mnist_files(offline: None, tmp_path: Path) -> None:
    files = write_idx(tmp_path / "data")
    assert load_source("mnist", files).name == "mnist"
    with pytest.raises(UnavailableError, match=r"fashion_mnist is not in .*fashion_mnist, and cannot be"):
        load_source("fashion_mnist", files)


def test_letters_stand_upright_and_have_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """EMNIST's files have rows and columns swapped, and numbers for classes."""
    files = write_idx(tmp_path / "files", classes=26)
    idx = load_source(str(files), tmp_path)
    with zipfile.ZipFile(tmp_path / "files" / "gzip.zip", "w") as archive:
        for split, name in (("train", "train"), ("t10k", "test")):
            archive.write(files / f"{split}-images-idx3-ubyte.gz", f"gzip/emnist-letters-{name}-images-idx3-ubyte.gz")
            labels = bytearray(gzip.decompress((files / f"{split}-labels-idx1-ubyte.gz").read_bytes()))
            labels[8:] = (label + 1 for label in labels[8:])  # as in its files, where A is 1
            archive.writestr(f"gzip/emnist-letters-{name}-labels-idx1-ubyte.gz", gzip.compress(bytes(labels)))
    server = Server(files)
    monkeypatch.setattr(tfds_mnist.EMNIST, "URL", f"{server.url}gzip.zip")
    letters = tfds_mnist.EMNIST.builder_configs["letters"]
    monkeypatch.setattr(letters, "train_examples", TRAIN)
    monkeypatch.setattr(letters, "test_examples", TEST)
    source = load_source("emnist/letters", tmp_path / "data")
    server.stop()
    assert source.class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    turned = ImageSet(idx.train.images.swapaxes(1, 2), idx.train.labels)
    assert in_any_order(source.train) == in_any_order(turned)


@pytest.mark.parametrize("configuration", ["byclass", "bymerge", "balanced", "letters", "digits", "mnist"])
def test_every_class_of_emnist_has_a_character(configuration: str, tmp_path: Path) -> None:
    declared = tfds.builder(f"emnist/{configuration}", data_dir=tmp_path).info.features["label"].names
    named = emnist.named(configuration, declared)
    assert len(named) == len(declared) == len(set(named))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("imagenette", DataError, "images of different sizes, one size is needed"),
        ("imdb_reviews", DataError, r"no image with a class label \(its features: text, label\)"),
        ("resisc45", UnavailableError, "its owners have it fetched by hand; put its files into .*downloads.manual"),
        ("emnist/leters", UsageError, "unknown TFDS configuration of emnist 'leters'; did you mean 'letters'"),
        ("mnist:9.9.9", DataError, "cannot open TFDS set 'mnist:9.9.9'"),
    ],
)
def test_sets_that_cannot_serve_are_refused_before_any_download(
    name: str, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.data.sources.tfds.unreachable", None)
    monkeypatch.setattr("trainer.data.sources.tfds._prepare", None)
    with pytest.raises(error, match=message) as caught:
        load_source(name, tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_the_names_found_without_tfds_are_those_of_tfds() -> None:
    known = set(tfds.core.registered.list_imported_builders())
    assert image_sets() <= known
    assert len(image_sets()) > 50
    assert {"mnist", "fashion_mnist", "kmnist", "emnist", "cifar10", "svhn_cropped"} <= image_sets()
    for name in ("mnist", "FashionMNIST", "OxfordIIITPet", "Cifar10_1", "TFFlowers", "So2sat"):
        assert builder_name(name) == tfds.core.naming.camelcase_to_snakecase(name)


def test_only_names_of_tfds_are_taken_for_its_names() -> None:
    assert is_tfds("pneumonia_mnist")
    assert not any(map(is_tfds, ("", "mnits", "../datasets", ".", "/mnist", "FashionMNIST")))


def test_a_host_that_answers_is_reached_whatever_it_answers(tmp_path: Path) -> None:
    server = Server(tmp_path)
    assert unreachable(server.url) == ""
    assert unreachable(server.url + "no-such-file") == ""
    server.stop()
    assert "refused" in unreachable(server.url)


def test_a_host_in_trouble_is_out_of_reach(tmp_path: Path) -> None:
    server = Server(tmp_path, Failing)
    assert unreachable(server.url) == "answered 503"
    server.stop()


@pytest.fixture
def silent_host() -> Iterator[str]:
    """The address of a host that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"


def test_a_host_that_does_not_answer_is_given_up_after_the_bound(silent_host: str) -> None:
    said = unreachable(silent_host, seconds=0.3)
    assert said in ("no answer within 0.3 s", "Read timed out. (read timeout=0.3)")


class FallsSilent(Quiet):
    """Answers whether a file is there, and sends only the beginning of it."""

    over = threading.Event()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        outputfile.write(source.read(100))
        outputfile.flush()
        self.over.wait(300)


def test_a_download_that_falls_silent_is_given_up(
    small_mnist: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = Server(write_idx(tmp_path / "files"), FallsSilent)
    move(server.url, monkeypatch)
    monkeypatch.setattr(reach, "SILENCE", 0.3)
    with pytest.raises(UnavailableError, match=r"cannot download TFDS set 'mnist' to .*: Read timed out"):
        load_source("mnist", tmp_path / "data")
    FallsSilent.over.set()
    server.stop()


class Slow(Quiet):
    """Waits, in the middle of a file, until somebody has looked how far the download is."""

    looked = threading.Event()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        outputfile.write(content[: len(content) // 2])
        outputfile.flush()
        self.looked.wait(300)
        outputfile.write(content[len(content) // 2 :])


def test_a_download_says_how_far_it_is(small_mnist: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = Server(write_idx(tmp_path / "files"), Slow)
    move(server.url, monkeypatch)
    seen: list[tuple[str, int, int, str]] = []

    def look() -> None:
        deadline = time.monotonic() + 300
        while not seen and time.monotonic() < deadline:
            for stage in in_progress():
                if stage.look is not None:
                    stage.look(stage)
                    if stage.done >= 2000:
                        seen.append((stage.text, stage.done, stage.total, stage.unit))
            time.sleep(0.02)
        Slow.looked.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    load_source("mnist", tmp_path / "data")
    watcher.join(timeout=300)
    server.stop()
    (text, done, total, unit), *_ = seen
    assert (text, unit) == ("downloading mnist", "bytes")
    assert 2000 <= done < total
    assert total == 11_594_722  # bytes of the four files of MNIST, as TFDS has noted them


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.skipif("INKWELL_MNIST" not in os.environ, reason="INKWELL_MNIST names no folder")
def test_the_real_mnist_is_the_same_through_tfds_and_idx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Path(os.environ["INKWELL_MNIST"])
    server = Server(files)
    move(server.url, monkeypatch)
    through_tfds = load_source("mnist", tmp_path)
    server.stop()
    direct = load_source("mnist", files)
    assert in_any_order(through_tfds.train) == in_any_order(direct.train)
    assert in_any_order(through_tfds.test) == in_any_order(direct.test)
    assert through_tfds.validation == direct.validation == 5_000
