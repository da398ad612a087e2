"""Blocks: the shortcut without parameters, and what stands at each site in order."""

import keras
import numpy as np
import pytest

from keras_attention.blocks import (
    BLOCKS,
    NetworkStyle,
    ZeroPadShortcut,
    depthwise_separable_block,
    inverted_residual_block,
)
from keras_attention.blocks.residual import BlockOptions
from keras_attention.layers import (
    AA,
    AW,
    SE,
    AWConv2D,
    CBAMSpec,
    SqueezeExcitation,
)
from keras_attention.plan import Sites


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 1)])
def test_zero_pad_shortcut(size, strides, rng):
    inputs = rng.normal(size=(2, *size, 3)).astype("float32")
    layer = ZeroPadShortcut(5, strides)
    outputs = keras.ops.convert_to_numpy(layer(inputs))
    picked = inputs[:, ::strides, ::strides]
    expected = np.concatenate([picked, np.zeros((*picked.shape[:3], 2))], -1)
    np.testing.assert_array_equal(outputs, expected)
    assert layer.compute_output_shape(inputs.shape) == outputs.shape
    first = ZeroPadShortcut(5, strides, "channels_first")(np.moveaxis(inputs, -1, 1))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(first), np.moveaxis(expected, -1, 1)
    )


def test_zero_pad_shortcut_cannot_drop_channels():
    with pytest.raises(ValueError, match=r"cannot drop channels: 8 to 5.*projection"):
        ZeroPadShortcut(5).build((None, 4, 4, 8))


def block_model(block, sites, strides=1, width=4, channels=4, **options):
    image = keras.Input((8, 8, channels))
    outputs = BLOCKS[block](
        image, NetworkStyle(), width, strides, sites, "b", BlockOptions(**options)
    )
    return keras.Model(image, outputs)


ORDER = {
    "basic": ["conv1", "norm1", "relu1", "conv2", "norm2", "attention", "add", "out"],
    "bottleneck": [
        *("conv1", "norm1", "relu1", "conv2", "norm2", "relu2"),
        *("conv3", "norm3", "attention", "add", "out"),
    ],
    "preactivation": [
        "norm1",
        "relu1",
        "conv1",
        "norm2",
        "relu2",
        "conv2",
        "attention",
        "add",
    ],
}


@pytest.mark.parametrize("block", ORDER)
def test_order_of_layers(block):
    """The block-site attention is after the last norm and before the addition."""
    channels = 16 if block == "bottleneck" else 4
    model = block_model(block, Sites(block=SE(2)), channels=channels)
    names = [layer.name.removeprefix("b_") for layer in model.layers[1:]]
    assert names == ORDER[block]
    attention = model.get_layer("b_attention")
    assert isinstance(attention, SqueezeExcitation)
    add = model.get_layer("b_add")
    assert add.input[0] is attention.output
    assert add.input[1] is model.input


@pytest.mark.parametrize(
    ("block", "expansion"), [("basic", 1), ("preactivation", 1), ("bottleneck", 4)]
)
@pytest.mark.parametrize("strides", [1, 2])
def test_output_shape_and_projection(block, expansion, strides):
    model = block_model(block, Sites(), strides, width=8)
    assert model.output_shape == (None, 8 // strides, 8 // strides, 8 * expansion)
    names = {layer.name for layer in model.layers}
    assert "b_shortcut_conv" in names
    assert ("b_shortcut_norm" in names) == (block != "preactivation")


@pytest.mark.parametrize(
    ("stride_in_1x1", "strides"), [(False, (1, 2, 1)), (True, (2, 1, 1))]
)
def test_where_a_bottleneck_strides(stride_in_1x1, strides):
    model = block_model("bottleneck", Sites(), 2, stride_in_1x1=stride_in_1x1)
    convs = [model.get_layer(f"b_conv{i}") for i in (1, 2, 3)]
    assert tuple(conv.strides[0] for conv in convs) == strides


def test_conv_site_takes_the_spatial_convolutions_only():
    kinds = {}
    for block in ORDER:
        model = block_model(block, Sites(conv=AW(2)))
        kinds[block] = [
            layer.name for layer in model.layers if isinstance(layer, AWConv2D)
        ]
    assert kinds == {
        "basic": ["b_conv1", "b_conv2"],
        "bottleneck": ["b_conv2"],
        "preactivation": ["b_conv1", "b_conv2"],
    }


def test_a_map_too_large_raises_only_where_it_was_asked_for():
    """A whole network's attention stands where it fits; a named block's must fit."""
    small = AA(max_positions=16, num_heads=1, min_key_depth_per_head=1)
    model = block_model("basic", Sites(conv=small))
    assert type(model.get_layer("b_conv1")).__name__ == "Conv2D"
    with pytest.raises(ValueError, match=r"aa.*8×8.*'b_conv1'"):
        block_model("basic", Sites(conv=small, explicit=True))
    model = block_model("basic", Sites(conv=small, explicit=True), strides=2)
    assert isinstance(model.get_layer("b_conv1"), AA.layer)


def test_separable_block():
    image = keras.Input((8, 8, 4))
    outputs = depthwise_separable_block(
        image, NetworkStyle(), 6, 2, Sites(conv=AW(2), block=SE(2)), "b"
    )
    model = keras.Model(image, outputs)
    assert [layer.name for layer in model.layers[1:]] == [
        *("b_pad", "b_depthwise", "b_depthwise_norm", "b_depthwise_relu"),
        *("b_depthwise_attention", "b_pointwise", "b_pointwise_norm"),
        *("b_pointwise_relu", "b_pointwise_attention"),
    ]
    assert isinstance(model.get_layer("b_pointwise"), AWConv2D)
    assert model.output_shape == (None, 4, 4, 6)


INVERTED = [
    *("expand", "expand_norm", "expand_relu"),
    *("depthwise", "depthwise_norm", "depthwise_relu"),
    *("se", "attention", "project", "project_norm"),
]


@pytest.mark.parametrize(
    ("strides", "filters", "expanded", "names"),
    [
        (1, 4, 8, [*INVERTED, "add"]),
        (1, 6, 8, INVERTED),
        (2, 4, 8, [*INVERTED[:3], "pad", *INVERTED[3:]]),
        (1, 4, 4, [*INVERTED[3:], "add"]),
    ],
)
def test_inverted_residual_block(strides, filters, expanded, names):
    """The addition is where the shapes allow it, the first 1×1 where it widens."""
    image = keras.Input((8, 8, 4))
    sites = Sites(conv=AW(2), block=CBAMSpec(2))
    outputs = inverted_residual_block(
        image,
        NetworkStyle(activation="relu6"),
        filters,
        strides,
        sites,
        "b",
        expanded=expanded,
        kernel_size=5,
        own=SE(2),
    )
    model = keras.Model(image, outputs)
    assert [layer.name.removeprefix("b_") for layer in model.layers[1:]] == names
    assert isinstance(model.get_layer("b_project"), AWConv2D)
    assert model.get_layer("b_depthwise").kernel_size == (5, 5)
    assert model.output_shape == (None, 8 // strides, 8 // strides, filters)
    if "add" in names:
        assert model.get_layer("b_add").input[0] is image


def test_norms_and_names_of_a_style():
    style = NetworkStyle(activation="hard_swish", norm_momentum=0.7, norm_epsilon=0.1)
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, style.norm_activate(image, "b"))
    norm, activation = model.layers[1:]
    assert (norm.name, activation.name) == ("b_norm", "b_hard_swish")
    assert (norm.momentum, norm.epsilon) == (0.7, 0.1)
