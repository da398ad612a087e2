"""Attention-augmented convolution against loops over heads and position pairs."""

import keras
import numpy as np
import pytest
from references.attentions import augmented_conv
from references.autodiff import check_gradients, gradients
from references.backend import need_channels_first
from references.weights import randomize, read

from keras_attention import spec
from keras_attention.layers import AA, AttentionAugmentedConv2D, AWConv2D

SMALL = {"key_depth": 4, "value_depth": 2, "num_heads": 2}

CASES = {
    "square": ((4, 4, 3), {}),
    "non_square": ((3, 5, 3), {}),
    "one_row": ((1, 6, 3), {}),
    "one_pixel": ((1, 1, 3), {}),
    "not_relative": ((3, 4, 3), {"relative": False}),
    "stride_2_even": ((6, 4, 3), {"strides": 2}),
    "stride_2_odd": ((5, 7, 3), {"strides": 2}),
    "stride_2_symmetric": ((6, 5, 3), {"strides": 2, "padding": "symmetric"}),
    "qkv_3x3_symmetric": (
        (6, 4, 2),
        {"strides": 2, "padding": "symmetric", "qkv_kernel_size": 3},
    ),
    "qkv_3x3": ((4, 3, 2), {"qkv_kernel_size": 3}),
    "one_head": ((3, 3, 2), {"num_heads": 1, "key_depth": 3, "value_depth": 1}),
    "dilated_groups": ((4, 5, 4), {"dilation_rate": 2, "groups": 2}),
    "no_bias": ((3, 4, 3), {"use_bias": False}),
    "ratios": (
        (3, 4, 3),
        {"key_depth": 0.5, "value_depth": 0.5, "min_key_depth_per_head": 1},
    ),
}


def make(case, rng):
    (height, width, channels), arguments = CASES[case]
    arguments = {"padding": "same", **SMALL, **arguments}
    layer = AttentionAugmentedConv2D(8, 3, **arguments)
    inputs = rng.normal(size=(2, height, width, channels)).astype("float32")
    layer.build(inputs.shape)
    randomize(layer, rng)
    return layer, inputs


def reference(layer, inputs, weights):
    return augmented_conv(
        inputs,
        weights,
        key_depth=layer.key_depth,
        num_heads=layer.num_heads,
        strides=layer.conv.strides,
        padding=layer.conv.padding,
        dilation_rate=layer.conv.dilation_rate,
        groups=layer.conv.groups,
    )


@pytest.mark.parametrize("case", CASES)
def test_output_and_attention_map(case, rng):
    layer, inputs = make(case, rng)
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    attention = keras.ops.convert_to_numpy(layer.attention_map(inputs))
    expected, weights = reference(layer, inputs.astype("float64"), read(layer))
    assert outputs.shape == layer.compute_output_shape(inputs.shape)
    np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(attention, weights, atol=1e-5)


def test_gradients_of_inputs_and_every_weight(rng):
    layer, inputs = make("stride_2_odd", rng)
    weights, exact = read(layer), inputs.astype("float64")
    cotangent = rng.normal(size=layer.compute_output_shape(inputs.shape))
    _, by_input, by_weight = gradients(layer, inputs, cotangent.astype("float32"))

    def value():
        return reference(layer, exact, weights)[0]

    check_gradients(value, exact, weights, cotangent, by_input, by_weight)
    assert {"height_embeddings", "width_embeddings"} <= set(by_weight)


def test_ratio_of_keys_has_a_minimum_per_head():
    """20 dimensions for each head, section 3.2; an integer is taken as it is."""
    layer = AttentionAugmentedConv2D(64, 1, key_depth=0.2, value_depth=0.25)
    assert (layer.key_depth, layer.value_depth) == (160, 16)
    layer = AttentionAugmentedConv2D(64, 1, key_depth=16, value_depth=16)
    assert layer.key_depth == 16
    layer = AttentionAugmentedConv2D(64, 1, key_depth=0.2, min_key_depth_per_head=1)
    assert layer.key_depth == 16
    layer = AttentionAugmentedConv2D(2000, 1, key_depth=0.2, value_depth=0.1)
    assert (layer.key_depth, layer.value_depth) == (400, 200)


def test_another_size_than_built_raises_and_names_both(rng):
    layer, _ = make("non_square", rng)
    with pytest.raises(ValueError, match=r"\(3, 5\).*\(5, 3\)"):
        layer(np.zeros((1, 5, 3, 3), "float32"))


def test_unknown_size_needs_no_relative_positions(rng):
    layer = AttentionAugmentedConv2D(8, 3, padding="same", **SMALL)
    with pytest.raises(ValueError, match=r"known height and width.*relative=False"):
        layer(keras.Input((None, 8, 3)))
    layer = AttentionAugmentedConv2D(8, 3, padding="same", relative=False, **SMALL)
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layer(image))
    randomize(layer, rng)
    for height, width in ((3, 5), (4, 2)):
        inputs = rng.normal(size=(2, height, width, 3)).astype("float32")
        expected, _ = reference(layer, inputs.astype("float64"), read(layer))
        outputs = model.predict_on_batch(inputs)
        np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_awconv_in_each_of_the_three_convolutions(rng):
    """The AW paper's AA variants 1 to 3: the layers are where the names say."""
    inputs = rng.normal(size=(2, 4, 4, 8)).astype("float32")
    for argument, sublayer in (
        ("conv_attention", "conv"),
        ("qkv_attention", "qkv"),
        ("output_attention", "output_conv"),
    ):
        layer = AttentionAugmentedConv2D(
            8, 3, padding="same", **SMALL, **{argument: spec("aw", reduction_ratio=2)}
        )
        kinds = {
            name: isinstance(getattr(layer, name), AWConv2D)
            for name in ("conv", "qkv", "output_conv")
        }
        assert kinds == {name: name == sublayer for name in kinds}
        assert layer(inputs).shape == (2, 4, 4, 8)
        copy = AttentionAugmentedConv2D.from_config(layer.get_config())
        copy.build(inputs.shape)
        copy.set_weights(layer.get_weights())
        np.testing.assert_allclose(copy(inputs), layer(inputs), atol=1e-6)


def test_channels_first_is_channels_last_transposed(rng):
    need_channels_first()
    inputs = rng.normal(size=(2, 3, 5, 3)).astype("float32")
    arguments = {"filters": 8, "kernel_size": 1, "padding": "same", **SMALL}
    last = AttentionAugmentedConv2D(**arguments)
    last.build(inputs.shape)
    randomize(last, rng)
    first = AttentionAugmentedConv2D(**arguments, data_format="channels_first")
    moved = np.moveaxis(inputs, -1, 1)
    first.build(moved.shape)
    first.set_weights(last.get_weights())
    outputs = keras.ops.convert_to_numpy(first(moved))
    expected = np.moveaxis(keras.ops.convert_to_numpy(last(inputs)), -1, 1)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key_depth": 5}, "`key_depth`.*multiple of `num_heads`.*5"),
        ({"value_depth": 8}, "`value_depth` must leave.*8"),
        ({"value_depth": 0}, "`value_depth`.*at least 1.*0"),
        ({"value_depth": 1.0}, r"`value_depth`.*\(0, 1\).*1.0"),
        ({"key_depth": True}, "`key_depth`.*True"),
        ({"num_heads": 0}, "`num_heads`.*0"),
        ({"min_key_depth_per_head": 0}, "`min_key_depth_per_head`.*0"),
        ({"qkv_kernel_size": 2}, "`qkv_kernel_size` must be odd.*2"),
        ({"relative": 1}, "`relative` must be True or False.*1"),
        ({"conv_attention": "se"}, "site 'conv'.*se.*'?aa"),
        ({"padding": "valid"}, "maps of one.*size.*'valid'"),
        ({"filters": 160, "conv_attention": "aa"}, "`conv_attention`.*Conv2D.*aa"),
        (
            {"filters": 32, "groups": 32, "value_depth": 4, "kernel_size": 1},
            "`value_depth`.*`groups`.*groups=32.*multiple of 32",
        ),
    ],
)
def test_wrong_arguments(arguments, message):
    arguments = {
        "filters": 8,
        "kernel_size": 3,
        "padding": "same",
        **SMALL,
        **arguments,
    }
    with pytest.raises(ValueError, match=message):
        AttentionAugmentedConv2D(**arguments).build((None, 4, 4, 3))


def test_spec_accepts_maps_up_to_its_limit():
    assert AA().accepts(32, 32)
    assert not AA().accepts(33, 32)
    assert AA(max_positions=None).accepts(224, 224)
    assert [AA().at(i, 2) for i in (0, 1)] == [AA(), None]
