"""AW's branch with a group norm, or a frozen batch norm, in place of a batch norm."""

import keras
import numpy as np
import pytest
from references.autodiff import gradients, run
from references.numpy_nn import sigmoid
from references.weights import randomize, read

from keras_attention.layers import AWConv2D


def built(rng, channels=48, kernel_size=1, filters=64, **options):
    layer = AWConv2D(filters, kernel_size, reduction_ratio=2, **options)
    inputs = rng.normal(size=(3, 4, 5, channels)).astype("float32")
    layer.build(inputs.shape)
    randomize(layer, rng)
    return layer, inputs


def group_norm(x, weights, groups):
    """Of one image's (h, w, C)."""
    parts = x.reshape(-1, groups, x.shape[-1] // groups)
    mean = parts.mean(axis=(0, 2), keepdims=True)
    deviation = np.sqrt(parts.var(axis=(0, 2), keepdims=True) + 1e-5)
    normal = ((parts - mean) / deviation).reshape(x.shape)
    return normal * weights["gamma"] + weights["beta"]


@pytest.mark.parametrize("training", (False, True))
def test_group_norm_is_of_each_image_alone(rng, training):
    """32 and 64 channels: 2 and 4 groups of 16, from one value per channel."""
    layer, inputs = built(rng, norm="group")
    weights = read(layer)
    maps = keras.ops.convert_to_numpy(layer.attention_map(inputs, training=training))
    for n, image in enumerate(inputs.astype("float64")):
        pooled = image.mean(axis=(0, 1), keepdims=True)
        hidden = pooled @ weights["pointconv1"]["kernel"][0, 0]
        hidden = np.maximum(group_norm(hidden, weights["norm1"], 2), 0)
        last = hidden @ weights["pointconv2"]["kernel"][0, 0]
        expected = sigmoid(group_norm(last, weights["norm2"], 4))
        np.testing.assert_allclose(maps[n, :, :, 0], expected, atol=1e-5)


def test_group_norm_trains_on_one_image(rng):
    layer, inputs = built(rng, norm="group")
    cotangent = rng.normal(size=(1, 4, 5, 64)).astype("float32")
    *_, by_weight = gradients(layer, inputs[:1], cotangent, training=True)
    assert all(np.abs(gradient).max() > 1e-6 for gradient in by_weight.values())


def test_frozen_keeps_its_statistics_and_weights(rng):
    layer, inputs = built(rng, norm="frozen")
    before = [w.numpy().copy() for w in layer.norm1.weights + layer.norm2.weights]
    inference = keras.ops.convert_to_numpy(run(layer, inputs))
    training = keras.ops.convert_to_numpy(layer(inputs, training=True))
    np.testing.assert_allclose(training, inference, atol=1e-5)
    after = [w.numpy() for w in layer.norm1.weights + layer.norm2.weights]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
    owned = {w.path for w in layer.trainable_weights}
    assert not any("norm" in path for path in owned) and len(owned) == 4


def test_frozen_stays_so_when_the_network_is_unfrozen(rng):
    layer, inputs = built(rng, norm="frozen")
    layer.trainable = False
    layer.trainable = True
    before = layer.norm1.moving_mean.numpy().copy()
    layer(inputs, training=True)
    np.testing.assert_array_equal(layer.norm1.moving_mean.numpy(), before)
    assert not any("norm" in w.path for w in layer.trainable_weights)
    assert len(layer.trainable_weights) == 4


def test_a_batch_norm_of_one_value_is_an_error(rng):
    layer, inputs = built(rng)
    with pytest.raises(ValueError, match="batch of one image.*norm='group'"):
        layer(inputs[:1], training=True)
    layer(inputs[:1], training=False)
    layer(inputs[:2], training=True)
    three, inputs = built(rng, kernel_size=3)
    three(inputs[:1], training=True)


def test_a_group_norm_of_one_value_is_an_error():
    layer = AWConv2D(4, 1, reduction_ratio=16, norm="group")
    with pytest.raises(
        ValueError, match="single values.*filters=4.*reduction_ratio=16"
    ):
        layer.build((None, 8, 8, 3))


def test_groups_divide_any_number_of_channels():
    """40 channels: 2 groups of 20, since 2.5 of 16 are none."""
    layer = AWConv2D(40, 3, reduction_ratio=1, norm="group")
    layer.build((None, 8, 8, 3))
    assert layer.norm1.groups == 2


def test_an_unknown_norm_is_an_error():
    with pytest.raises(ValueError, match="norm.*'layer'.*'group'"):
        AWConv2D(4, 1, norm="layer")
