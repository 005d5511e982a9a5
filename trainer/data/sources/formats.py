"""The file formats of data by suffix, and the three lines that turn anything else into an `.npz` file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.data.sources.reading import only
from trainer.errors import UsageError

if TYPE_CHECKING:
    from trainer.data.imageset import Source

Reader = Callable[[Sequence[Path], Path], "Source"]
"""Reads the files of one split, given the folder for images that do not fit in memory."""

ARRAYS = {".npz": "npz:load_npz", ".h5": "hdf5:load_hdf5", ".hdf5": "hdf5:load_hdf5", ".mat": "matlab:load_mat"}
TABLES = {".csv": "csv_file:load_csv", ".csv.gz": "csv_file:load_csv", ".parquet": "parquet:load_parquet"}
FORMATS = (*ARRAYS, *TABLES)
"""Suffixes of the files that are read."""

LOADERS: Mapping[str, str] = {
    ".npy": "import numpy as np; d = np.load({file})",
    ".pkl": "import numpy as np, pickle; d = pickle.load(open({file}, 'rb'))",
    ".pickle": "import numpy as np, pickle; d = pickle.load(open({file}, 'rb'))",
    ".pt": "import numpy as np, torch; d = torch.load({file})",
    ".pth": "import numpy as np, torch; d = torch.load({file})",
    ".feather": "import numpy as np, pandas; d = pandas.read_feather({file})",
    ".json": "import numpy as np, json; d = json.load(open({file}))",
    ".xlsx": "import numpy as np, pandas; d = pandas.read_excel({file})",
    ".arff": "import numpy as np, scipy.io.arff; d, _ = scipy.io.arff.loadarff({file})",
}
"""The lines of Python that load a file, by suffix."""
OTHER = "import numpy as np; d = LOAD({file})"
PACKED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def suffix_of(path: Path) -> str:
    """Return the suffix of a file in lower case, with that before `.gz`: `.csv.gz`."""
    name = path.name.lower()
    return next((suffix for suffix in FORMATS if name.endswith(suffix)), path.suffix.lower())


def check_format(path: Path) -> None:
    """Check that a file has a known format, by its name.

    Raises:
        UsageError: If it has not; the message says how to convert it.
    """
    if suffix_of(path) not in FORMATS:
        raise UsageError(f"--data {path}: {_cure(path)}")


def load_file(paths: Sequence[Path], cache: Path) -> Source:
    """Read the training data in files of one format.

    Args:
        paths: One file, or the parts of a Parquet data set.
        cache: The folder for images that do not fit in memory.

    Raises:
        DataError: If a file is damaged, or holds something other than images and their labels.
    """
    suffix = suffix_of(paths[0])
    module, _, function = {**ARRAYS, **TABLES}[suffix].partition(":")
    read = getattr(import_module(f"trainer.data.sources.{module}"), function)
    source: Source = read(only(paths)) if suffix in ARRAYS else read(paths, cache)
    return source


def _cure(path: Path) -> str:
    """Return what to do with a file that cannot be read."""
    suffix, known = path.suffix.lower(), ", ".join(FORMATS)
    if suffix in PACKED:
        return f"unpack it first, and give the folder or the file inside (files that are read: {known})"
    if suffix in PICTURES:
        return "a picture is not a data set; give the folder of the pictures, with one subfolder per class"
    load = LOADERS.get(suffix, OTHER).format(file=repr(path.name))
    save = f"np.savez({path.stem + '.npz'!r}, x_train=d[IMAGES], y_train=d[LABELS])"
    return f"only {known} files are read; save its arrays as .npz: {load}; {save}"
