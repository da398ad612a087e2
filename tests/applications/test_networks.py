"""Placement of attention, outputs, arguments and errors of the applications."""

import keras
import numpy as np
import pytest

import keras_attention
from keras_attention import applications
from keras_attention.applications import (
    AAWideResNet,
    CifarResNet,
    MobileNet,
    ResNet,
    ResNet18,
    ResNet50,
    ResNeXt50,
    WideResNet,
    WideResNet18,
)
from keras_attention.attention import PerConv, spec
from keras_attention.layers import (
    AA,
    AW,
    BAM,
    CBAM,
    SE,
    AttentionAugmentedConv2D,
    AWConv2D,
    SqueezeExcitation,
)


@pytest.fixture
def shapes_only():
    """Networks without values, for tests of structure: quick to build."""
    with keras.StatelessScope(initialize_variables=False):
        yield


def small(attention=None, **options):
    arguments = {
        "input_shape": (16, 16, 3),
        "classes": 3,
        "stem": "cifar",
        "stem_width": 8,
        "attention": attention,
    }
    return ResNet((1, 2), (16, 32), "basic", **{**arguments, **options})


def small_mobile(attention=None, **options):
    arguments = {"input_shape": (32, 32, 3), "alpha": 0.5, "classes": 3}
    return MobileNet(**{**arguments, "attention": attention, **options})


def named(model, kind):
    return [layer.name for layer in model.layers if isinstance(layer, kind)]


RESNET_SITES = {
    "aa": ["stage1_block1_conv1", "stage2_block1_conv1", "stage2_block2_conv1"],
    "aw": [
        f"{block}_conv{i}"
        for block in ("stage1_block1", "stage2_block1", "stage2_block2")
        for i in (1, 2)
    ],
    "bam": ["stage1_attention"],
    "block": [
        f"{block}_attention"
        for block in ("stage1_block1", "stage2_block1", "stage2_block2")
    ],
}


@pytest.mark.parametrize("name", keras_attention.names())
def test_every_attention_on_a_resnet(name, rng):
    attention = spec(name)
    model = small(name)
    expected = RESNET_SITES.get(name) or RESNET_SITES["block"]
    assert named(model, attention.layer) == expected
    outputs = model.predict_on_batch(rng.normal(size=(2, 16, 16, 3)))
    np.testing.assert_allclose(outputs.sum(-1), [1, 1], atol=1e-5)


@pytest.mark.parametrize("name", keras_attention.names())
def test_every_attention_on_a_mobilenet(name, shapes_only):
    attention = spec(name)
    model = small_mobile(name)
    blocks = [
        f"stage{s}_block{b}"
        for s, n in enumerate((1, 2, 2, 6, 2), 1)
        for b in range(1, n + 1)
    ]
    if attention.site == "conv":
        expected = [f"{block}_pointwise" for block in blocks]
    elif attention.site == "stage":
        expected = [f"stage{s}_attention" for s in (1, 2, 3, 4)]
    else:
        expected = ["stem_attention"] + [
            f"{block}_{part}_attention"
            for block in blocks
            for part in ("depthwise", "pointwise")
        ]
    assert named(model, attention.layer) == expected


@pytest.mark.usefixtures("shapes_only")
class TestPlacement:
    def test_by_name(self):
        model = small({"stage2_block1": "aw_se"})
        assert named(model, SqueezeExcitation) == ["stage2_block1_attention"]
        assert named(model, AWConv2D) == ["stage2_block1_conv1", "stage2_block1_conv2"]

    def test_an_entry_per_block(self):
        model = small([None, SE(reduction_ratio=4), "cbam"])
        assert named(model, SqueezeExcitation) == ["stage2_block1_attention"]
        assert model.get_layer("stage2_block1_attention").reduction_ratio == 4
        assert named(model, CBAM) == ["stage2_block2_attention"]

    def test_two_sites_together(self):
        model = small("aw_se_bam")
        assert (len(named(model, AWConv2D)), len(named(model, SqueezeExcitation))) == (
            6,
            3,
        )
        assert named(model, BAM) == ["stage1_attention"]

    def test_attention_augmentation_where_the_map_is_small_enough(self):
        """A whole network's AA leaves out 32×32 for a limit of 256 positions."""
        augmented = AA(num_heads=2, max_positions=256)
        model = small(augmented, input_shape=(32, 32, 3))
        assert named(model, AttentionAugmentedConv2D) == RESNET_SITES["aa"][1:]
        with pytest.raises(ValueError, match=r"32×32.*'stage1_block1_conv1'"):
            small({"stage1_block1": augmented}, input_shape=(32, 32, 3))

    def test_per_conv(self):
        model = small(PerConv((AA(num_heads=2), AW())))
        assert named(model, AttentionAugmentedConv2D) == RESNET_SITES["aa"]
        assert [n[-1] for n in named(model, AWConv2D)] == ["2", "2", "2"]

    @pytest.mark.parametrize("aw_variant", [None, 0, 1, 2, 3])
    def test_aa_wide_resnets_variants(self, aw_variant):
        model = AAWideResNet(10, 2, aw_variant, input_shape=(16, 16, 3))
        augmented = named(model, AttentionAugmentedConv2D)
        assert augmented == [f"stage{s}_block1_conv1" for s in (1, 2, 3)]
        second = [f"stage{s}_block1_conv2" for s in (1, 2, 3)]
        assert named(model, AWConv2D) == (second if aw_variant == 0 else [])
        layer = model.get_layer(augmented[0])
        parts = {1: "conv", 2: "qkv", 3: "output_conv"}
        for number, part in parts.items():
            is_aw = isinstance(getattr(layer, part), AWConv2D)
            assert is_aw == (number == aw_variant)
        assert f"aw{aw_variant}" in model.name or aw_variant is None

    def test_aa_wide_resnet_takes_a_block_attention_too(self):
        model = AAWideResNet(10, 2, attention="se", input_shape=(16, 16, 3))
        assert len(named(model, SqueezeExcitation)) == 3
        assert len(named(model, AttentionAugmentedConv2D)) == 3

    def test_spec_limits_reach_resnext(self):
        model = ResNet(
            (1,), (64,), groups=32, width_per_group=4, attention="aw",
            input_shape=(32, 32, 3),
        )  # fmt: skip
        layer = model.get_layer("stage1_block1_conv2")
        assert isinstance(layer, AWConv2D)
        assert (layer.groups, layer.filters) == (32, 128)


@pytest.mark.usefixtures("shapes_only")
class TestOutputs:
    def test_pyramid(self):
        model = ResNet18(pyramid=True, input_shape=(64, 96, 3))
        shapes = {k: tuple(v.shape) for k, v in model.output.items()}
        assert shapes == {
            "P2": (None, 16, 24, 64),
            "P3": (None, 8, 12, 128),
            "P4": (None, 4, 6, 256),
            "P5": (None, 2, 3, 512),
        }

    def test_pyramid_of_mobilenet(self):
        shapes = {k: v.shape[1:] for k, v in small_mobile(pyramid=True).output.items()}
        assert shapes == {
            "P1": (16, 16, 32),
            "P2": (8, 8, 64),
            "P3": (4, 4, 128),
            "P4": (2, 2, 256),
            "P5": (1, 1, 512),
        }

    def test_pyramid_of_a_cifar_network(self):
        model = CifarResNet(20, pyramid=True)
        strides = {k: 32 // v.shape[1] for k, v in model.output.items()}
        assert strides == {"P0": 1, "P1": 2, "P2": 4}

    @pytest.mark.parametrize(
        ("pooling", "shape"),
        [(None, (None, 8, 8, 32)), ("avg", (None, 32)), ("max", (None, 32))],
    )
    def test_without_top(self, pooling, shape):
        assert small(include_top=False, pooling=pooling).output_shape == shape
        assert (
            small(include_top=False, pooling=pooling, classes=9).output_shape == shape
        )

    @pytest.mark.parametrize("channels", [1, 5])
    def test_input_channels(self, channels):
        for model in (
            small(input_shape=(16, 16, channels)),
            small_mobile(input_shape=(32, 32, channels)),
        ):
            assert model.input_shape[-1] == channels
            assert model.output_shape == (None, 3)

    def test_unknown_size(self):
        for model in (
            small("aw_cbam_bam", input_shape=(None, None, 3)),
            small_mobile("aw_se", input_shape=(None, None, 3)),
        ):
            assert model.output_shape == (None, 3)

    def test_stems(self):
        model = ResNet18(input_shape=(64, 64, 3), include_top=False)
        assert model.output_shape == (None, 2, 2, 512)
        assert model.get_layer("stem_conv").kernel_size == (7, 7)
        model = ResNet18(input_shape=(32, 32, 3), include_top=False, stem="cifar")
        assert model.output_shape == (None, 4, 4, 512)
        assert model.get_layer("stem_conv").kernel_size == (3, 3)

    def test_stride_in_1x1(self):
        for first, strides in ((False, (1, 2)), (True, (2, 1))):
            model = ResNet((1, 1), (4, 8), stride_in_1x1=first, input_shape=(32, 32, 3))
            convs = [model.get_layer(f"stage2_block1_conv{i}") for i in (1, 2)]
            assert tuple(conv.strides[0] for conv in convs) == strides

    def test_input_tensor(self):
        image = keras.Input((16, 16, 2), name="mine")
        model = small(input_tensor=image, input_shape=None)
        assert model.input is image
        model = small(input_tensor=keras.ops.relu(image), input_shape=None)
        assert model.input is image

    def test_wide_resnet18_keeps_its_stem(self):
        model = WideResNet18(1.5, input_shape=(32, 32, 3))
        assert model.get_layer("stem_conv").filters == 64
        assert model.get_layer("stage1_block1_conv1").filters == 96
        assert model.get_layer("stage4_block1_conv1").filters == 768


def test_unknown_size_gives_the_outputs_of_the_known(rng):
    known = small("cbam")
    unknown = small("cbam", input_shape=(None, None, 3))
    unknown.set_weights(known.get_weights())
    images = rng.normal(size=(2, 16, 16, 3)).astype("float32")
    np.testing.assert_allclose(
        unknown.predict_on_batch(images), known.predict_on_batch(images), atol=1e-5
    )
    assert unknown.predict_on_batch(images[:, :9, :13]).shape == (2, 3)


def resnet(**options):
    return ResNet(
        **{"depths": (1,), "widths": (4,), "input_shape": (16, 16, 3), **options}
    )


ERRORS = [
    (resnet, {"depths": 3}, "`depths`.*3"),
    (resnet, {"depths": ()}, r"`depths`.*\(\)"),
    (resnet, {"depths": (0,)}, "depths.*at least 1.*0"),
    (resnet, {"depths": (1, 1)}, r"one length.*\(1, 1\).*\(4,\)"),
    (resnet, {"widths": (4.0,)}, "widths.*4.0"),
    (resnet, {"block": "wide"}, "block.*'wide'.*'basic'.*'bottleneck'"),
    (resnet, {"stem": "mnist"}, "stem.*'mnist'.*'cifar'.*'imagenet'"),
    (resnet, {"shortcut": "zero"}, "shortcut.*'zero'.*'pad'.*'projection'"),
    (
        resnet,
        {"pooling": "mean", "include_top": False},
        "pooling.*'mean'.*'max', 'avg'",
    ),
    (resnet, {"pooling": "avg"}, "pooling='avg' is for include_top=False"),
    (
        resnet,
        {"pooling": "avg", "include_top": False, "pyramid": True},
        "pooling='avg'.*pyramid=True",
    ),
    (resnet, {"classes": 0}, "`classes`.*0"),
    (resnet, {"classes": "10"}, "`classes`.*'10'"),
    (resnet, {"weights": "imagenet"}, "no published ImageNet weights.*weights=None"),
    (resnet, {"weights": "/nowhere.weights.h5"}, "`weights`.*path.*nowhere"),
    (resnet, {"weights": 3}, "`weights`.*3"),
    (resnet, {"input_shape": (16, 16)}, r"`input_shape`.*\(16, 16\)"),
    (resnet, {"input_shape": (16, 16, None)}, "`input_shape`.*channels known"),
    (resnet, {"input_tensor": np.zeros((1, 16, 16, 3))}, "`input_tensor`.*ndarray"),
    (resnet, {"data_format": "NCHW"}, "data_format.*'NCHW'.*'channels_first'"),
    (resnet, {"attention": "sse"}, "Unknown attention.*'sse'.*'se'"),
    (resnet, {"attention": 3}, "`attention` takes.*3"),
    (
        resnet,
        {"attention": {"stage9_block1": "se"}},
        "'stage9_block1'.*'stage1_block1'",
    ),
    (resnet, {"attention": ["se", "se"]}, "2 entries.*1 blocks"),
    (resnet, {"attention": SE(32)}, "`reduction_ratio`.*32 for 16"),
    (resnet, {"attention": SE("16")}, "`reduction_ratio`.*'16'"),
    (resnet, {"attention": SE(0)}, "`reduction_ratio`.*0"),
    (MobileNet, {"alpha": 0}, "`alpha`.*0"),
    (MobileNet, {"alpha": "1"}, "`alpha`.*'1'"),
    (MobileNet, {"depth_multiplier": 0}, "`depth_multiplier`.*0"),
    (WideResNet18, {"width": 0}, "`width`.*0"),
    (WideResNet, {"depth": 27}, r"`depth`.*6n \+ 4.*27.*\[22, 28, 34\]"),
    (WideResNet, {"depth": 10, "width": 1.5}, "`width`.*1.5"),
    (CifarResNet, {"depth": 21}, r"`depth` must be 6n \+ 2.*21.*20"),
    (CifarResNet, {"depth": 2}, r"`depth` must be 6n \+ 2.*2.*8"),
    (AAWideResNet, {"aw_variant": 4}, "aw_variant.*4.*'0'.*'3'"),
    (AAWideResNet, {"depth": 10, "attention": "aw"}, "Two attentions at one site"),
    # Two more specs than the blocks' own one: as many as WRN-10 has blocks.
    (AAWideResNet, {"depth": 10, "attention": "aw_se"}, "Two attentions at one site"),
    (AAWideResNet, {"depth": 10, "attention": {"stage1_block1": "se"}}, "all blocks"),
    (AAWideResNet, {"depth": 10, "attention": ["se", None, None]}, "all blocks"),
    (ResNet18, {"groups": 32}, "`groups` has no effect.*'basic'.*32"),
    (ResNet50, {"dropout": 0.5}, "`dropout` has no effect.*'bottleneck'.*0.5"),
    (WideResNet, {"dropout": 1.0}, r"`dropout`.*\[0, 1\).*1.0"),
    (WideResNet, {"stride_in_1x1": True}, "`stride_in_1x1` has no effect"),
    (ResNet18, {"attention": {"stage4_*": "bam"}}, "no 'stage' site.*'stage4_\\*'"),
    (ResNet18, {"attention": ["aw", "se"]}, "2 entries.*8 blocks.*'aw_se'"),
    (ResNet18, {"attention": "aa", "input_shape": (1200, 1200, 3)}, "stands nowhere"),
    (ResNet18, {"atention": "se"}, "argument of ResNet18.*'atention'.*'attention'"),
    (CifarResNet, {"atention": "se"}, "argument of CifarResNet.*'attention'"),
    (MobileNet, {"aplha": 0.5}, "argument of MobileNet.*'aplha'.*'alpha'"),
    (ResNet18, {"input_shape": 224}, "`input_shape` must be.*224"),
    (ResNeXt50, {"attention": "aa"}, "`value_depth`.*multiple of.*groups=32"),
]


@pytest.mark.parametrize(("make", "arguments", "message"), ERRORS)
@pytest.mark.usefixtures("shapes_only")
def test_wrong_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@pytest.mark.usefixtures("shapes_only")
def test_input_tensor_and_another_shape():
    image = keras.Input((16, 16, 3))
    with pytest.raises(ValueError, match="differ"):
        resnet(input_tensor=image, input_shape=(8, 8, 3))


@pytest.mark.usefixtures("shapes_only")
class TestBuild:
    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("cifarresnet-20", 269_722),
            ("CifarResNet-20", 269_722),
            ("cifarresnet", 269_722),
        ],
    )
    def test_name(self, name, parameters):
        model = applications.build(name)
        assert model.name == "cifarresnet-20"
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == parameters

    def test_every_name_builds_with_an_attention(self):
        for name in applications.names():
            if name == "aawideresnet":
                name = "aawideresnet-10-2-3"
            model = applications.build(name, attention="se", input_shape=(32, 32, 3))
            assert named(model, SqueezeExcitation)

    def test_arguments_after_hyphens(self):
        assert applications.build("wideresnet-10-2").name == "wideresnet-10-2"
        assert applications.build("mobilenet-0.25").get_layer("stem_conv").filters == 8
        model = applications.build("wideresnet18-1.5", input_shape=(32, 32, 3))
        assert model.get_layer("stage1_block1_conv1").filters == 96

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("resnet51", "model.*'resnet51'.*Choose from: 'resnet50', 'resnet18'"),
            ("resnet50-3", "'resnet50-3' does not read as 'resnet50'"),
            ("cifarresnet-20-3", "'cifarresnet-20-3'.*'cifarresnet-depth'"),
            ("cifarresnet-x", "depth must be a number.*'x'"),
            ("cifarresnet-", "depth must be a number.*''"),
            ("cifarresnet-21", r"6n \+ 2.*21"),
            ("", "model.*''.*'resnet50'"),
            (None, "model.*None.*'resnet50'"),
        ],
    )
    def test_wrong_names(self, name, message):
        with pytest.raises(ValueError, match=message):
            applications.build(name)


def test_aa_wide_resnet_has_aa_in_every_block_at_any_size():
    """It is what the network is, unlike `attention="aa"`, which has a limit."""
    model = AAWideResNet(10, 1, input_shape=(48, 48, 3), aw_variant=1)
    augmented = [
        layer for layer in model.layers if isinstance(layer, AttentionAugmentedConv2D)
    ]
    assert len(augmented) == 3
    assert all(isinstance(layer.conv, AWConv2D) for layer in augmented)


def test_imagenet_stem_of_preactivation_blocks_pools_what_is_not_negative(rng):
    """The pool pads with zeros, which would win over a map of −1."""
    model = WideResNet(10, 1, stem="imagenet", input_shape=(32, 32, 3))
    padded = keras.Model(model.input, model.get_layer("stem_pad").output)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    assert padded.predict(images, verbose=0).min() == 0
