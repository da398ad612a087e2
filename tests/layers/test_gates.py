"""SE, ECA, CBAM, MVAM and BAM against NumPy, over their options."""

import keras
import numpy as np
import pytest
from references import attentions
from references.autodiff import check_gradients, gradients
from references.numpy_nn import hard_sigmoid
from references.weights import randomize, read

from keras_attention import spec
from keras_attention.attention import as_spec
from keras_attention.layers import (
    BAM,
    CBAM,
    MVAM,
    SE,
    ChannelAttention,
    EfficientChannelAttention,
    SpatialAttention,
    SqueezeExcitation,
)
from keras_attention.layers.checks import hidden_units


def prepare(layer, rng, shape=(2, 5, 6, 8)):
    inputs = rng.normal(size=shape).astype("float32")
    layer.build(inputs.shape)
    randomize(layer, rng)
    return inputs, inputs.astype("float64"), read(layer)


def close(outputs, expected):
    outputs = keras.ops.convert_to_numpy(outputs)
    np.testing.assert_allclose(outputs, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("ratio", [1, 3, 8])
def test_squeeze_excitation(ratio, use_bias, rng):
    layer = SqueezeExcitation(ratio, use_bias)
    inputs, exact, weights = prepare(layer, rng)
    assert weights["reduce"]["kernel"].shape == (8, 8 // ratio)
    close(layer(inputs), exact * attentions.squeeze_excitation(exact, weights))


def test_squeeze_excitation_of_mobilenet_v3(rng):
    """relu6(x + 3) / 6 of logits on both sides of ±3; 9 hidden units for 18 / 2."""
    layer = SqueezeExcitation(2, gate="hard_sigmoid", hidden_divisor=3)
    inputs, exact, weights = prepare(layer, rng, (4, 3, 3, 18))
    layer.expand.kernel.assign(8 * weights["expand"]["kernel"])
    weights["expand"]["kernel"] *= 8
    expected = attentions.squeeze_excitation(exact, weights, hard_sigmoid)
    assert expected.min() == 0
    assert expected.max() == 1
    assert ((expected > 0) & (expected < 1)).any()
    close(layer(inputs), exact * expected)


@pytest.mark.parametrize(
    ("channels", "hidden"),
    [
        (16, 8),
        (72, 24),
        (96, 24),
        (120, 32),
        (144, 40),
        (240, 64),
        (288, 72),
        (480, 120),
        (576, 144),
        (672, 168),
        (960, 240),
    ],
)
def test_hidden_widths_of_mobilenet_v3(channels, hidden):
    """torchvision's, of its MobileNetV3-Large and -Small."""
    layer = SqueezeExcitation(4, hidden_divisor=8)
    with keras.StatelessScope(initialize_variables=False):
        layer.build((None, 4, 4, channels))
    assert layer.reduce.kernel.shape == (channels, hidden)


@pytest.mark.parametrize("divisor", [2, 8, 10])
@pytest.mark.parametrize("ratio", [3, 4, 100])
def test_hidden_width_is_the_nearest_multiple_that_is_large_enough(ratio, divisor):
    for channels in range(1, 999):
        asked = channels / ratio
        enough = [n for n in range(divisor, 400, divisor) if n >= 0.9 * asked]
        nearest = min(enough, key=lambda n: (abs(n - asked), -n))
        assert hidden_units(channels, ratio, divisor) == nearest


@pytest.mark.parametrize("name", ["se", "channel"])
def test_files_from_before_the_gate_and_the_divisor(name):
    old = {"name": name, "reduction_ratio": 4, "use_bias": False}
    found = as_spec(old, "block")
    assert (found.gate, found.hidden_divisor) == ("sigmoid", 1)
    config = found.make().get_config()
    del config["gate"], config["hidden_divisor"]
    layer = found.layer.from_config(config)
    assert layer.get_config() == {**config, "gate": "sigmoid", "hidden_divisor": 1}


def test_config_of_mobilenet_v3s_squeeze_excitation(rng):
    layer = SE(4, gate="hard_sigmoid", hidden_divisor=8).make()
    inputs, _, _ = prepare(layer, rng)
    copy = SqueezeExcitation.from_config(layer.get_config())
    copy.build(inputs.shape)
    copy.set_weights(layer.get_weights())
    assert (copy.gate, copy.hidden_divisor) == ("hard_sigmoid", 8)
    close(copy(inputs), keras.ops.convert_to_numpy(layer(inputs)))


@pytest.mark.parametrize("kernel_size", [None, 1, 5, 9])
def test_efficient_channel_attention(kernel_size, rng):
    """Kernel 9 reaches beyond both ends of the 8 channels."""
    layer = EfficientChannelAttention(kernel_size)
    inputs, exact, weights = prepare(layer, rng)
    close(layer(inputs), exact * attentions.efficient_channel_attention(exact, weights))


@pytest.mark.parametrize(
    ("channels", "size"),
    [
        (1, 3),
        (3, 3),
        (16, 3),
        (64, 3),
        (128, 5),
        (256, 5),
        (512, 5),
        (1024, 5),
        (2048, 7),
    ],
)
def test_adaptive_kernel_size_of_eca(channels, size):
    """The authors' code: t = int(|log₂(C) + 1| / 2), one more where even; timm's ≥ 3.

    The numbers are theirs for ResNet's widths (128 → 4 → 5, 2048 → 6 → 7).
    """
    layer = EfficientChannelAttention()
    layer.build((None, 4, 4, channels))
    assert layer.conv.kernel_size == (size,)


@pytest.mark.parametrize(
    "pooling",
    [("avg", "max"), ("avg",), ("max",), ("avg", "var"), ("biased_var", "max")],
)
@pytest.mark.parametrize("use_bias", [True, False])
def test_channel_attention(pooling, use_bias, rng):
    layer = ChannelAttention(2, pooling, use_bias)
    inputs, exact, weights = prepare(layer, rng)
    close(layer(inputs), exact * attentions.channel_attention(exact, weights, pooling))


@pytest.mark.parametrize("pooling", [("max", "avg"), ("avg", "max"), ("avg", "var")])
@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_spatial_attention(kernel_size, pooling, rng):
    layer = SpatialAttention(kernel_size, pooling)
    inputs, exact, weights = prepare(layer, rng)
    expected = exact * attentions.spatial_attention(exact, weights, pooling)
    close(layer(inputs), expected)


def test_the_spatial_part_pools_max_before_mean_by_default(rng):
    """Alone as inside CBAM, which passes its own; the authors' weights need it."""
    for layer in (SpatialAttention(), spec("spatial").make()):
        inputs, exact, weights = prepare(layer, rng)
        gate = attentions.spatial_attention(exact, weights, ("max", "avg"))
        close(layer.attention_map(inputs), gate)


@pytest.mark.parametrize(
    "order", ["channel_spatial", "spatial_channel", "parallel", "sum"]
)
@pytest.mark.parametrize(
    ("channel_pooling", "spatial_pooling", "kernel_size"),
    [
        (("avg", "max"), ("max", "avg"), 7),
        (("avg",), ("max", "avg"), 3),
        (("avg", "biased_var"), ("var",), 3),
    ],
)
def test_cbam(order, channel_pooling, spatial_pooling, kernel_size, rng):
    layer = CBAM(2, order, channel_pooling, spatial_pooling, kernel_size)
    inputs, exact, weights = prepare(layer, rng)
    expected = attentions.cbam(exact, weights, order, channel_pooling, spatial_pooling)
    close(layer(inputs), expected)
    gate = keras.ops.convert_to_numpy(layer.attention_map(inputs))
    close(exact * (1 + gate if order == "sum" else gate), expected)


@pytest.mark.parametrize(
    "layer", [SpatialAttention(3, use_norm=False), CBAM(2, spatial_norm=False)]
)
def test_spatial_attention_without_its_norm(layer, rng):
    """The reference has none where the weights have none."""
    inputs, exact, weights = prepare(layer, rng)
    part = (
        weights if isinstance(layer, SpatialAttention) else weights["spatial_attention"]
    )
    assert set(part) == {"conv"}
    if isinstance(layer, SpatialAttention):
        expected = exact * attentions.spatial_attention(exact, weights)
    else:
        expected = attentions.cbam(
            exact, weights, layer.order, ("avg", "max"), ("max", "avg")
        )
    close(layer(inputs), expected)


@pytest.mark.parametrize(
    "order", ["channel_spatial", "spatial_channel", "parallel", "sum"]
)
@pytest.mark.parametrize("unbiased", [True, False])
def test_mvam(order, unbiased, rng):
    layer = MVAM(2, order, 3, unbiased)
    inputs, exact, weights = prepare(layer, rng, (2, 3, 2, 4))
    pooling = ("avg", "var" if unbiased else "biased_var")
    close(layer(inputs), attentions.cbam(exact, weights, order, pooling, pooling))


@pytest.mark.parametrize("order", ["channel_spatial", "parallel", "sum"])
@pytest.mark.parametrize("shape", [(2, 1, 1, 4), (2, 3, 3, 1), (2, 1, 1, 1)])
def test_mvam_of_one_value_has_variance_zero(order, shape, rng):
    """n − 1 = 0 there: no NaN in the output, nor in the gradient."""
    layer = MVAM(1, order, 3)
    inputs, exact, weights = prepare(layer, rng, shape)
    cotangent = rng.normal(size=shape)
    outputs, by_input, by_weight = gradients(layer, inputs, cotangent.astype("float32"))

    def value():
        return attentions.cbam(exact, weights, order, ("avg", "var"), ("avg", "var"))

    close(outputs, value())
    check_gradients(value, exact, weights, cotangent, by_input, by_weight)


@pytest.mark.parametrize("dilation_rate", [1, 2, 4])
def test_bam(dilation_rate, rng):
    """y = x + x ⊙ σ(Mc + Ms); the map is the sigmoid alone."""
    layer = BAM(2, dilation_rate)
    inputs, exact, weights = prepare(layer, rng)
    gate = attentions.bam(exact, weights, dilation_rate)
    close(layer.attention_map(inputs), gate)
    close(layer(inputs), exact * (1 + gate))


def test_published_size_of_bam():
    """The authors' BAM after ResNet50's stages 1 to 3, trainable parameters."""
    counts = []
    for channels in (256, 512, 1024):
        layer = BAM()
        layer.build((None, 7, 7, channels))
        counts.append(sum(int(np.prod(w.shape)) for w in layer.trainable_weights))
    assert counts == [17361, 68513, 272193]


LAYERS = {
    "se": SqueezeExcitation,
    "eca": EfficientChannelAttention,
    "channel": ChannelAttention,
    "spatial": SpatialAttention,
    "cbam": CBAM,
    "mvam": MVAM,
    "bam": BAM,
}
WITH_RATIO = [name for name in LAYERS if name not in ("eca", "spatial")]


@pytest.mark.parametrize("name", WITH_RATIO)
@pytest.mark.parametrize("ratio", [0, -1, 2.0, "16", None, True])
def test_reduction_ratio_must_be_a_positive_integer(name, ratio):
    with pytest.raises(ValueError, match=f"`reduction_ratio`.*at least 1.*{ratio}"):
        LAYERS[name](reduction_ratio=ratio)


@pytest.mark.parametrize("name", WITH_RATIO)
def test_reduction_ratio_above_the_channels(name):
    with pytest.raises(ValueError, match=r"`reduction_ratio`.*16 for 8.*at most 8"):
        LAYERS[name]().build((None, 4, 4, 8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CBAM(order="both"), "order.*'both'.*'channel_spatial'"),
        (lambda: CBAM(channel_pooling="avg"), "`channel_pooling`.*'avg'"),
        (lambda: CBAM(channel_pooling=()), "pooling.*at least one.*'avg'"),
        (lambda: CBAM(channel_pooling=("avg", "avg")), "twice.*'avg'"),
        (lambda: SpatialAttention(pooling=("mean",)), "pooling.*'mean'.*'avg'"),
        (lambda: CBAM(spatial_kernel_size=4), "`spatial_kernel_size`.*odd.*4"),
        (lambda: SpatialAttention(kernel_size=7.0), "`kernel_size`.*7.0"),
        (lambda: EfficientChannelAttention(4), "`kernel_size`.*odd.*4"),
        (lambda: EfficientChannelAttention(0), "`kernel_size`.*at least 1.*0"),
        (lambda: MVAM(unbiased=1), "`unbiased`.*True or False.*1"),
        (lambda: SqueezeExcitation(use_bias="no"), "`use_bias`.*'no'"),
        (lambda: SqueezeExcitation(gate="tanh"), "gate.*'tanh'.*'hard_sigmoid', 'sig"),
        (
            lambda: SqueezeExcitation(hidden_divisor=0),
            "`hidden_divisor`.*at least 1.*0",
        ),
        (lambda: BAM(dilation_rate=0), "`dilation_rate`.*0"),
        (lambda: SqueezeExcitation(data_format="NHWC"), "`data_format`.*'NHWC'"),
    ],
)
def test_wrong_arguments_name_themselves_and_the_choices(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_that_are_no_images(name):
    for shape in ((None, 4, 4), (None, 4, 4, None), (None, 8)):
        with pytest.raises(ValueError, match="4-D images with a known number"):
            LAYERS[name]().build(shape)
