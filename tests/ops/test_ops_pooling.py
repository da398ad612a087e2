"""Pooling statistics and adaptive average pooling against NumPy."""

import keras
import numpy as np
import pytest
from references.attentions import statistic
from references.numpy_nn import adaptive_average

from keras_attention.ops.pooling import adaptive_average_pool2d, pool

STATISTICS = ("avg", "max", "var", "biased_var")


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("axis", [(1, 2), (2, 3), -1, 1])
def test_statistic(name, axis, rng):
    inputs = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    pooled = keras.ops.convert_to_numpy(pool(inputs, name, axis))
    expected = statistic(inputs.astype("float64"), name, axis)
    assert pooled.shape == expected.shape
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_variances_of_numbers_worked_by_hand():
    """1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14, by 3 and by 4."""
    inputs = np.array([1, 2, 3, 6], "float32").reshape(1, 2, 2, 1)
    for name, expected in (("var", 14 / 3), ("biased_var", 14 / 4)):
        pooled = keras.ops.convert_to_numpy(pool(inputs, name, (1, 2)))
        np.testing.assert_allclose(pooled, [[[[expected]]]], rtol=1e-6)


def test_unbiased_variance_of_one_number_is_zero():
    inputs = np.full((2, 1, 1, 3), 7.0, "float32")
    pooled = keras.ops.convert_to_numpy(pool(inputs, "var", (1, 2)))
    np.testing.assert_array_equal(pooled, np.zeros((2, 1, 1, 3)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_sums_do_not_overflow(dtype):
    """112² · 8 = 100,352 is beyond float16's 65,504."""
    inputs = keras.ops.full((1, 112, 112, 2), 8.0, dtype=dtype)
    for name, expected in (("avg", 8), ("max", 8), ("var", 0), ("biased_var", 0)):
        pooled = pool(inputs, name, (1, 2))
        assert keras.backend.standardize_dtype(pooled.dtype) == dtype
        pooled = keras.ops.convert_to_numpy(keras.ops.cast(pooled, "float32"))
        np.testing.assert_array_equal(pooled, np.full((1, 1, 1, 2), expected))
    pooled = adaptive_average_pool2d(inputs, (1, 3))
    pooled = keras.ops.convert_to_numpy(keras.ops.cast(pooled, "float32"))
    np.testing.assert_array_equal(pooled, np.full((1, 1, 3, 2), 8))


SIZES = [
    ((7, 7), (7, 7)),
    ((7, 7), (1, 1)),
    ((8, 6), (4, 3)),
    ((7, 5), (3, 2)),
    ((10, 11), (7, 4)),
    ((5, 9), (1, 5)),
    ((2, 3), (5, 7)),
    ((1, 1), (3, 3)),
    ((56, 14), (3, 3)),
]


@pytest.mark.parametrize(("size", "output_size"), SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_adaptive_average_pool(size, output_size, known, rng):
    inputs = rng.normal(size=(2, *size, 3)).astype("float32")
    expected = adaptive_average(inputs.astype("float64"), output_size)
    if known:
        pooled = adaptive_average_pool2d(inputs, output_size)
    else:
        pooled = _with_unknown_size(inputs, output_size)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(pooled), expected, atol=1e-5)


def test_bins_overlap_as_pytorchs_do():
    """5 to 3 by hand: bins [0, 2), [1, 4), [3, 5)."""
    inputs = np.array([0, 1, 2, 3, 4], "float32").reshape(1, 5, 1, 1)
    pooled = keras.ops.convert_to_numpy(adaptive_average_pool2d(inputs, (3, 1)))
    np.testing.assert_allclose(pooled.ravel(), [0.5, 2.0, 3.5])


def test_adaptive_average_pool_channels_first(rng):
    inputs = rng.normal(size=(2, 3, 7, 5)).astype("float32")
    pooled = adaptive_average_pool2d(inputs, (3, 2), "channels_first")
    expected = adaptive_average(np.moveaxis(inputs, 1, -1), (3, 2))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(pooled), np.moveaxis(expected, -1, 1), atol=1e-5
    )


@pytest.mark.parametrize("name", ["mean", None, 1])
def test_unknown_statistic_lists_the_choices(name):
    with pytest.raises(ValueError, match=f"statistic.*{name}.*'avg'"):
        pool(np.zeros((1, 2, 2, 1)), name, (1, 2))


def _with_unknown_size(inputs, output_size):
    """Through a model whose height and width are None when it is traced."""
    image = keras.Input((None, None, inputs.shape[-1]))
    pooling = keras.layers.Lambda(
        lambda x: adaptive_average_pool2d(x, output_size),
        output_shape=(*output_size, inputs.shape[-1]),
    )
    return keras.Model(image, pooling(image)).predict_on_batch(inputs)
