"""Read and write safetensors files.

The format has no check sum. Ours get one, in their metadata, so that a flipped bit in
the numbers is found; in a file without, it is found only where it makes a number
infinite or NaN.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

# NumPy knows bfloat16 once this is imported.
import ml_dtypes  # noqa: F401
import numpy as np

from keras_attention import extras
from keras_attention.files import replace_file
from keras_attention.weights.checking import (
    MAX_BYTES,
    byte_size,
    check_file,
    check_finite,
    check_kind,
    check_total,
    checked_tensors,
    naming,
)

CHECKSUM = "keras_attention_sha256"
METADATA = "__metadata__"
# The format's dtypes that a tensor of weights can have.
DTYPES = {
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
}
# A tensor takes some hundred bytes of it. The library's limit is 100 MB.
MAX_HEADER = 10 << 20


def read_safetensors(
    path: str | Path, *, max_bytes: int = MAX_BYTES
) -> dict[str, np.ndarray]:
    """Read a safetensors file.

    Args:
        path: the file.
        max_bytes: limit of all tensors together, looked at before memory is taken.

    Returns:
        {name: array}; float16 and bfloat16 as float32.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large, holds what no weights are, or is not
            what its check sum says. Without a check sum, numbers that changed and
            are finite cannot be told from the right ones.
        ImportError: safetensors is not installed.
    """
    path = Path(path)
    check_file(path)
    library = _library()
    with naming(path):
        header = read_header(path)
        _check_header(header, max_bytes)
        # The library sees to the offsets: that they follow each other from the end of
        # the header to the end of the file, and agree with shapes and dtypes.
        with library.safe_open(path, "np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        _check_checksum(tensors, metadata)
        return checked_tensors(tensors)


def read_metadata(path: str | Path) -> dict[str, str]:
    """The words beside the tensors of a safetensors file.

    They are not part of the check sum.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    path = Path(path)
    check_file(path)
    with naming(path):
        metadata = read_header(path).get(METADATA, {})
        if not _is_words(metadata):
            raise ValueError(f"its {METADATA!r} must be a dict of strings")
        return metadata


def write_safetensors(
    tensors: Mapping[str, np.ndarray], path: str | Path, metadata: Mapping[str, str]
) -> None:
    """Write tensors and their check sum, whole or not at all.

    Args:
        tensors: {name: array}.
        path: the file to make or replace.
        metadata: words to write beside the tensors.

    Raises:
        ValueError: a tensor is not of a dtype of weights or holds a number that is
            not finite, or the metadata is no dict of strings. Nothing is written.
        ImportError: safetensors is not installed.
    """
    library = _library()
    if not _is_words(metadata):
        raise ValueError(f"`metadata` must be a dict of strings. Received: {metadata}")
    # The library writes an array as it lies in memory, and says nothing where its
    # order is another one.
    tensors = {name: _plain(array) for name, array in tensors.items()}
    for name, array in tensors.items():
        check_kind(name, array.dtype.name)
        if array.dtype.kind != "i":
            check_finite(name, array)
    words = {**metadata, CHECKSUM: checksum(tensors)}
    replace_file(
        Path(path), lambda aside: library.numpy.save_file(tensors, aside, words)
    )


def checksum(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, dtypes, shapes and numbers, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = _plain(tensors[name])
        # As JSON, so that no two lists of tensors read as one text.
        title = json.dumps([name, array.dtype.name, list(array.shape)])
        digest.update(title.encode())
        digest.update(array.reshape(-1).view("uint8").data)
    return digest.hexdigest()


def read_header(path: Path) -> dict:
    """What is in front of the numbers: names, dtypes, shapes, places and metadata.

    Raises:
        ValueError: it is cut off, too long, no JSON object, or has a name twice,
            of which the library would take one.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise ValueError("it is too short for a safetensors file")
        (length,) = struct.unpack("<Q", start)
        if length > min(MAX_HEADER, path.stat().st_size - 8):
            raise ValueError(
                f"its header would be {length:,} bytes long. It is no safetensors "
                "file, or cut off"
            )
        header = json.loads(file.read(length), object_pairs_hook=_without_twins)
    if not isinstance(header, dict):
        raise ValueError(f"its header is no JSON object but {type(header).__name__}")
    return header


def _library():
    purpose = "A safetensors file"
    extras.require("safetensors.numpy", extra="hub", purpose=purpose)
    return extras.require("safetensors", extra="hub", purpose=purpose)


def _without_twins(pairs: list[tuple]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"its header has {twin!r} twice")
    return found


def _check_header(header: dict, max_bytes: int) -> None:
    sizes = []
    for name, entry in header.items():
        if name == METADATA:
            continue
        kind = DTYPES.get(entry["dtype"], entry["dtype"])
        check_kind(name, kind)
        sizes.append(byte_size(entry["shape"], np.dtype(kind).itemsize))
    check_total(sizes, max_bytes)


def _check_checksum(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    wanted = metadata.get(CHECKSUM)
    if wanted is None:
        return
    got = checksum(tensors)
    if got != wanted:
        raise ValueError(
            f"its check sum is {got}, where {wanted} was written into it. It was "
            "changed or damaged; fetch or export it again"
        )


def _is_words(metadata) -> bool:
    return isinstance(metadata, Mapping) and all(
        isinstance(word, str) for pair in metadata.items() for word in pair
    )


def _plain(array: np.ndarray) -> np.ndarray:
    # In rows, and in this machine's order of bytes.
    array = np.asarray(array, order="C")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder())
