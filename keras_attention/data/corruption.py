"""Say which file is broken: `tf.data` says only that one is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from keras_attention.data.image_data import ImageData
from keras_attention.data.image_files import read_pixels
from keras_attention.data.splits import FileSplit

# What reading and decoding in `tf.data` raises.
BROKEN = (
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.FailedPreconditionError,
)
# How a message about a label begins.
WRONG_LABEL = "The label of a record must be "


@contextlib.contextmanager
def naming_corrupt_files(data: ImageData) -> Iterator[None]:
    """Turn an error of reading images in the block into one that says which it is.

    The files are looked through only after an error, so this costs nothing when
    all is well.

    Raises:
        FileNotFoundError: a file is gone.
        ValueError: a file cannot be read or decoded, or a record has a wrong label.
    """
    try:
        yield
    except BROKEN as error:
        _refuse_label(error)
        for split in data.splits.values():
            if isinstance(split, FileSplit):
                check_files(split.paths, split.channels)
        raise error


def check_label(label: tf.Tensor, class_names: Sequence[str]) -> tf.Tensor:
    """A record's label, which fails where it is none of the classes'.

    Within `naming_corrupt_files` the failure is a ValueError.
    """
    classes = len(class_names)
    wanted = f"{WRONG_LABEL}from 0 to {classes - 1}, for {classes} classes. Received:"
    right = (label >= 0) & (label < classes)
    with tf.control_dependencies([tf.debugging.Assert(right, [wanted, label])]):
        return tf.identity(label)


def _refuse_label(error: tf.errors.OpError) -> None:
    """Raise ValueError if it is of `check_label`."""
    found = re.search(rf"\[({WRONG_LABEL}.*?)\] \[(-?\d+)\]", error.message)
    if found:
        raise ValueError(" ".join(found.groups())) from error


def check_files(paths: Iterable[str], channels: int) -> None:
    """Raise ValueError that names the first file that cannot be decoded."""
    for path in paths:
        read_image(path, channels)


def read_image(path: str, channels: int) -> tf.Tensor:
    """Decode one image file to uint8 `[height, width, channels]`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded; the message names it and says why.
    """
    try:
        return read_pixels(str(path), channels)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no image file {path}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"The image file {path} cannot be decoded: {error}") from error
