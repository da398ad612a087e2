"""Search spaces: what they hold, build and refuse."""

import dataclasses

import keras
import pytest

from keras_attention import applications, spec
from keras_attention.layers import AW, ECA, SE, CBAMSpec, MVAMSpec
from keras_attention.plan import AttentionPlan
from keras_attention.tuning.mixed import (
    MixedAttention,
    MixedAttentionSpec,
    MixedCBAM,
    MixedCBAMSpec,
    mixed_layers,
)
from keras_attention.tuning.mixed_conv import MixedAWConv2D, MixedConvSpec
from keras_attention.tuning.space import SPACES, Operation, SearchSpace, search_space

NAMES = ("sscbam", "ssmvam", "ssmvam_biased")


def test_the_papers_order():
    for name in NAMES:
        space = search_space(name)
        assert space.symbols == ("Identity", "CA⊕SA", "SA⊕CA", "CA", "SA")
        assert space.parallel.symbol == "(CA, SA)"
    assert set(SPACES) == set(NAMES)


def test_sscbam_is_made_of_the_registered_names():
    names = ("cbam", "cbam_reverse", "channel", "spatial")
    space = search_space("sscbam")
    attentions = [operation.attention for operation in space.operations]
    assert attentions == [None, *map(spec, names)]
    assert space.parallel.attention == spec("cbam_parallel")


@pytest.mark.parametrize(
    ("name", "unbiased"), [("ssmvam", True), ("ssmvam_biased", False)]
)
def test_ssmvam_is_by_mean_and_variance(name, unbiased):
    space = search_space(name)
    variance = "var" if unbiased else "biased_var"
    _, forth, back, channel, spatial = (o.attention for o in space.operations)
    assert (forth.order, back.order) == ("channel_spatial", "spatial_channel")
    assert space.parallel.attention == MVAMSpec(order="parallel", unbiased=unbiased)
    assert forth.unbiased is unbiased
    assert channel.pooling == spatial.pooling == ("avg", variance)
    assert space.shared.channel_pooling == ("avg", variance)
    assert space.shared.spatial_pooling == ("avg", variance)


@pytest.mark.parametrize("name", NAMES)
def test_options_reach_every_operation(name):
    """The mixture, and each operation's own layer."""
    options = {"reduction_ratio": 4, "spatial_kernel_size": 3, "use_bias": False}
    space = search_space(name, **options)
    both = [space.operations[1], space.operations[2], space.parallel]
    for attention in (space.shared, *(operation.attention for operation in both)):
        assert {key: getattr(attention, key) for key in options} == options
    channel, spatial = (space.operations[i].attention for i in (3, 4))
    assert (channel.reduction_ratio, channel.use_bias) == (4, False)
    assert spatial.kernel_size == 3


def test_a_list_of_candidates():
    space = search_space(["none", "se", ECA(5), "cbam"], reduction_ratio=4)
    assert [o.attention for o in space.operations] == [
        None,
        SE(reduction_ratio=4),
        ECA(5),
        CBAMSpec(reduction_ratio=4),
    ]
    assert space.symbols[:2] == ("none", "se(reduction_ratio=4)")
    assert space.shared is space.parallel is space.conv is None
    assert isinstance(space.spec(), MixedAttentionSpec)


def test_entries_and_symbols():
    space = search_space("sscbam", aw=AW(8))
    assert space.entry(0) is None
    assert space.entry(3) == spec("channel")
    assert space.entry(5) == spec("cbam_parallel")
    assert space.entry(0, 1) == AW(8)
    assert space.entry(1, 1) == (AW(8), spec("cbam"))
    assert space.symbol(1) == "CA⊕SA"
    assert space.symbol(5, 1) == "aw(reduction_ratio=8) + (CA, SA)"
    assert space.conv_symbols == ("plain", "aw(reduction_ratio=8)")


@pytest.mark.parametrize("choice", [-1, 6, "CA", None])
def test_no_such_operation(choice):
    with pytest.raises(ValueError, match=r"no operation.*0 Identity.*5 \(CA, SA\)"):
        search_space("sscbam").entry(choice)


def test_no_such_convolution():
    with pytest.raises(ValueError, match=r"no convolution 1.*not searched"):
        search_space("sscbam").entry(0, 1)
    with pytest.raises(ValueError, match=r"no convolution 2.*plain, aw"):
        search_space("sscbam", aw=True).entry(0, 2)


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        ("sscbamm", {}, r"'sscbamm'.*Choose from: 'sscbam'"),
        ("sscbam", {"ratio": 4}, r"'ratio'.*'reduction_ratio'"),
        (["none", "se"], {"kernel_size": 3}, r"'kernel_size'.*'reduction_ratio'"),
        (["se"], {}, "at least two"),
        (3, {}, "at least two"),
        (["se", SE()], {}, "'se' twice"),
        # Two that the options make equal.
        (["se", SE(8)], {"reduction_ratio": 4}, "twice"),
        ("sscbam", {"aw": "aw"}, "`aw` must be True"),
    ],
)
def test_refused(space, options, message):
    with pytest.raises(ValueError, match=message):
        search_space(space, **options)


def test_symbols_are_unique():
    operations = (Operation("CA"), Operation("CA", SE()))
    with pytest.raises(ValueError, match="its own symbol"):
        SearchSpace("twice", operations)
    with pytest.raises(dataclasses.FrozenInstanceError):
        search_space("sscbam").name = "other"


def count(model, kind):
    return sum(isinstance(layer, kind) for layer in model.layers)


FAMILIES = {
    "cifarresnet": (lambda a: applications.CifarResNet(8, attention=a), 3, 6),
    "resnet18": (lambda a: applications.ResNet18(attention=a), 8, 16),
    "resnext50": (lambda a: applications.ResNeXt50(attention=a), 16, 16),
    "wideresnet": (lambda a: applications.WideResNet(10, 1, attention=a), 3, 6),
    "wideresnet18": (lambda a: applications.WideResNet18(attention=a), 8, 16),
    "mobilenet": (
        lambda a: applications.MobileNet((64, 64, 3), attention=a),
        27,
        13,
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_supernet_of_every_application(family):
    make, blocks, convs = FAMILIES[family]
    space = search_space("sscbam", aw=True)
    assert space.spec() == (MixedConvSpec(), MixedCBAMSpec())
    with keras.StatelessScope(initialize_variables=False):
        model = make(space.spec())
    assert count(model, MixedCBAM) == blocks
    assert count(model, MixedAWConv2D) == convs
    assert len(mixed_layers(model)) == blocks + convs


@pytest.mark.parametrize("family", ["cifarresnet", "mobilenet"])
def test_general_supernet(family):
    make, blocks, _ = FAMILIES[family]
    space = search_space(["none", "se", "eca", "cbam", "mvam", "bam_block"])
    with keras.StatelessScope(initialize_variables=False):
        model = make(space.spec())
    assert count(model, MixedAttention) == blocks
    assert {layer.alpha.shape for layer in mixed_layers(model)} == {(6,)}


def test_the_mixture_may_stand_in_some_blocks_only():
    mixture = search_space("sscbam").spec()
    plan = AttentionPlan({"stage2_*": mixture}, (1, 2))
    assert [plan[name].block for name in plan.blocks] == [None, mixture, mixture]
