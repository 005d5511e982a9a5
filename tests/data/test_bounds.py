"""Are forged files refused before they take memory or time, each with one line that names the limit they exceed?"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from trainer.bounds.plain import parse_json, parse_toml
from trainer.bounds.regular import read_bounded
from trainer.data.imageset import ImageSet, Source
from trainer.data.sources import folder as folders
from trainer.data.sources.essence import MAX_SCANS, essence
from trainer.data.sources.find import load_source
from trainer.data.sources.image import read_image
from trainer.data.sources.labels import check_source
from trainer.errors import DataError

WITHIN = """
import resource, signal, sys
from pathlib import Path
from trainer.data.sources.find import load_source
from trainer.data.sources.idx import read_idx
from trainer.data.sources.image import read_header, read_image
from trainer.data.sources import npz
from trainer.errors import DataError

MEMORY = 256 * 2**20
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
for name in sys.argv[1:]:
    path = Path(name)
    reads = [read_header, lambda path: read_image(path, 1)] if path.suffix in (".png", ".jpg", ".gif") else []
    reads = reads or [npz.load_npz if path.suffix == ".npz" else lambda path: read_idx(path, 3)]
    for read in reads:
        signal.alarm(60)
        try:
            read(path)
            print(f"{path.name}: read")
        except DataError as error:
            print(f"{path.name}: {error}")
"""
"""Reads hostile files with 256 MiB of memory left and a minute for each."""


def npy(shape: str, descr: str = "'|u1'", content: bytes = b"", version: int = 1, length: int | None = None) -> bytes:
    """Return an .npy file with any header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    width = 2 if version == 1 else 4
    size = (len(header) if length is None else length).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes((version, 0)) + size + header + content


def npz(content: bytes, compression: int = zipfile.ZIP_STORED, members: int = 1) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("x_train.npy", content)
        archive.writestr("y_train.npy", npy("(1,)", content=b"1"))
        for k in range(members - 2):
            archive.writestr(f"{k}", b"")
    return file.getvalue()


def lying_npz() -> bytes:
    """Return an archive whose directory declares a member of 784 GB."""
    content = bytearray(npz(npy("(1000000000, 28, 28)")))
    at = content.rindex(b"PK\x01\x02")
    struct.pack_into("<II", content, at + 20, 2**32 - 2, 2**32 - 2)
    return bytes(content)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a gray PNG of 2 x 2 pixels with additional chunks before its pixels."""
    header, rows = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0), zlib.compress(b"\0\7\7" * 2)
    whole = [(b"IHDR", header), *chunks, (b"IDAT", rows), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in whole]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def exif(entries: int, size: int) -> bytes:
    """Return an EXIF block whose entries all refer to the same bytes, many times over."""
    base = 8 + 2 + 12 * entries + 4
    table = b"".join(struct.pack("<HHII", tag, 7, size, base) for tag in range(1000, 1000 + entries))
    return b"II*\0" + struct.pack("<IH", 8, entries) + table + bytes(4 + size)


def encoded(form: str, image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    (image or Image.new("L", (64, 64), 7)).save(file, form, **options)
    return file.getvalue()


def many_scans() -> bytes:
    """Return a progressive JPEG of 9 million pixels with more scans than it needs."""
    jpeg = encoded("JPEG", Image.effect_noise((64, 64), 50).resize((3000, 3000)), progressive=True, quality=10)
    starts = [*(found.start() for found in re.finditer(b"\xff\xda", jpeg)), len(jpeg) - 2]
    shortest = min((jpeg[a:b] for a, b in pairwise(starts)), key=len)
    return jpeg[:-2] + shortest * (5_000_000 // len(shortest)) + b"\xff\xd9"


def large_gif() -> bytes:
    gif = encoded("GIF")
    at = gif.index(b",")
    return gif[:at] + b"\x21\xfe\1a\0" * 1_900_000 + gif[at:]


def large_jpeg() -> bytes:
    """Return a JPEG that declares 65,000 x 65,000 pixels."""
    jpeg = bytearray(encoded("JPEG"))
    at = jpeg.index(b"\xff\xc0")
    struct.pack_into(">HH", jpeg, at + 5, 65_000, 65_000)
    return bytes(jpeg)


def text_chunks(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"tEXt", b"k%d\0v" % k) for k in range(count)]


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "shape.npz": (lambda: npz(npy("(1000000000, 28, 28)")), "declares uint8 of shape 1000000000x28x28, which does"),
    "lying.npz": (lying_npz, "a member declares 4.3 GB, more than this file can contain"),
    "bomb.npz": (
        lambda: npz(npy("(200000, 1000, 1)", content=bytes(200_000_000)), zipfile.ZIP_DEFLATED),
        "200.0 MB of images do not fit in half of",
    ),
    "negative.npz": (lambda: npz(npy("(-1, -28, 28)")), "declares uint8 of shape -1x-28x28"),
    "digits.npz": (lambda: npz(npy(f"({'9' * 5000},)")), "as .npz:"),
    "nested.npz": (lambda: npz(npy("(" * 4000 + ")" * 4000)), "as .npz:"),
    "header.npz": (
        lambda: npz(npy("(1,)", version=2, length=2**31) + bytes(10_000_000), zipfile.ZIP_DEFLATED),
        "the header of an array has 2.1 GB, more than 10.0 kB",
    ),
    "objects.npz": (lambda: npz(npy("(1,)", "'|O'", b"cos\nsystem\n(S'exit'\ntR.")), "pickled objects"),
    "fields.npz": (lambda: npz(npy("(1,)", "[('a', '<i4')]", bytes(4))), "save plain arrays of numbers"),
    "nothing.npz": (lambda: npz(npy("(1000000000000000000,)", "'|S0'")), "save plain arrays of numbers"),
    "members.npz": (lambda: npz(npy("(0,)"), members=12_000), "12,000 members, more than 10,000"),
    "directory.npz": (lambda: npz(npy("(0,)"), members=22_000), "table of contents is longer than 1.0 MB"),
    "bzip2.npz": (lambda: npz(npy("(9,)", content=bytes(9)), zipfile.ZIP_BZIP2), "a compression other than"),
    "train-images-idx3-ubyte": (
        lambda: bytes((0, 0, 8, 3)) + struct.pack(">3I", 100_000, 28, 28),
        "truncated: its header declares 78400000 bytes, but it contains 0",
    ),
    "t10k-images-idx3-ubyte.gz": (
        lambda: gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2**18, 28, 28) + bytes(2**18 * 784), 1),
        "205.5 MB of images do not fit in half of",
    ),
    "texts.png": (lambda: png(*text_chunks(400_000)), "more than 20,000 parts"),
    "empty.png": (lambda: png(*[(b"IDAT", b"")] * 800_000), "more than 20,000 parts"),
    "text.png": (lambda: png((b"zTXt", b"k\0\0" + zlib.compress(bytes(100_000_000), 1))), "read"),
    "profile.png": (lambda: png((b"iCCP", b"k\0\0" + zlib.compress(bytes(100_000_000), 1))), "read"),
    "exif.png": (lambda: png((b"eXIf", exif(60_000, 1_000_000))), "read"),
    "exif.jpg": (lambda: encoded("JPEG", exif=b"Exif\0\0" + exif(1500, 40_000)), "read"),
    "scans.jpg": (many_scans, "more than 100 scans"),
    "large.jpg": (large_jpeg, "decompression bomb"),
    "comments.gif": (large_gif, "more than 20,000 parts"),
    "frames.gif": (
        lambda: encoded("GIF", save_all=True, append_images=[Image.new("L", (64, 64), k % 256) for k in range(300)]),
        "read",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_forged_files_take_no_more_memory_than_there_is_in_them(tmp_path):
    for name, (content, _) in HOSTILE.items():
        (tmp_path / name).write_bytes(content())
    command = [sys.executable, "-W", "error", "-c", WITHIN, *(str(tmp_path / name) for name in HOSTILE)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        said.setdefault(re.split("[: ]", line)[0], []).append(line)
    for name, (_, reason) in HOSTILE.items():
        assert all(reason in line for line in said[name]), said[name]
    assert said.keys() == HOSTILE.keys()


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_left_out_changes_no_pixel(form, orientation):
    from PIL import ImageOps

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    metadata = Image.Exif()
    metadata[0x0112] = orientation
    options = {"GIF": {"comment": b"x" * 3000}, "WEBP": {"lossless": True, "xmp": b"<x/>"}}.get(form, {})
    if form != "GIF":
        options |= {"exif": metadata, "icc_profile": b"profile" * 100}
    content = encoded(form, Image.fromarray(pixels), **options)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    assert (read_image(content, 1)[..., 0] == expected).all()
    assert len(essence(content)[0]) < len(content)


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_colours_and_transparency_of_a_palette_are_kept(form):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50, 9, 9, 9])
    image.paste(2, (0, 0, 2, 4))
    pixels = read_image(encoded(form, image, transparency=2), 3)
    assert pixels[0, 3].tolist() == [200, 100, 50]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_a_jpeg_of_usual_progress_is_read():
    assert read_image(encoded("JPEG", progressive=True), 1).shape == (64, 64, 1)
    assert encoded("JPEG", progressive=True).count(b"\xff\xda") < MAX_SCANS / 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (".".join("a" * 50_000) + " = 1", "a dotted key has more than 32 names"),
        (".".join(['"="'] * 20_000) + " = 1", "a dotted key has more than 32 names"),
        ("[" + ".".join(["'a'"] * 20_000) + "]", "a dotted key has more than 32 names"),
        ("x = {" + ".".join("a" * 20_000) + " = 1}", "a dotted key has more than 32 names"),
        ('x = """\n"""\n' + ".".join("a" * 20_000) + " = 1", "a dotted key has more than 32 names"),
        ("x = " + "[" * 50_000, "nested more than 64 levels deep"),
        ("x = " + "[" * 70 + "]" * 70, "nested more than 64 levels deep"),
        ("x = " + "9" * 5000, "a number has more than 100 digits"),
        ("x = 0x" + "f" * 50_000, "a number has more than 100 digits"),
        ("#" * 2**21, "longer than 1.0 MB, the limit for TOML"),
        ('x="' + '\\"' * 300_000, "Unescaped|Unterminated|Expected"),
        ("x = " + "'''a" * 200_000, "Expected"),
    ],
    ids=range(12),
)
def test_toml_out_of_bounds_is_refused_at_once(text, said):
    with pytest.raises(ValueError, match=said):
        parse_toml(text)


def test_toml_with_dots_that_mean_nothing_is_read():
    dotted = ".".join("a" * 50)
    text = f'x = """\n"{dotted}\n"" \\" {dotted}"""  # {dotted}\ny = \'{dotted}\'\n[a.b.c]\nz = [{"1.5, " * 200}]'
    assert parse_toml(text)["a"]["b"]["c"]["z"][0] == 1.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested more than 64 levels deep"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested more than 64 levels deep"),
        ("9" * 5000, "a number has more than 100 digits"),
        ("[-" + "9" * 200 + "]", "a number has more than 100 digits"),
        ("[" + "[]," * 2_000_000 + "[]]", "more than 1,000,000 tables and lists"),
    ],
    ids=range(5),
)
def test_json_out_of_bounds_is_refused(text, said):
    for content in (text, text.encode()):
        with pytest.raises(ValueError, match=said):
            parse_json(content)


def test_what_a_run_writes_lies_within_the_bounds():
    assert parse_json(json.dumps({"big": 2**64 - 1, "small": [1e-300, -(2**63)]}))["small"] == [1e-300, -(2**63)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes with a name")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/full")):
        code = f"from pathlib import Path; from trainer.bounds.regular import *; read_bounded(Path({str(path)!r}), 10)"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.stderr.endswith(f"ValueError: {path.name} is not a file of at most 10 bytes\n")
    (tmp_path / "file").write_bytes(bytes(10))
    assert read_bounded(tmp_path / "file", 10) == bytes(10)
    with pytest.raises(ValueError, match="is not a file of at most 9 bytes"):
        read_bounded(tmp_path / "file", 9)


@pytest.mark.parametrize(("count", "suffix"), [(8, "png"), (12, "txt")])
def test_a_folder_of_too_many_names_is_refused(tmp_path, monkeypatch, count, suffix):
    monkeypatch.setattr(folders, "MAX_NAMES", 10)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(count):
            (tmp_path / name / f"{k}.{suffix}").touch()
    with pytest.raises(DataError, match=r"contains more than 10 names; use a part of it"):
        load_source(str(tmp_path), tmp_path / "data")


def test_classes_are_bounded_in_number():
    count = 10_001
    images = ImageSet(np.zeros((count, 1, 1, 1), np.uint8), np.arange(count, dtype=np.int32))
    with pytest.raises(DataError, match=r"10,001 classes, more than 10,000"):
        check_source(Source("x", images, None, tuple(map(str, range(count)))))
