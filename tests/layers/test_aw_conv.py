"""AW-convolution against NumPy loops over samples and taps: values and gradients."""

import keras
import numpy as np
import pytest
from references.attentions import aw_conv, aw_map
from references.autodiff import check_gradients, gradients, run
from references.numpy_nn import adaptive_average, conv2d
from references.weights import randomize, read

from keras_attention.layers import AWConv2D

# (height, width, C1), arguments of the layer. Small, since the gradients are taken
# one number at a time; every option appears with others than its default beside it.
CASES = {
    "plain_3": ((5, 6, 3), {"kernel_size": 3}),
    "kernel_1": ((4, 4, 3), {"kernel_size": 1}),
    "kernel_5_same": ((6, 5, 2), {"kernel_size": 5, "padding": "same"}),
    "kernel_3x1": ((5, 4, 2), {"kernel_size": (3, 1), "padding": "same"}),
    "even_kernel_same": ((5, 4, 2), {"kernel_size": 2, "padding": "same"}),
    "stride_2_same_even": (
        (6, 6, 2),
        {"kernel_size": 3, "strides": 2, "padding": "same"},
    ),
    "stride_2_same_odd": (
        (5, 7, 2),
        {"kernel_size": 3, "strides": 2, "padding": "same"},
    ),
    "stride_2_symmetric": (
        (6, 5, 2),
        {"kernel_size": 3, "strides": 2, "padding": "symmetric"},
    ),
    "stride_2_symmetric_5": (
        (6, 7, 2),
        {"kernel_size": 5, "strides": 2, "padding": "symmetric"},
    ),
    "stride_2_kernel_1": ((5, 6, 3), {"kernel_size": 1, "strides": 2}),
    "symmetric": ((4, 5, 2), {"kernel_size": 3, "padding": "symmetric"}),
    "strides_1x2": (
        (5, 6, 2),
        {"kernel_size": 3, "strides": (1, 2), "padding": "same"},
    ),
    "dilated_same": (
        (5, 6, 2),
        {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    ),
    "dilated_valid": ((6, 7, 2), {"kernel_size": 3, "dilation_rate": 2}),
    "dilated_symmetric": (
        (5, 4, 2),
        {"kernel_size": 3, "dilation_rate": (2, 1), "padding": "symmetric"},
    ),
    "groups": ((4, 5, 4), {"kernel_size": 3, "groups": 2, "padding": "same"}),
    "depthwise": ((4, 5, 4), {"kernel_size": 3, "groups": 4, "padding": "same"}),
    "sharing_2": ((4, 4, 4), {"kernel_size": 3, "channel_sharing": 2}),
    "sharing_1": ((4, 4, 3), {"kernel_size": 3, "channel_sharing": 1}),
    "sharing_1_groups": (
        (4, 4, 4),
        {"kernel_size": 1, "channel_sharing": 1, "groups": 2},
    ),
    "sharing_2_groups_3": (
        (3, 4, 6),
        {"kernel_size": 1, "channel_sharing": 2, "groups": 2, "filters": 6},
    ),
    "product": ((4, 5, 3), {"kernel_size": 3, "combine": "product", "padding": "same"}),
    "product_stride_groups_sharing": (
        (5, 5, 4),
        {
            "kernel_size": 3,
            "combine": "product",
            "strides": 2,
            "padding": "symmetric",
            "groups": 2,
            "channel_sharing": 2,
        },
    ),
    "no_bias": ((4, 4, 2), {"kernel_size": 3, "use_bias": False}),
    "one_pixel": ((1, 1, 3), {"kernel_size": 3, "padding": "same"}),
}


def make(case, rng, **options):
    (height, width, channels), arguments = CASES[case]
    # A low ratio leaves the branch several hidden units, whose mixing then matters.
    arguments = {"filters": 4, "reduction_ratio": 2, **arguments, **options}
    layer = AWConv2D(**arguments)
    inputs = rng.normal(size=(2, height, width, channels)).astype("float32")
    layer.build(inputs.shape)
    randomize(layer, rng)
    return layer, inputs


def reference(layer, inputs, weights, training=False):
    return aw_conv(
        inputs,
        weights,
        sharing=layer.channel_sharing,
        combine=layer.combine,
        groups=layer.groups,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        training=training,
    )


def check_values_and_gradients(layer, inputs, rng, training):
    weights, exact = read(layer), inputs.astype("float64")
    shape = layer.compute_output_shape(inputs.shape)
    cotangent = rng.normal(size=shape)
    outputs, by_input, by_weight = gradients(
        layer, inputs, cotangent.astype("float32"), training=training
    )

    def value():
        return reference(layer, exact, weights, training)

    assert outputs.shape == shape
    np.testing.assert_allclose(outputs, value(), atol=1e-4, rtol=1e-4)
    found = check_gradients(value, exact, weights, cotangent, by_input, by_weight)
    for path, expected in found.items():
        assert np.abs(expected).max() > 1e-4, f"{path} does not matter"
    assert len(by_weight) == 7 + layer.use_bias


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_of_inputs_and_every_weight(case, rng):
    layer, inputs = make(case, rng)
    check_values_and_gradients(layer, inputs, rng, training=False)


@pytest.mark.parametrize("case", ["plain_3", "product_stride_groups_sharing"])
def test_training_goes_through_the_batch_statistics(case, rng):
    layer, inputs = make(case, rng)
    check_values_and_gradients(layer, inputs, rng, training=True)


def test_training_moves_the_branchs_statistics(rng):
    """New = 0.9 · old + 0.1 · batch, over samples and taps, for both norms."""
    layer, inputs = make("plain_3", rng)
    before = read(layer)
    layer(inputs, training=True)
    after = read(layer)
    pooled = adaptive_average(inputs.astype("float64"), (3, 3))
    hidden = pooled @ before["pointconv1"]["kernel"][0, 0]
    deviation = (hidden - hidden.mean((0, 1, 2))) / np.sqrt(
        hidden.var((0, 1, 2)) + 1e-5
    )
    active = deviation * before["norm1"]["gamma"] + before["norm1"]["beta"]
    logits = np.maximum(active, 0) @ before["pointconv2"]["kernel"][0, 0]
    for norm, batch in (("norm1", hidden), ("norm2", logits)):
        for name, moment in (
            ("moving_mean", batch.mean((0, 1, 2))),
            ("moving_variance", batch.var((0, 1, 2))),
        ):
            expected = 0.9 * before[norm][name] + 0.1 * moment
            np.testing.assert_allclose(
                after[norm][name], expected, atol=1e-5, err_msg=f"{norm} {name}"
            )


@pytest.mark.parametrize("sharing", [None, 4, 2, 1])
@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3), (5, 3)])
def test_attention_map(kernel_size, sharing, rng):
    inputs = rng.normal(size=(3, 6, 7, 4)).astype("float32")
    layer = AWConv2D(6, kernel_size, channel_sharing=sharing, reduction_ratio=2)
    layer.build(inputs.shape)
    randomize(layer, rng)
    maps = 4 // (sharing or 4)
    attention = keras.ops.convert_to_numpy(layer.attention_map(inputs))
    assert attention.shape == (3, *kernel_size, maps, 6)
    expected = aw_map(inputs.astype("float64"), read(layer), kernel_size, maps)
    np.testing.assert_allclose(attention, expected, atol=1e-5)


def test_each_sample_has_its_own_kernel(rng):
    """A batch gives what its samples give alone, in inference."""
    layer, inputs = make("plain_3", rng)
    together = keras.ops.convert_to_numpy(layer(inputs))
    alone = [keras.ops.convert_to_numpy(layer(inputs[n : n + 1]))[0] for n in (0, 1)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_one_by_one_residual_is_an_output_gate(rng):
    """Closed form with one map for all channels: conv(x) · (1 + a)."""
    layer, inputs = make("kernel_1", rng)
    weights = read(layer)
    gate = aw_map(inputs.astype("float64"), weights, (1, 1), 1)[:, :, :, 0]
    expected = conv2d(inputs.astype("float64"), weights["kernel"]) * (1 + gate)
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    np.testing.assert_allclose(outputs, expected + weights["bias"], atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid", "symmetric"])
@pytest.mark.parametrize("strides", [1, 2])
def test_unknown_height_and_width(padding, strides, rng):
    layer = AWConv2D(4, 3, strides=strides, padding=padding, reduction_ratio=2)
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layer(image))
    randomize(layer, rng)
    for height, width in ((5, 8), (6, 7)):
        inputs = rng.normal(size=(2, height, width, 3)).astype("float32")
        outputs = model.predict_on_batch(inputs)
        expected = reference(layer, inputs.astype("float64"), read(layer))
        np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_channels_first_is_channels_last_transposed(rng):
    layer, inputs = make("product_stride_groups_sharing", rng)
    first = AWConv2D.from_config(
        {**layer.get_config(), "data_format": "channels_first"}
    )
    moved = np.moveaxis(inputs, -1, 1)
    first.build(moved.shape)
    first.set_weights(layer.get_weights())
    outputs = keras.ops.convert_to_numpy(run(first, moved))
    expected = np.moveaxis(keras.ops.convert_to_numpy(run(layer, inputs)), -1, 1)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction_ratio": 0}, "`reduction_ratio`.*at least 1.*0"),
        ({"reduction_ratio": "16"}, "`reduction_ratio`.*'16'"),
        ({"reduction_ratio": True}, "`reduction_ratio`.*True"),
        ({"channel_sharing": 0}, "`channel_sharing`.*0"),
        ({"channel_sharing": 3}, "`channel_sharing` must divide.*3 for 4"),
        ({"combine": "sum"}, "combine.*'sum'.*'product'.*'residual'"),
        ({"padding": "symmetric", "kernel_size": 2}, "odd `kernel_size`.*2"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        AWConv2D(**{"filters": 4, "kernel_size": 3, **arguments}).build((None, 5, 5, 4))
