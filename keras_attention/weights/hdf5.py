"""Look through HDF5 files that somebody else may have made.

HDF5 can point out of its file, declare what it does not hold, and has attributes at
whose damage its library can loop without end. Keras' own loader follows what is there.
Here, attributes are not read, and only what Keras writes is let through.
"""

from __future__ import annotations

import math

import h5py
import ml_dtypes
import numpy as np

from keras_attention.weights.checking import byte_size, check_finite

_MOST_OBJECTS = 100_000
_DEEPEST = 32
# Keras writes bfloat16 as two bytes without a meaning.
_OPAQUE = np.dtype("V2")
_DTYPES = tuple(
    np.dtype(order + kind)
    for order in "<>"
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
)


def datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Every array of a file by its path, none of them read.

    Raises:
        ValueError: there are links, arrays whose numbers are elsewhere, compressed,
            missing or no plain numbers, or more or deeper groups than networks have.
    """
    found = {}
    groups = [("", file, 0)]
    seen = 0
    while groups:
        prefix, group, depth = groups.pop()
        if depth > _DEEPEST:
            raise ValueError(f"the groups at {prefix!r} are nested too deep")
        for name in group:
            seen += 1
            if seen > _MOST_OBJECTS:
                raise ValueError(f"it holds more than {_MOST_OBJECTS:,} groups")
            path = prefix + name
            item = _item(group, name, path)
            if isinstance(item, h5py.Group):
                groups.append((f"{path}/", item, depth + 1))
            else:
                _check(item, path)
                found[path] = item
    return found


def size(dataset: h5py.Dataset) -> int:
    """Bytes of an array that is not read."""
    return byte_size(dataset.shape, dataset.dtype.itemsize)


def read(dataset: h5py.Dataset, path: str) -> np.ndarray:
    """Read an array; two bytes without a meaning are taken for bfloat16.

    Raises:
        ValueError: a number is not finite.
    """
    array = np.asarray(dataset[()])
    if array.dtype == _OPAQUE:
        array = array.view(ml_dtypes.bfloat16)
    if array.dtype.kind not in "iu":
        check_finite(path, array)
    return array


def write(dataset: h5py.Dataset, array: np.ndarray) -> None:
    """Put numbers in the place of an array's, in its dtype."""
    if dataset.dtype == _OPAQUE:
        dataset[...] = array.astype(ml_dtypes.bfloat16).view(_OPAQUE)
    else:
        dataset[...] = array.astype(dataset.dtype)


def _item(group: h5py.Group, name: str, path: str) -> h5py.Group | h5py.Dataset:
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{path!r} is a link, {type(link).__name__}")
    item = group[name]
    if not isinstance(item, h5py.Group | h5py.Dataset):
        raise ValueError(f"{path!r} is neither a group nor an array")
    return item


def _check(dataset: h5py.Dataset, path: str) -> None:
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"the numbers of {path!r} are in other files")
    if dataset.shape is None:
        raise ValueError(f"{path!r} is empty")
    if not _is_plain(dataset):
        raise ValueError(f"{path!r} is no array of plain numbers")
    if dataset.chunks is not None or dataset.compression is not None:
        raise ValueError(
            f"{path!r} is in pieces or compressed, which Keras does not do. Write it "
            "as one array"
        )
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    if dataset.id.get_storage_size() != declared:
        raise ValueError(f"{path!r} declares {declared:,} bytes and holds others")


def _is_plain(dataset: h5py.Dataset) -> bool:
    # A float of as many bytes, but of other bits, is not NumPy's.
    kind = dataset.id.get_type()
    if isinstance(kind, h5py.h5t.TypeOpaqueID):
        return kind.get_size() == _OPAQUE.itemsize
    return any(h5py.h5t.py_create(plain).equal(kind) for plain in _DTYPES)
