"""Whole networks from `.keras` files that somebody else may have made."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras

from keras_attention.weights import hdf5
from keras_attention.weights.checking import check_file, check_zip, naming

CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
MAX_CONFIG = 64 << 20
# Of a file beside its numbers.
OVERHEAD = MAX_CONFIG + (16 << 20)
# How many times its own size a file may unpack to: Keras does not compress.
MAX_RATIO = 8
# Layers are made before what they share is known, and a moment apart from copies.
SLACK = 4
# Of small networks, with a layer or two that holds a table without training.
LEAST_NUMBERS = 2**20


def load_network(path: str | Path) -> keras.Model:
    """The network in a `.keras` file, not compiled, in Keras' safe mode.

    Safe mode refuses Python code. Members that leave the folder, unpack to far more
    than the file, or are damaged are seen before Keras sees the file, and so are arrays
    that are in other files. Layers cannot ask for more numbers than the file holds.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large, has layers that are unknown here, or
            holds Python code. The message names the file.
    """
    path = Path(path)
    check_file(path)
    with naming(path):
        sizes = check_members(path, most_bytes(path), CONFIG, WEIGHTS)
        _check_arrays(path)
        with told_of_code(), at_most(sizes[WEIGHTS]):
            return keras.saving.load_model(path, compile=False, safe_mode=True)


def most_bytes(path: Path) -> int:
    """What a file of a network may unpack to."""
    return MAX_RATIO * path.stat().st_size + OVERHEAD


def check_members(path: Path, max_bytes: int, *needed: str) -> dict[str, int]:
    """As `check_zip`, of a `.keras` file that needs some members."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no .keras file, or not whole: it is no zip file")
    sizes = check_zip(path, max_bytes, stored=False)
    if CONFIG in needed and not 0 < sizes.get(CONFIG, 0) <= MAX_CONFIG:
        raise ValueError(f"it has no member {CONFIG!r} of up to {MAX_CONFIG:,} bytes")
    if WEIGHTS in needed and WEIGHTS not in sizes:
        raise ValueError(f"it has no member {WEIGHTS!r}, as Keras' files have")
    return sizes


@contextlib.contextmanager
def told_of_code() -> Iterator[None]:
    """Say that code is not run, in place of Keras' advice to run it."""
    try:
        yield
    except ValueError as error:
        if "safe_mode" not in str(error):
            raise
        raise ValueError(
            "it holds Python code, as a Lambda layer's, which is not run"
        ) from error


@contextlib.contextmanager
def at_most(size: int) -> Iterator[None]:
    """Within the block layers cannot make weights of many more numbers than bytes.

    A few words of a description can ask for all memory there is, which is taken before
    the weights are seen not to be that large.

    Args:
        size: of all weights in bytes; a number has one at least.
    """
    add_weight, left = keras.Layer.add_weight, [SLACK * size + LEAST_NUMBERS]

    def counted(layer, shape=None, *args, **options):
        left[0] -= math.prod(shape) if isinstance(shape, list | tuple) else shape or 1
        if left[0] < 0:
            raise ValueError(
                f"its layers, such as {layer.name!r}, ask for more numbers than its "
                f"{size:,} bytes of weights are"
            )
        return add_weight(layer, shape, *args, **options)

    keras.Layer.add_weight = counted
    try:
        yield
    finally:
        keras.Layer.add_weight = add_weight


def _check_arrays(path: Path) -> None:
    with (
        zipfile.ZipFile(path) as archive,
        archive.open(WEIGHTS) as member,
        h5py.File(member, "r") as file,
    ):
        hdf5.datasets(file)
