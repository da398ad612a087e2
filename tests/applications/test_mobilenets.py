"""MobileNet V1 to V3 against Keras' own, published counts, and where V3's SE stands."""

import inspect

import keras
import numpy as np
import pytest

from keras_attention import applications, complexity, spec
from keras_attention.applications import (
    MobileNet,
    MobileNetV2,
    MobileNetV3Large,
    MobileNetV3Small,
)
from keras_attention.applications.mobilenet_v3 import LARGE
from keras_attention.blocks import NetworkStyle, inverted_residual_block
from keras_attention.layers import (
    BAM,
    CBAM,
    SE,
    AWConv2D,
    CBAMSpec,
    SqueezeExcitation,
)
from keras_attention.plan import Sites

# torchvision's parameters and 10⁹ multiply-adds (`_ops`), and the papers' 10⁶.
PUBLISHED = {
    "mobilenetv2": (3_504_872, "0.301", 300),
    "mobilenetv3large": (5_483_032, "0.217", 219),
    "mobilenetv3small": (2_542_856, "0.057", 56),
}
V3 = (MobileNetV3Large, MobileNetV3Small)


@pytest.fixture
def shapes_only():
    """Networks without values, for tests of structure: quick to build."""
    with keras.StatelessScope(initialize_variables=False):
        yield


def named(model, kind):
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.usefixtures("shapes_only")
def test_published_parameters_and_multiply_adds(name):
    """Convolutions and fully connected layers, SE's and the classifier's too.

    The papers do not say how they count, and print up to 1.2% more or less.
    """
    parameters, billions, millions = PUBLISHED[name]
    model = applications.build(name)
    assert trainable(model) == parameters
    counted = complexity(model).multiply_adds
    assert f"{counted / 1e9:.3f}" == billions
    assert abs(counted / 1e6 / millions - 1) < 0.012


def theirs(network, **options):
    """Keras' network of that name, without its rescaling."""
    make = getattr(keras.applications, network.__name__)
    if "include_preprocessing" in inspect.signature(make).parameters:
        options["include_preprocessing"] = False
    return make(weights=None, **options)


@pytest.mark.parametrize("alpha", [0.35, 0.75, 1.4])
@pytest.mark.usefixtures("shapes_only")
class TestAlpha:
    def test_parameters_of_v2(self, alpha):
        ours = trainable(MobileNetV2(alpha=alpha))
        assert ours == trainable(theirs(MobileNetV2, alpha=alpha))

    @pytest.mark.parametrize("network", V3)
    def test_parameters_of_v3(self, network, alpha):
        """Keras' stem has 16 filters at any alpha; ours is thinned with the rest.

        A filter more costs 3·9 weights there, the first block's depthwise 9, its share
        of the projection, two norms of 2, and in Small the SE's two matrices and bias.
        """
        ours = network(alpha=alpha)
        stem = ours.get_layer("stem_conv").filters
        each = 27 + 9 + ours.get_layer("stage1_block1_project").filters + 2 * 2
        if network is MobileNetV3Small:
            each += 2 * ours.get_layer("stage1_block1_se").reduce.units + 1
        expected = trainable(theirs(network, alpha=alpha)) + (stem - 16) * each
        assert trainable(ours) == expected
        assert stem == {0.35: 8, 0.75: 16, 1.4: 24}[alpha]


def carry(source, target, flip):
    """Sets `target`'s weights to `source`'s, in order; `flip` turns kernels around."""
    for ours, other in zip(target.weights, source.weights, strict=True):
        value = keras.ops.convert_to_numpy(other)
        if flip and value.ndim == 4:
            value = value[::-1, ::-1]
        # SE and the head are 1×1 convolutions there.
        assert value.size == np.prod(ours.shape)
        assert [n for n in value.shape if n > 1] == [n for n in ours.shape if n > 1]
        ours.assign(value.reshape(ours.shape))


def fill(model, rng):
    """Random values for every weight; small biases, or the image would not count."""
    for weight in model.weights:
        shape = weight.shape
        if weight.name in ("gamma", "moving_variance"):
            value = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            value = rng.normal(0, 0.1, shape)
        else:
            depthwise = len(shape) == 4 and shape[-1] == 1
            added = np.prod(shape[:2] if depthwise else shape[:-1])
            value = rng.normal(0, (2 / added) ** 0.5, shape)
        weight.assign(value)


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (MobileNet, 32),
        (MobileNetV2, 33),
        (MobileNetV3Large, 33),
        (MobileNetV3Small, 32),
    ],
)
def test_outputs_of_kerass_network(network, size, rng):
    """With its weights. At stride 2 it pads otherwise, but for two kinds of images.

    Of 33×33 every strided layer sees an odd size, where Keras' padding is symmetric
    too (V1's never is). Of 32×32 every one sees an even size, and Keras' padding is one
    less before the image: the same function of images and kernels turned around.
    """
    other = theirs(network, input_shape=(size, size, 3), classifier_activation=None)
    fill(other, rng)
    model = network((size, size, 3), classifier_activation=None)
    flip = size % 2 == 0
    carry(other, model, flip)
    if network not in V3:  # V3's ε is Keras'
        for layer in other.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.epsilon = 1e-5
    images = rng.normal(size=(2, size, size, 3)).astype("float32")
    turned = images[:, ::-1, ::-1] if flip else images
    expected = other.predict_on_batch(turned)
    outputs = model.predict_on_batch(images)
    scale = np.abs(expected).max()
    assert np.abs(outputs - expected).max() < 1e-4 * scale
    # Nothing could differ if the image did not reach the classifier.
    assert np.abs(expected[0] - expected[1]).max() > 0.1 * scale


SE_OF_LARGE = [
    *("stage3_block1", "stage3_block2", "stage3_block3"),
    *("stage4_block5", "stage4_block6"),
    *("stage5_block1", "stage5_block2", "stage5_block3"),
]
BLOCKS_OF_LARGE = [
    f"stage{s}_block{b}"
    for s, depth in enumerate((1, 2, 3, 6, 3), 1)
    for b in range(1, depth + 1)
]


def at(blocks, part):
    return [f"{block}_{part}" for block in blocks]


def large(**options):
    return MobileNetV3Large(**{"input_shape": (32, 32, 3), "classes": 3, **options})


@pytest.mark.usefixtures("shapes_only")
class TestOwnSE:
    @pytest.mark.parametrize("attention", [None, "aw_bam"])
    @pytest.mark.parametrize("se", ["replace", "join"])
    def test_it_stays_where_no_block_site_is_asked_for(self, se, attention):
        model = large(se=se, attention=attention)
        assert named(model, SqueezeExcitation) == at(SE_OF_LARGE, "se")
        if attention is not None:
            between = at(("stage1", "stage2", "stage3", "stage4"), "attention")
            assert named(model, BAM) == between
            assert named(model, AWConv2D) == at(BLOCKS_OF_LARGE, "project")

    def test_of_small(self):
        blocks = [
            "stage1_block1",
            *(f"stage3_block{b}" for b in range(1, 6)),
            *(f"stage4_block{b}" for b in range(1, 4)),
        ]
        model = MobileNetV3Small()
        assert named(model, SqueezeExcitation) == at(blocks, "se")

    def test_replaced_for_the_whole_network(self):
        model = large(attention="cbam")
        assert named(model, CBAM) == at(SE_OF_LARGE, "attention")
        assert named(model, SqueezeExcitation) == []

    def test_replaced_by_another_se(self):
        model = large(attention=SE(reduction_ratio=8))
        assert named(model, SqueezeExcitation) == at(SE_OF_LARGE, "attention")

    @pytest.mark.parametrize("form", ["dict", "list"])
    def test_replaced_by_block(self, form):
        """In its own block only, and a block without SE takes one, too."""
        attention = {"stage2_block1": "cbam", "stage3_block2": "aw_cbam"}
        if form == "list":
            attention = [attention.get(block) for block in BLOCKS_OF_LARGE]
        model = large(attention=attention)
        assert named(model, CBAM) == at(("stage2_block1", "stage3_block2"), "attention")
        left = [block for block in SE_OF_LARGE if block != "stage3_block2"]
        assert named(model, SqueezeExcitation) == at(left, "se")
        assert named(model, AWConv2D) == ["stage3_block2_project"]

    def test_joined_for_the_whole_network(self):
        model = large(attention="cbam", se="join")
        assert named(model, CBAM) == at(BLOCKS_OF_LARGE, "attention")
        assert named(model, SqueezeExcitation) == at(SE_OF_LARGE, "se")
        behind = model.get_layer("stage3_block1_attention")
        assert behind.input is model.get_layer("stage3_block1_se").output

    def test_joined_by_block(self):
        model = large(attention={"stage[23]_block1": "cbam"}, se="join")
        assert named(model, CBAM) == at(("stage2_block1", "stage3_block1"), "attention")
        assert named(model, SqueezeExcitation) == at(SE_OF_LARGE, "se")

    def test_removed(self):
        assert named(large(se="remove"), SqueezeExcitation) == []
        model = large(attention="aw_cbam", se="remove")
        assert named(model, CBAM) == at(BLOCKS_OF_LARGE, "attention")
        assert named(model, AWConv2D) == at(BLOCKS_OF_LARGE, "project")
        assert named(model, SqueezeExcitation) == []
        model = large(attention={"stage3_block2": "cbam"}, se="remove")
        assert named(model, CBAM) == ["stage3_block2_attention"]
        assert named(model, SqueezeExcitation) == []

    def test_is_the_authors(self):
        own = large().get_layer("stage3_block1_se")
        assert (own.reduction_ratio, own.gate, own.hidden_divisor) == (
            *(4, "hard_sigmoid"),
            8,
        )
        assert own.reduce.units == 24  # 72 / 4 = 18, and 16 is more than 10% less


@pytest.mark.parametrize("name", ["aa", "aw", "cbam", "bam"])
@pytest.mark.usefixtures("shapes_only")
def test_where_attention_stands_in_mobilenet_v2(name):
    blocks = [
        f"stage{s}_block{b}"
        for s, depth in enumerate((1, 2, 3, 7, 4), 1)
        for b in range(1, depth + 1)
    ]
    expected = {
        "conv": at(blocks, "project"),
        "block": at(blocks, "attention"),
        "stage": at(("stage1", "stage2", "stage3", "stage4"), "attention"),
    }
    model = MobileNetV2((32, 32, 3), attention=name)
    assert named(model, spec(name).layer) == expected[spec(name).site]


@pytest.mark.usefixtures("shapes_only")
class TestOutputs:
    @pytest.mark.parametrize(
        ("network", "widths"),
        [
            (MobileNetV2, {1: 16, 2: 24, 3: 32, 4: 96, 5: 320}),
            (MobileNetV3Large, {1: 16, 2: 24, 3: 40, 4: 112, 5: 160}),
            (MobileNetV3Small, {2: 16, 3: 24, 4: 48, 5: 96}),
        ],
    )
    def test_pyramid(self, network, widths):
        pyramid = network((64, 96, 3), pyramid=True, attention="se_bam").output
        assert {level: x.shape[1:] for level, x in pyramid.items()} == {
            f"P{n}": (64 >> n, 96 >> n, width) for n, width in widths.items()
        }

    @pytest.mark.parametrize(
        ("network", "alpha", "channels"),
        [
            (MobileNetV2, 0.5, 1280),
            (MobileNetV2, 1.4, 1792),
            (MobileNetV3Large, 1, 960),
            (MobileNetV3Large, 0.75, 720),
            (MobileNetV3Small, 1, 576),
        ],
    )
    def test_without_top(self, network, alpha, channels):
        shape = (64, 64, 3)
        model = network(shape, alpha, include_top=False)
        assert model.output_shape == (None, 2, 2, channels)
        model = network(shape, alpha, include_top=False, pooling="max")
        assert model.output_shape == (None, channels)
        assert not named(model, keras.layers.Dense)

    @pytest.mark.parametrize("network", [MobileNetV2, *V3])
    def test_unknown_size_and_channels_first(self, network):
        model = network((None, None, 1), classes=3, attention="aw_se")
        assert model.output_shape == (None, 3)
        model = network(
            (3, 64, 64),
            include_top=False,
            attention="aw_se",
            data_format="channels_first",
        )
        assert model.output_shape[2:] == (2, 2)

    def test_the_head_of_v3(self):
        """Pool, fully connected with bias, hard swish, dropout, classifier."""
        layers = MobileNetV3Large(alpha=1.25, dropout=0.3).layers[-5:]
        assert [layer.name for layer in layers] == [
            *("avg_pool", "head_dense", "head_dense_hard_swish"),
            *("head_dropout", "predictions"),
        ]
        assert layers[1].units == 1600  # grows with alpha above 1
        assert layers[1].use_bias
        assert layers[3].rate == 0.3
        assert MobileNetV3Small(alpha=0.5).get_layer("head_dense").units == 1024
        assert "head_dropout" not in [x.name for x in MobileNetV2(dropout=0).layers]

    def test_names(self):
        assert applications.build("mobilenetv2-0.5").name == "mobilenetv2-0.5"
        model = applications.build("mobilenetv3small-0.75", attention="cbam")
        assert model.name == "mobilenetv3small-0.75"
        assert named(model, CBAM)
        assert MobileNetV3Large().name == "mobilenetv3large-1.0"
        assert MobileNetV3Large(name="mine").name == "mine"


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (MobileNetV2, {"alpha": 0}, "`alpha`.*0"),
        (MobileNetV3Small, {"alpha": "1"}, "`alpha`.*'1'"),
        (MobileNetV3Large, {"se": "keep"}, "se: .*'keep'.*'join', 'remove', 'replace'"),
        (MobileNetV3Large, {"se": None}, "se: .*None.*'replace'"),
        (MobileNetV2, {"attention": "sse"}, "Unknown attention.*'sse'.*'se'"),
        (MobileNetV3Small, {"attention": "sse"}, "Unknown attention.*'sse'.*'se'"),
        (MobileNetV3Large, {"attention": ["se"] * 11}, "11 entries.*15 blocks"),
        (MobileNetV2, {"attention": {"stem": "se"}}, "block.*'stem'.*'stage1_block1'"),
        (MobileNetV2, {"se": "join"}, "argument of MobileNetV2.*'se'"),
        (MobileNetV3Large, {"aplha": 1}, "argument of MobileNetV3Large.*'alpha'"),
        (
            MobileNetV2,
            {"weights": "imagenet", "alpha": 0.35},
            "no published ImageNet weights",
        ),
    ],
)
@pytest.mark.usefixtures("shapes_only")
def test_wrong_arguments(network, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(**arguments)


def test_file_round_trip(rng, tmp_path):
    """Outputs of a block as V3's, with an attention behind the SE."""
    image = keras.Input((5, 5, 8))
    style = NetworkStyle(activation="hard_swish", norm_epsilon=1e-3)
    own = LARGE[3][4].own
    sites = Sites(block=CBAMSpec(2))
    x = inverted_residual_block(image, style, 8, 1, sites, "b", expanded=16, own=own)
    model = keras.Model(image, x)
    fill(model, rng)
    images = rng.normal(size=(2, 5, 5, 8)).astype("float32")
    outputs = model.predict_on_batch(images)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(copy.predict_on_batch(images), outputs, atol=1e-5)
