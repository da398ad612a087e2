"""What the backend can do on this machine."""

import functools

import keras
import pytest


def need_channels_first():
    """Skips a test of channels-first convolutions where the backend has none."""
    if not _has_channels_first():
        pytest.skip(
            "TensorFlow has channels-first convolutions on a CPU with oneDNN only, "
            "which is off by itself on processors without AVX-512"
        )


@functools.cache
def _has_channels_first():
    if keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf

    image, kernel = tf.zeros((1, 2, 4, 4)), tf.zeros((3, 3, 2, 2))
    try:
        tf.nn.conv2d(image, kernel, 1, "SAME", data_format="NCHW")
    except tf.errors.OpError:
        return False
    return True
