"""The contents of an image file as pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attention.data.image_files import check_size, read_contents, reason_of

__all__ = ["decode", "decode_file"]


def decode_file(path: str | Path) -> np.ndarray:
    """Decode an image file as `decode` does; what is no file, or too large, is not.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be decoded; the message says why.
    """
    source = f"image file {path}"
    try:
        contents = read_contents(str(path))
        check_size(contents)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no {source}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"The {source} cannot be decoded: {error}") from error
    return decode(contents, source)


def decode(contents: bytes, source: str) -> np.ndarray:
    """Decode JPEG, PNG, BMP or GIF (its first frame) to uint8 (height, width, 3), RGB.

    JPEGs come out as Pillow's, on which detectors elsewhere are trained, to the bit.

    Args:
        contents: of the file.
        source: what to call it in an error: `"image file a.jpg"`.

    Raises:
        ValueError: it cannot be decoded.
    """
    try:
        if contents[:3] == b"\xff\xd8\xff":
            # The default transform is up to 18 of 255 off, 1.5 on average.
            image = tf.io.decode_jpeg(
                contents, channels=3, dct_method="INTEGER_ACCURATE"
            )
        else:
            image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        raise ValueError(
            f"The {source} cannot be decoded (JPEG, PNG, BMP and GIF can): "
            f"{reason_of(error)}"
        ) from error
    return image.numpy()
