"""Read Keras' files: whole networks, their weights, and the old weights by layer.

A `.keras` file is a zip file, and has check sums. An `.h5` file has none: a flipped bit
in its numbers is found only where it makes one infinite or NaN.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_attention.weights import hdf5
from keras_attention.weights.checking import (
    MAX_BYTES,
    check_file,
    check_total,
    checked_tensors,
    naming,
)
from keras_attention.weights.whole_networks import (
    CONFIG,
    OVERHEAD,
    WEIGHTS,
    at_most,
    check_members,
    told_of_code,
)

# Of a number, in nearly all networks.
_BYTES = 4
# The state of a compiled network's optimizer, which is not the network's.
_OPTIMIZER = "optimizer/"
# The group of a whole network's old file that holds its weights.
_OLD_WEIGHTS = "model_weights"


def load_into(model: keras.Model, path: str | Path, *, max_ratio: float = 8.0) -> None:
    """Load a `.keras` or `.weights.h5` file of the same network, or leave all as it is.

    The file's arrays are copied, one by one, into a file of the network itself, and
    that is what Keras loads: it never follows what a stranger wrote.

    Args:
        model: a built network.
        path: the file. What it holds of an optimizer is left out.
        max_ratio: how many times the network's own size a `.keras` file may unpack
            to; an optimizer's state takes up to three.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the network is not built, or the file is damaged, of another
            network, unpacks to too much, or holds a number that is not finite. The
            network is as before.
    """
    path = Path(path)
    check_file(path)
    if not model.built:
        raise ValueError(f"The network {model.name!r} is not built. Call it once first")
    if not path.name.endswith((".keras", ".weights.h5")):
        raise ValueError(f"{path} must be a .keras or a .weights.h5 file")
    limit = int(max_ratio * _BYTES * model.count_params()) + OVERHEAD
    with naming(path), tempfile.TemporaryDirectory() as name:
        given = _weights_file(path, Path(name), limit)
        own = Path(name) / f"own.{WEIGHTS}"
        with h5py.File(given, "r") as file:
            source = _of_network(file)
            model.save_weights(own)
            with h5py.File(own, "r+") as target:
                _copy(source, _of_network(target))
        with _restoring(model):
            model.load_weights(own)


def read_model_tensors(
    path: str | Path, *, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Read the tensors of a `.keras` file, by the names of `model_tensors`.

    The network is made from the file's description, in Keras' safe mode, which
    refuses Python code. Layers cannot ask for more numbers than the file holds.

    Args:
        path: the file.
        max_bytes: limit of what it unpacks to.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large, or has layers that are unknown here or
            hold Python code.
    """
    path = Path(path)
    check_file(path)
    with naming(path):
        model = _described(path, max_bytes)
    load_into(model, path)
    with naming(path):
        return checked_tensors(model_tensors(model))


def model_tensors(model: keras.Model) -> dict[str, np.ndarray]:
    """A network's weights by layer: "conv1/kernel", "attention/reduce/kernel".

    As `model.weights`, these are without random seeds, and a shared layer's are there
    once. Layers of a nested network have its name before theirs. Keras' own
    `variable.path` has that, or the outer network's name, by how a network came to be:
    it changes when one is saved and loaded.

    Raises:
        ValueError: two weights have one name.
    """
    found = {}
    for name, weight in _named_weights(model):
        if found.setdefault(name, weight) is not weight:
            raise ValueError(
                f"The network {model.name!r} has two weights {name!r}. Give its "
                "layers names of their own"
            )
    return {name: keras.ops.convert_to_numpy(w) for name, w in found.items()}


def read_legacy_h5(
    path: str | Path, *, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Read one of Keras' old `.h5` files of weights by layer.

    Those of `keras.applications` are such files.

    Args:
        path: the file, of weights or of a whole network.
        max_bytes: limit of all arrays together, looked at before one is read.

    Returns:
        {"layer/variable": array}. Where a layer has two variables of one name, in
        sublayers, these stand between: "attention/query/kernel".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large, of Keras' new format, or holds what no
            weights are.
    """
    path = Path(path)
    check_file(path)
    with naming(path), h5py.File(path, "r") as file:
        found = _legacy_datasets(file)
        check_total(map(hdf5.size, found.values()), max_bytes)
        names = _legacy_names(found)
        return checked_tensors(
            {names[key]: hdf5.read(found[key], key) for key in found}
        )


def _weights_file(path: Path, folder: Path, max_bytes: int) -> Path:
    """The weights in a file, as an `.h5` file; a zip file is looked through first."""
    if path.suffix != ".keras":
        return path
    check_members(path, max_bytes, WEIGHTS)
    unpacked = folder / f"given.{WEIGHTS}"
    with (
        zipfile.ZipFile(path) as archive,
        archive.open(WEIGHTS) as member,
        unpacked.open("wb") as file,
    ):
        shutil.copyfileobj(member, file)
    return unpacked


def _of_network(file: h5py.File) -> dict[str, h5py.Dataset]:
    return {
        path: dataset
        for path, dataset in hdf5.datasets(file).items()
        if not path.startswith(_OPTIMIZER)
    }


def _copy(source: dict[str, h5py.Dataset], target: dict[str, h5py.Dataset]) -> None:
    """Copy arrays between files that must have the same ones.

    Raises:
        ValueError: they have not, or a number is not finite.
    """
    _check_same(target.keys() - source.keys(), "it lacks arrays that the network has")
    _check_same(source.keys() - target.keys(), "it has arrays that the network lacks")
    for path, dataset in target.items():
        given = source[path]
        if given.shape != dataset.shape:
            raise ValueError(
                f"{path!r} has the shape {given.shape}, and {dataset.shape} in the "
                "network"
            )
        if _is_integer(given) != _is_integer(dataset):
            raise ValueError(
                f"{path!r} is of {given.dtype}, and of {dataset.dtype} in the network"
            )
        hdf5.write(dataset, hdf5.read(given, path))


def _check_same(different: Iterable[str], said: str) -> None:
    different = sorted(different)
    if different:
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        shown = ", ".join(map(repr, different[:3]))
        raise ValueError(f"it is of another network: {said}: {shown}{more}")


def _is_integer(dataset: h5py.Dataset) -> bool:
    return dataset.dtype.kind in "iu"


@contextlib.contextmanager
def _restoring(model: keras.Model) -> Iterator[None]:
    """Put a network's weights back if the block fails."""
    before = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    try:
        yield
    except BaseException:
        for weight, value in zip(model.weights, before, strict=True):
            weight.assign(value)
        raise


def _described(path: Path, max_bytes: int) -> keras.Model:
    sizes = check_members(path, max_bytes, CONFIG)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(CONFIG))
    if not isinstance(config, dict):
        raise ValueError(f"its {CONFIG} is no JSON object")
    # As for `load_model(compile=False)`. What trains a network is not asked for.
    config["compile_config"] = None
    with told_of_code(), at_most(sizes.get(WEIGHTS, 0)):
        model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    if not isinstance(model, keras.Model) or not model.built:
        raise ValueError(f"it describes no network but {type(model).__name__}")
    return model


def _named_weights(model: keras.Model) -> Iterator[tuple[str, keras.Variable]]:
    """Each weight once, with its name."""
    seen = set()
    for prefix, layer in [*_layers(model, ""), ("", model)]:
        for weight in layer.weights:
            if id(weight) not in seen:
                seen.add(id(weight))
                yield prefix + _below(weight.path, layer.name), weight


def _layers(model: keras.Model, prefix: str) -> Iterator[tuple[str, keras.Layer]]:
    """("outer/inner/", layer) for each layer that is no network itself."""
    for layer in model.layers:
        below = f"{prefix}{layer.name}/"
        if isinstance(layer, keras.Model):
            yield from _layers(layer, below)
        yield below, layer


def _below(path: str, name: str) -> str:
    parts = path.split("/")
    return "/".join(parts[parts.index(name) + 1 :]) if name in parts[:-1] else path


def _legacy_datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found = hdf5.datasets(file)
    if any(path.split("/")[-2:-1] == ["vars"] for path in found):
        raise ValueError(
            "it is of Keras' new format, which has no names of weights. Load it into "
            "the network that it is of"
        )
    if any(path.startswith(f"{_OLD_WEIGHTS}/") for path in found):
        prefix = f"{_OLD_WEIGHTS}/"
        found = {
            path.removeprefix(prefix): dataset
            for path, dataset in found.items()
            if path.startswith(prefix)
        }
    alone = [path for path in found if "/" not in path]
    if alone:
        raise ValueError(f"its array {alone[0]!r} is in no layer's group")
    return found


def _legacy_names(paths: Iterable[str]) -> dict[str, str]:
    """{"conv1/conv1/kernel:0": "conv1/kernel"}: layers, then their variables.

    Raises:
        ValueError: two arrays get one name.
    """
    parts = {path: path.partition(":")[0].split("/") for path in paths}
    short = {path: f"{part[0]}/{part[-1]}" for path, part in parts.items()}
    ambiguous = {
        name.partition("/")[0] for name, n in Counter(short.values()).items() if n > 1
    }
    names = {
        path: _long_name(part) if part[0] in ambiguous else short[path]
        for path, part in parts.items()
    }
    if len(set(names.values())) < len(names):
        raise ValueError("two of its arrays have one name")
    return names


def _long_name(parts: list[str]) -> str:
    # A layer's group holds one of the same name.
    layer, *rest = parts
    return "/".join([layer, *(rest[1:] if rest[0] == layer else rest)])
