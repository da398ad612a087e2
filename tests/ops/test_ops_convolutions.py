"""Padding, per-sample convolution and relative logits against NumPy loops."""

import keras
import numpy as np
import pytest
from references import numpy_nn
from references.attentions import relative_logits

from keras_attention.ops.padding import pad_for_conv
from keras_attention.ops.relative_logits import relative_logits_2d
from keras_attention.ops.sample_conv import attention_weighted_conv2d

GEOMETRIES = [
    (kernel, stride, dilation)
    for kernel in (1, 2, 3, 5)
    for stride, dilation in ((1, 1), (2, 1), (3, 1), (1, 2))
]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), GEOMETRIES)
@pytest.mark.parametrize("padding", ["same", "valid", "symmetric"])
def test_padding(kernel, stride, dilation, padding, rng):
    if padding == "symmetric" and kernel % 2 == 0:
        pytest.skip("an even kernel has no symmetric padding")
    geometry = ((kernel, 3), (stride, 2), (dilation, 1))
    for size in ((6, 7), (7, 6)):
        inputs = rng.normal(size=(1, *size, 2)).astype("float32")
        padded = keras.ops.convert_to_numpy(pad_for_conv(inputs, *geometry, padding))
        np.testing.assert_array_equal(padded, numpy_nn.pad(inputs, *geometry, padding))


def test_padding_channels_first(rng):
    inputs = rng.normal(size=(1, 2, 6, 7)).astype("float32")
    geometry = ((3, 5), (2, 2), (1, 1))
    padded = pad_for_conv(inputs, *geometry, "same", "channels_first")
    expected = numpy_nn.pad(np.moveaxis(inputs, 1, -1), *geometry, "same")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(padded), np.moveaxis(expected, -1, 1)
    )


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize(("groups", "maps"), [(1, 1), (1, 4), (2, 1), (2, 2), (2, 4)])
def test_attention_weighted_conv(groups, maps, residual, rng):
    """The map's entry of input channel c is c // (C1 / maps), also under groups."""
    channels, filters, per_group = 4, 6, 4 // groups
    inputs = rng.normal(size=(2, 5, 6, channels)).astype("float32")
    kernel = rng.normal(size=(3, 2, per_group, filters)).astype("float32")
    attention = rng.uniform(size=(2, 3, 2, maps, filters)).astype("float32")
    outputs = attention_weighted_conv2d(
        inputs, kernel, attention, residual=residual, groups=groups, strides=(1, 2)
    )
    kernels = np.zeros((2, *kernel.shape))
    for o in range(filters):
        for i in range(per_group):
            channel = o // (filters // groups) * per_group + i
            scale = attention[..., channel // (channels // maps), o] + residual
            kernels[..., i, o] = scale * kernel[:, :, i, o]
    expected = numpy_nn.sample_conv2d(inputs, kernels, groups=groups, strides=(1, 2))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(outputs), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 4), (4, 1), (3, 3), (3, 5), (5, 2)]
)
def test_relative_logits(height, width, rng):
    query = rng.normal(size=(2, 3, height * width, 4)).astype("float32")
    by_height = rng.normal(size=(2 * height - 1, 4)).astype("float32")
    by_width = rng.normal(size=(2 * width - 1, 4)).astype("float32")
    arguments = (query, by_height, by_width, height, width)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(relative_logits_2d(*arguments)),
        relative_logits(*arguments),
        atol=1e-5,
    )
