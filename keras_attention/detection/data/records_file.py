"""Single records of TFRecord files: where they are, and each by its place."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

__all__ = ["examples", "read_feature"]

HEADER, FOOTER = 12, 4  # bytes: a length and its checksum; the content's checksum


def examples(path: Path, skip: int, take: int) -> Iterator[tuple[tuple, dict]]:
    """The records of a file as `(place, features)`, a `place` for `read_feature`.

    Args:
        path: the file.
        skip: records to pass over.
        take: records after them.

    Raises:
        ValueError: the file ends within a record or before the last one, or a record
            is damaged.
    """
    with path.open("rb") as file:
        for number in range(skip + take):
            header = file.read(HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else 0
            start = file.tell()
            if number < skip:
                file.seek(length + FOOTER, 1)
                continue
            content = file.read(length)
            if not length or len(content) < length:
                raise ValueError(
                    f"{path} ends before record {number} of {skip + take}: prepare the "
                    "data set again."
                )
            file.seek(FOOTER, 1)
            try:
                features = _features(content)
            except DecodeError as error:
                raise ValueError(f"{path}: record {number} is damaged.") from error
            yield (path, start, length), features


def read_feature(path: Path, start: int, length: int, name: str) -> bytes:
    """The bytes of one feature of the record that starts there."""
    with path.open("rb") as file:
        file.seek(start)
        return _features(file.read(length))[name][0]


def _features(content: bytes) -> dict:
    """name → sequence of bytes, integers or floats."""
    features = tf.train.Example.FromString(content).features.feature
    return {
        name: getattr(value, value.WhichOneof("kind")).value
        for name, value in features.items()
        if value.WhichOneof("kind")
    }
