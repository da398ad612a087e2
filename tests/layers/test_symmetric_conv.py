"""`padding="symmetric"`: PyTorch's convolution, at stride 2 unlike Keras' "same"."""

import keras
import numpy as np
import pytest
from references.numpy_nn import conv2d
from references.weights import randomize, read

from keras_attention.layers import Conv2D


@pytest.mark.parametrize("size", [(6, 7), (8, 8), (5, 3), (1, 1)])
@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": 3, "strides": 2},
        {"kernel_size": 7, "strides": 2},
        {"kernel_size": 3},
        {"kernel_size": (5, 3), "strides": (2, 1)},
        {"kernel_size": 3, "dilation_rate": 2},
        {"kernel_size": 3, "strides": 2, "groups": 2},
    ],
    ids=str,
)
def test_equals_pytorchs_padding(arguments, size, rng):
    layer = Conv2D(4, padding="symmetric", **arguments)
    inputs = rng.normal(size=(2, *size, 4)).astype("float32")
    layer.build(inputs.shape)
    randomize(layer, rng)
    weights = read(layer)
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    expected = conv2d(
        inputs.astype("float64"),
        weights["kernel"],
        weights["bias"],
        padding="symmetric",
        strides=layer.strides,
        dilation_rate=layer.dilation_rate,
        groups=layer.groups,
    )
    assert outputs.shape == layer.compute_output_shape(inputs.shape)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_differs_from_same_at_stride_2_on_even_sizes(rng):
    inputs = rng.normal(size=(1, 6, 6, 1)).astype("float32")
    symmetric, same = (Conv2D(1, 3, 2, padding=p) for p in ("symmetric", "same"))
    symmetric.build(inputs.shape)
    same.build(inputs.shape)
    same.set_weights(symmetric.get_weights())
    difference = keras.ops.convert_to_numpy(symmetric(inputs) - same(inputs))
    assert np.abs(difference).max() > 0.1


def test_config_round_trip():
    layer = Conv2D(4, 3, 2, padding="symmetric", use_bias=False)
    assert layer.get_config()["padding"] == "symmetric"
    assert Conv2D.from_config(layer.get_config()).get_config() == layer.get_config()


def test_even_kernel_raises():
    with pytest.raises(ValueError, match=r"odd `kernel_size`.*\(3, 2\)"):
        Conv2D(4, (3, 2), padding="symmetric")
