"""Safe loading of untrusted models from a `.keras` file or a Keras config: everything is checked, no code is run.

Keras builds whatever a config names and allocates whatever a file declares; its `safe_mode` refuses little more than
`Lambda`. Therefore the archive, the configuration and the weights are each checked against the needs of a functional
model of ordinary layers, the model is built once without allocating memory to determine its size, and Keras gets a copy
that consists of the checked parts.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.errors import CheckpointError
from trainer.files import scratch
from trainer.text import first_line

if TYPE_CHECKING:
    import h5py
    import keras

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_BYTES = 200 * 2**20
"""Size limit, in bytes, of the file, of the declared sizes of its parts together, and of the model's variables."""
LIMITS = {CONFIG: 4 * 2**20, METADATA: 2**16, WEIGHTS: MAX_BYTES}
"""Size limits of the parts in bytes."""
MAX_DEPTH = 64
"""Largest nesting depth of `config.json`."""
OURS = "inkwell>"
"""Prefix of the registered names of Inkwell's own layers."""
HINT = "if it is yours, register it with keras.saving.register_keras_serializable, and name its module with --import"
"""Advice for a run that was trained with a refused class."""


class UnknownClassError(ValueError):
    """A class or function that is not known to be safe."""


_LAYERS = """
Activation Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D AveragePooling2D AveragePooling3D
BatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose
Conv3D Cropping1D Cropping2D Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU EinsumDense Embedding
Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity InputLayer LSTM
LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention
Multiply Normalization PReLU Permute RNN RandomBrightness RandomContrast RandomCrop RandomFlip RandomRotation
RandomTranslation RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN
SimpleRNNCell Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract
TimeDistributed UnitNormalization UpSampling1D UpSampling2D ZeroPadding1D ZeroPadding2D
"""
_INITIALIZERS = """
Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
"""
_OPERATIONS = {
    "core": "Cast",
    "linalg": "Norm",
    "math": "Erf Logsumexp Rsqrt",
    "nn": """
Celu Elu Gelu Glu HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid LogSoftmax Relu Relu6 Selu Sigmoid Silu Softmax
SoftShrink Softplus Softsign TanhShrink
""",
    "numpy": """
Absolute Add All Any Arctan2 Argmax Argmin Average Ceil Clip Concatenate Cos Cumsum Divide DivideNoNan Dot Equal Exp
ExpandDims Expm1 Flip Floor FloorDivide GetItem Greater GreaterEqual Less LessEqual Log Log10 Log1p Log2 LogicalAnd
LogicalNot LogicalOr Matmul Max Maximum Mean Min Minimum Mod Moveaxis Multiply Negative NotEqual OnesLike Power Prod
Reciprocal Reshape Round Sign Sin Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Tan Tanh Transpose TrueDivide Var
Where ZerosLike
""",
}
"""Operations of `keras.ops` on the tensors of a functional model, by module."""
CLASSES = {
    *(("keras.layers", name) for name in _LAYERS.split()),
    *(("keras.initializers", name) for name in _INITIALIZERS.split()),
    *(("keras.regularizers", name) for name in ("L1", "L1L2", "L2", "OrthogonalRegularizer")),
    *(("keras.constraints", name) for name in ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")),
    *((module, "DTypePolicy") for module in ("keras", "keras.dtype_policies")),
    ("keras.src.models.functional", "Functional"),
    *((module, "Sequential") for module in ("keras", "keras.models")),
    *((f"keras.src.ops.{module}", name) for module, names in _OPERATIONS.items() for name in names.split()),
}
"""The Keras classes, as (module, class_name), that may be built; none of them runs code, imports or opens anything."""
_ACTIVATIONS = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear log_sigmoid
log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus sparse_sigmoid
sparsemax squareplus swish tanh tanh_shrink threshold
"""
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""The Keras functions that may be used as activations."""
KINDS = ("Functional", "Sequential")
"""Classes of models that a config describes in full; only the code of a subclassed model knows what it computes."""
PLAIN = ("__keras_tensor__", "__slice__", "__ellipsis__")
"""Objects of Keras's format that are no classes: a symbolic tensor, and the indices of `tensor[:, ..., 1]`."""


def load_keras(path: Path) -> keras.Model:
    """Load an untrusted `.keras` file without running any code in it.

    The model is not compiled, and its expected input range is unknown. Augmentation layers in it are active in a plain
    `model(x)`, so call it with `training=False`. Inkwell's own layers load if they are registered, which happens when
    the module of their model is imported.

    Args:
        path: A file written by `keras.Model.save`, at most 200 MiB.

    Raises:
        CheckpointError: If the file cannot be read, is damaged, or contains anything but a model of
            ordinary layers.
    """
    try:
        parts = _unzip(_read(path))
        config = _parse(parts[CONFIG])
        _check_config(config, "", 0)
        checked = json.dumps(config).encode()
        _check_weights(parts[WEIGHTS])
        with ThreadPoolExecutor(1) as thread:  # Keras keeps state per thread; this one is discarded
            thread.submit(_check_size, checked).result()
        return _load({CONFIG: checked, METADATA: b"{}", WEIGHTS: parts[WEIGHTS]})
    except OSError as error:
        raise CheckpointError(f"cannot load {path}: {error.strerror or _line(error)}") from error
    except Exception as error:  # a forged file can make zipfile, json, h5py or Keras raise anything
        raise CheckpointError(f"cannot load {path}: {_line(error)}") from error


def build_untrusted(config: str, whose: str, imports: Collection[str] = ()) -> keras.Model:
    """Build a model with fresh weights from an untrusted Keras config, without running any code in it.

    Args:
        config: The JSON of `keras.Model.to_json`.
        whose: Name of the config in messages.
        imports: Imported modules that the user trusts: classes and functions that they, or other modules of their
            packages, have registered with Keras may be built too.

    Raises:
        CheckpointError: If it is damaged, too large, or contains anything but a model of ordinary layers.
    """
    import keras

    try:
        parsed = _parse(config.encode())
        _check_config(parsed, "", 0, registered_by(imports))
        checked = json.dumps(parsed).encode()
        with ThreadPoolExecutor(1) as thread:  # Keras keeps state per thread; this one is discarded
            thread.submit(_check_size, checked).result()
        model: keras.Model = keras.saving.deserialize_keras_object(json.loads(checked), safe_mode=True)
    except Exception as error:  # a forged config can make json or Keras raise anything
        hint = f"; {HINT}" if isinstance(error, UnknownClassError) else ""
        raise CheckpointError(f"cannot load {whose}: {_line(error)}{hint}") from error
    return model


def config_json(model: keras.Model) -> str:
    """Return the Keras config of a model for `build_untrusted`; empty if it has none, such as a subclassed model."""
    try:
        config = str(model.to_json())
        return config if json.loads(config)["class_name"] in KINDS else ""
    except Exception:  # a third-party layer may raise anything
        return ""


def registered_by(imports: Collection[str]) -> frozenset[str]:
    """Return the names that modules, or other modules of their packages, have registered with Keras."""
    import keras

    packages = {module.partition(".")[0] for module in imports}
    registered = keras.saving.get_custom_objects().items()
    return frozenset(name for name, each in registered if _package(each) in packages)


def _package(registered: object) -> str:
    return str(getattr(registered, "__module__", "")).partition(".")[0]


# The archive


def _read(path: Path) -> bytes:
    """Return the content of a file in memory, since the file may change later."""
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is not a file")
    if size > MAX_BYTES:
        raise ValueError(f"it has {size:,} bytes, more than {MAX_BYTES:,}")
    return path.read_bytes()


def _unzip(content: bytes) -> dict[str, bytes]:
    """Return the parts of an archive, none of them larger than declared."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        for name in names:
            if name not in LIMITS:
                raise ValueError(f"it contains {_quote(name)}, which no model needs")
            if names.count(name) > 1:
                raise ValueError(f"it contains {name} twice")
        for name in (CONFIG, WEIGHTS):
            if name not in names:
                raise ValueError(f"{name} is missing")
        for member in members:
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # no limit is known for others
                raise ValueError(f"{member.filename} uses a compression that Keras never uses")
            if member.file_size > LIMITS[member.filename]:
                raise ValueError(
                    f"{member.filename} declares {member.file_size:,} bytes, more than {LIMITS[member.filename]:,}"
                )
        if sum(member.file_size for member in members) > MAX_BYTES:
            raise ValueError(f"its parts declare more than {MAX_BYTES:,} bytes")
        return {name: archive.read(name) for name in names}


# The configuration


def _parse(content: bytes) -> dict[str, Any]:
    """Return the content of `config.json` without the compilation settings, which are not used."""
    try:
        config = json.loads(content, object_hook=_without_compilation)
    except RecursionError as error:
        raise ValueError(f"{CONFIG} is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise ValueError(f"{CONFIG} is not JSON: {_line(error)}") from error
    if not isinstance(config, dict) or config.get("class_name") not in KINDS:
        raise ValueError(f"{CONFIG} does not describe a functional or sequential model")
    return config


def _without_compilation(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "compile_config"}


def _check_config(value: Any, key: str, depth: int, trusted: frozenset[str] = frozenset()) -> None:
    """Check that every object in `value`, the value of `key`, may be built; `trusted` are additional registered names.

    Raises:
        ValueError: If an object may not be built.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"{CONFIG} is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        if "class_name" in value:
            _check_class(value, trusted)
        for name, inner in value.items():
            _check_config(inner, name, depth + 1, trusted)
    elif isinstance(value, list):
        for inner in value:
            _check_config(inner, key, depth + 1, trusted)
    elif isinstance(value, str) and value not in trusted:
        if key == "activation" and value not in ACTIVATIONS:
            raise UnknownClassError(f"{CONFIG}: {_quote(value)} is not a Keras activation")
        if key != "registered_name" and ">" in value.replace("->", ""):  # Keras would look up a registered object
            raise ValueError(f"{CONFIG}: {_quote(value)} may be the name of a registered object")


def _check_class(value: dict[str, Any], trusted: frozenset[str]) -> None:
    """Check one serialized object.

    Raises:
        ValueError: If its class is neither on the list, nor one of ours, nor trusted.
    """
    module, name, registered = value.get("module"), value["class_name"], value.get("registered_name")
    if name == "function":
        function = value.get("config")
        if module == "builtins" and isinstance(function, str) and function in trusted:
            return
        raise UnknownClassError(f"{CONFIG}: {_quote(function)} is not a function that may be loaded")
    if not isinstance(value.get("config"), dict):
        raise ValueError(f"{CONFIG}: {_quote(name)} has no configuration")
    if name in PLAIN and module is None and registered is None:
        return
    if (module, name) == ("keras.layers", "Lambda") and trusted and _is_function(value["config"].get("function")):
        return  # the function itself is checked separately
    if isinstance(registered, str) and registered in trusted and not str(name).startswith("__"):
        return  # Keras looks up registered names before modules
    if isinstance(registered, str) and registered.startswith(OURS):
        if not _is_registered(registered):
            raise UnknownClassError(
                f"{CONFIG}: {_quote(registered)} is not registered; import the module that defines it"
            )
    elif registered not in (None, name):
        raise UnknownClassError(f"{CONFIG}: {_quote(registered)} is a registered class of unknown origin")
    elif not isinstance(module, str) or not isinstance(name, str) or (module, name) not in CLASSES:
        raise UnknownClassError(f"{CONFIG}: {_quote(name)} of {_quote(module)} is not a class that may be loaded")


def _is_function(value: Any) -> bool:
    """Return True if a `Lambda` refers to a function by name instead of containing code."""
    return isinstance(value, dict) and value.get("class_name") == "function"


def _is_registered(name: str) -> bool:
    import keras

    return keras.saving.get_registered_object(name) is not None


# The weights


def _check_weights(content: bytes) -> None:
    """Check that an HDF5 file is a tree of plain numbers, all of them stored in the file.

    Raises:
        ValueError: If it is not HDF5, contains links or anything but numbers, or declares more numbers than it stores.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            declared = _declared(file, {_address(file)}, 0)
    except OSError as error:
        raise ValueError(f"{WEIGHTS} is damaged: {_line(error)}") from error
    if declared > len(content):
        raise ValueError(f"{WEIGHTS} declares {declared:,} bytes of numbers but has only {len(content):,}")


def _declared(group: h5py.Group, seen: set[int], depth: int) -> int:
    """Return the total bytes declared by the data sets in a group; `seen` collects the objects already counted.

    Raises:
        ValueError: If the group contains anything that Keras does not write.
    """
    import h5py

    if depth > MAX_DEPTH:
        raise ValueError(f"{WEIGHTS} is nested deeper than {MAX_DEPTH} levels")
    total = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{WEIGHTS}: {_quote(name)} is a link")
        item = group[name]
        if _address(item) in seen:
            raise ValueError(f"{WEIGHTS}: {_quote(name)} refers to an object that occurs elsewhere")
        seen.add(_address(item))
        if isinstance(item, h5py.Group):
            total += _declared(item, seen, depth + 1)
        elif isinstance(item, h5py.Dataset):
            total += _declared_by(item, name)
        else:
            raise ValueError(f"{WEIGHTS}: {_quote(name)} is neither a group nor a data set")
    return total


def _declared_by(item: h5py.Dataset, name: str) -> int:
    """Return the number of bytes that a data set declares and needs in memory.

    Raises:
        ValueError: If it is not an uncompressed array of plain numbers.
    """
    if item.is_virtual or item.external:
        raise ValueError(f"{WEIGHTS}: {_quote(name)} stores its data in another file")
    if item.shape is None or not (item.dtype.kind in "biuf" or _is_bfloat16(item)):
        raise ValueError(f"{WEIGHTS}: {_quote(name)} does not contain numbers")
    if item.id.get_create_plist().get_nfilters():
        raise ValueError(f"{WEIGHTS}: {_quote(name)} is compressed, which Keras never does")
    return math.prod(item.shape) * item.dtype.itemsize


def _is_bfloat16(item: h5py.Dataset) -> bool:
    """Return True if a data set has the type that Keras writes for bfloat16: two bytes, unnamed in NumPy."""
    return item.dtype.kind == "V" and item.dtype.itemsize == 2 and item.dtype.names is None


def _address(item: h5py.Group | h5py.Dataset) -> int:
    """Return the unique address of an object in its file."""
    import h5py

    return h5py.h5o.get_info(item.id).addr


# The model


def _check_size(config: bytes) -> None:
    """Build the model without allocating its variables, and check their size.

    Raises:
        ValueError: If they are too large, or the model was saved before it was built.
    """
    import keras

    with keras.StatelessScope(initialize_variables=False):
        model = keras.saving.deserialize_keras_object(json.loads(config), safe_mode=True)
        if not model.built:
            raise ValueError("it was saved before its input shape was known")
        numbers = sum(math.prod(variable.shape) for variable in model.variables)
    if 4 * numbers > MAX_BYTES:
        raise ValueError(f"{CONFIG} describes a model of {numbers:,} numbers, more than {MAX_BYTES // 4:,}")


def _load(parts: dict[str, bytes]) -> keras.Model:
    """Return the model that Keras loads from a file consisting of `parts`."""
    import keras

    with scratch() as folder:
        copy = folder / "model.keras"
        with zipfile.ZipFile(copy, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return keras.saving.load_model(copy, safe_mode=True, compile=False)


def _quote(text: object) -> str:
    """Return text from the file as one short line without control characters."""
    quoted = ascii(text)
    return quoted if len(quoted) <= 80 else f"{quoted[:77]}..."


def _line(error: BaseException) -> str:
    """Return the message of an exception as one short line without control characters."""
    line = "".join(c if c.isprintable() else "?" for c in first_line(error))
    return line if len(line) <= 300 else f"{line[:297]}..."
