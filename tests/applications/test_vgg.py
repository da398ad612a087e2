"""VGG-16: its sites, pyramid, pools and dense layers, by closed forms."""

import keras
import numpy as np
import pytest
from references.autodiff import run
from references.weights import randomize

from keras_attention.applications import VGG16
from keras_attention.layers import BAM, AWConv2D, SqueezeExcitation

DEPTHS = (2, 2, 3, 3, 3)
BLOCKS = [
    f"stage{s}_block{b}" for s, n in enumerate(DEPTHS, 1) for b in range(1, 1 + n)
]


@pytest.fixture
def shapes_only():
    with keras.StatelessScope(initialize_variables=False):
        yield


def named(model, kind):
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


def before(model, name):
    """The layer whose output the named one takes."""
    return model.get_layer(name).input._keras_history.operation.name


@pytest.mark.usefixtures("shapes_only")
class TestSites:
    def test_every_convolution_is_one(self):
        model = VGG16(attention="aw_se_bam", input_shape=(64, 64, 3), units=8)
        assert named(model, AWConv2D) == [f"{block}_conv" for block in BLOCKS]
        assert named(model, SqueezeExcitation) == [f"{b}_attention" for b in BLOCKS]
        assert named(model, BAM) == [f"stage{s}_attention" for s in (1, 2, 3, 4)]

    def test_order_within_a_stage(self):
        model = VGG16(attention="se_bam", include_top=False)
        assert before(model, "stage3_block2_attention") == "stage3_block2_relu"
        assert before(model, "stage3_block2_relu") == "stage3_block2_conv"
        assert before(model, "stage3_attention") == "stage3_block3_attention"
        assert before(model, "stage3_pool") == "stage3_attention"
        assert before(model, "stage4_block1_conv") == "stage3_pool"

    def test_by_block(self):
        model = VGG16(attention={"stage2_*": "se"}, include_top=False)
        assert named(model, SqueezeExcitation) == [
            "stage2_block1_attention",
            "stage2_block2_attention",
        ]


@pytest.mark.usefixtures("shapes_only")
def test_pyramid_has_the_stages_before_their_pools():
    model = VGG16(pyramid=True, attention="bam", input_shape=(300, 300, 3))
    assert {k: tuple(v.shape[1:]) for k, v in model.output.items()} == {
        "P0": (300, 300, 64),
        "P1": (150, 150, 128),
        "P2": (75, 75, 256),
        "P3": (38, 38, 512),
        "P4": (19, 19, 512),
        "P5": (10, 10, 512),
    }
    owners = {k: v._keras_history.operation.name for k, v in model.output.items()}
    assert owners["P3"] == "stage4_attention"  # conv4_3, and the stage's attention
    assert owners["P4"] == "stage5_block3_relu"
    assert owners["P5"] == "stage5_pool"


def test_an_odd_row_is_pooled_by_itself(rng):
    """At 19 places a side the fourth pool makes 10, the last of one row or column."""
    model = VGG16(include_top=False, input_shape=(None, None, 3))
    pool = keras.Model(
        model.get_layer("stage4_pool").input, model.get_layer("stage4_pool").output
    )
    x = rng.normal(size=(1, 19, 19, 512)).astype("float32") - 5  # below the padding's 0
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    expected = padded.reshape(1, 10, 2, 10, 2, 512).max(axis=(2, 4))
    np.testing.assert_array_equal(run(pool, x), expected)


def test_dense_layers_of_the_flattened_map(rng):
    model = VGG16(units=6, classes=3, input_shape=(64, 32, 3), dropout=0.5)
    layers = [model.get_layer(f"head_dense{i}") for i in (1, 2)]
    layers.append(model.get_layer("predictions"))
    for layer in layers:
        randomize(layer, rng)
    images = rng.uniform(0, 100, size=(2, 64, 32, 3)).astype("float32")
    pooled = model.get_layer("stage5_pool").output
    x, outputs = map(
        np.asarray, run(keras.Model(model.input, [pooled, model.output]), images)
    )
    assert x.shape == (2, 2, 1, 512) and x.max() > 0
    x = x.reshape(2, -1)
    for layer in layers:
        x = x @ np.asarray(layer.kernel) + np.asarray(layer.bias)
        if layer is not layers[-1]:
            x = np.maximum(x, 0)
    expected = np.exp(x - x.max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    rates = [layer.rate for layer in model.layers if hasattr(layer, "rate")]
    assert rates == [0.5, 0.5]


@pytest.mark.usefixtures("shapes_only")
def test_dropout_of_zero_is_left_out():
    model = VGG16(units=6, dropout=0, input_shape=(32, 32, 3))
    assert not named(model, keras.layers.Dropout)


@pytest.mark.usefixtures("shapes_only")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (None, None, 3)}, r"size of the images.*\(None, None\)"),
        ({"units": 0}, "units.*0"),
        ({"depth": 16}, "argument of VGG16.*'depth'"),
        ({"attention": {"stage3_block4": "se"}}, "'stage3_block4'.*'stage3_block3'"),
        ({"attention": {"stage5_*": "bam"}}, "bam has no 'stage' site"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        VGG16(**arguments)
