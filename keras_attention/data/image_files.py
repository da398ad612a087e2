"""An image file as pixels, or the reason why it cannot be used."""

from __future__ import annotations

import os
import re
import stat

import tensorflow as tf

from keras_attention.data.image_headers import image_size
from keras_attention.data.splits import decode

__all__ = ["check_size", "read_contents", "read_pixels", "reason_of"]

MOST_BYTES = 2**28
MOST_PIXELS = 178_956_970  # above it Pillow, too, takes an image for a bomb
# Images are scaled until their shorter side fits: a thin one becomes very long.
MOST_ASPECT = 100


def read_pixels(path: str, channels: int) -> tf.Tensor:
    """Decode an image file to uint8 `[height, width, channels]`.

    What `FileSplit` decodes, comes out as there. Memory and time are bounded: what
    claims to be too large is not decoded, and what is no file is not opened.

    Raises:
        OSError: it cannot be read; FileNotFoundError where there is none.
        ValueError: it cannot be used. The message is a reason and does not name it.
    """
    contents = read_contents(path)
    check_size(contents)
    return decode_contents(contents, channels)


def read_contents(path: str) -> bytes:
    """The bytes of a file of a size that an image may have; errors as above."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file, but a folder, a device or a pipe")
    if status.st_size > MOST_BYTES:
        raise ValueError(f"it has {status.st_size:,} bytes, over {MOST_BYTES:,}")
    with open(path, "rb") as file:
        contents = file.read(MOST_BYTES)
    if not contents:
        raise ValueError("it is empty")
    return contents


def check_size(contents: bytes) -> tuple[int, int, int]:
    """What `image_size` gives, where it is within the limits; errors as above."""
    height, width, held = image_size(contents)
    if height < 1 or width < 1:
        raise ValueError(f"it has {height}×{width} pixels")
    if held > MOST_PIXELS:
        raise ValueError(
            f"it has {held:,} pixels ({height}×{width}), over {MOST_PIXELS:,}"
        )
    if max(height, width) > MOST_ASPECT * min(height, width):
        raise ValueError(
            f"its {height}×{width} pixels are too thin: one side is over "
            f"{MOST_ASPECT} times the other"
        )
    return height, width, held


def decode_contents(contents: bytes, channels: int) -> tf.Tensor:
    """Decode the contents of a file; errors as above."""
    try:
        return decode(contents, channels)
    except tf.errors.OpError as error:
        raise ValueError(
            f"it is damaged, cut off or of a form without a decoder: {reason_of(error)}"
        ) from error


def reason_of(error: tf.errors.OpError) -> str:
    """TensorFlow's message without the names of its nodes and operations."""
    message = re.sub(r"\{\{.*?\}\}\s*", "", error.message)
    return message.split(" [Op:")[0].strip()
