"""Layers and whole networks against PyTorch's outputs for PyTorch's weights."""

import keras
import numpy as np
import pytest
from references import torch_names

from keras_attention.applications import ResNet
from keras_attention.layers import (
    BAM,
    CBAM,
    EfficientChannelAttention,
    SqueezeExcitation,
)


def read(name):
    """The arrays of a golden file; skips where this checkout has none."""
    path = torch_names.GOLDEN / f"{name}.safetensors"
    if not path.exists():
        pytest.skip(f"no golden file {path.resolve()}")
    safetensors = pytest.importorskip("safetensors.numpy")
    return safetensors.load_file(path)


def channels_last(array):
    return np.moveaxis(array, 1, -1)


LAYERS = {
    "layer_se_timm": (SqueezeExcitation, torch_names.squeeze_excitation),
    "layer_eca_timm": (
        EfficientChannelAttention,
        torch_names.efficient_channel_attention,
    ),
    "layer_cbam_authors": (CBAM, torch_names.cbam),
    "layer_bam_added": (BAM, torch_names.bam),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_gives_pytorchs_output(name):
    tensors = read(name)
    make, table = LAYERS[name]
    layer = make()
    inputs = channels_last(tensors["__input__"])
    layer.build(inputs.shape)
    torch_names.load(layer, tensors, table(layer))
    outputs = keras.ops.convert_to_numpy(layer(inputs, training=False))
    expected = channels_last(tensors["__output__"])
    np.testing.assert_allclose(outputs, expected, atol=1e-4, rtol=0)
    # The file could not tell a wrong layer from a right one if nothing was gated.
    assert np.abs(expected - inputs).max() > 0.1


def golden_resnet(tensors, attention):
    depths, widths = torch_names.resnet_shape(tensors)
    model = ResNet(
        depths,
        widths,
        "bottleneck",
        classes=10,
        classifier_activation=None,
        input_shape=(64, 64, 3),
        attention=attention,
    )
    return model, torch_names.resnet(model, depths)


@pytest.mark.parametrize(
    ("name", "attention"), [("resnet_timm", None), ("seresnet_timm", "se")]
)
def test_network_gives_pytorchs_logits(name, attention):
    tensors = read(name)
    model, table = golden_resnet(tensors, attention)
    torch_names.load(model, tensors, table)
    outputs = model.predict_on_batch(channels_last(tensors["__input__"]))
    np.testing.assert_allclose(outputs, tensors["__output__"], atol=1e-4, rtol=0)
    assert np.ptp(tensors["__output__"]) > 0.1


def test_loader_refuses_what_it_cannot_place_exactly_once():
    """The goldens prove nothing if the loader drops or repeats a weight."""
    tensors = read("layer_se_timm")
    layer = SqueezeExcitation()
    layer.build((None, 9, 9, 128))
    table = torch_names.squeeze_excitation(layer)
    for wrong, use, message in (
        ({**tensors, "fc3.weight": np.zeros(1)}, table, "tensors without a use"),
        ({"fc1.bias": tensors["fc1.bias"]}, table, "names without a tensor"),
        (tensors, table + table[:1], "names used twice"),
        (
            {**tensors, "other": tensors["fc1.bias"]},
            [*table, ("other", layer.reduce.bias, np.asarray)],
            "weights set twice",
        ),
        (
            {k: v for k, v in tensors.items() if k != "fc2.bias"},
            table[:-1],
            "weights left as they were",
        ),
        (
            {**tensors, "fc1.bias": np.zeros(9, "float32")},
            table,
            "shape",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            torch_names.load(layer, wrong, use)


def test_plain_resnet_refuses_the_weights_of_a_seresnet():
    tensors = read("seresnet_timm")
    model, table = golden_resnet(tensors, None)
    with pytest.raises(ValueError, match=r"tensors without a use: \['layer1.0.se.fc1"):
        torch_names.load(model, tensors, table)
