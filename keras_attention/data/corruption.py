"""Say which file is broken: `tf.data` says only that one is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator

import tensorflow as tf

from keras_attention.data.image_data import ImageData
from keras_attention.data.splits import FileSplit, decode


@contextlib.contextmanager
def naming_corrupt_files(data: ImageData) -> Iterator[None]:
    """Turn a decoding error in the block into a ValueError that names the file.

    The files are looked through only after an error, so this costs nothing when
    all is well.

    Raises:
        ValueError: a file cannot be read or decoded.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        for split in data.splits.values():
            if isinstance(split, FileSplit):
                check_files(split.paths, split.channels)
        raise error


def check_files(paths: Iterable[str], channels: int) -> None:
    """Raise ValueError that names the first file that cannot be decoded."""
    for path in paths:
        read_image(path, channels)


def read_image(path: str, channels: int) -> tf.Tensor:
    """Decode one image file to uint8 `[height, width, channels]`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded; the message names it.
    """
    try:
        return decode(tf.io.read_file(str(path)), channels)
    except tf.errors.NotFoundError as error:
        raise FileNotFoundError(f"There is no image file {path}") from error
    except tf.errors.OpError as error:
        raise ValueError(
            f"The image file {path} cannot be decoded "
            f"(JPEG, PNG, BMP and GIF can): {reason_of(error)}"
        ) from error


def reason_of(error: tf.errors.OpError) -> str:
    """TensorFlow's message without the names of its nodes and operations."""
    message = re.sub(r"\{\{.*?\}\}\s*", "", error.message)
    return message.split(" [Op:")[0].strip()
