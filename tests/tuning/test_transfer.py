"""At one-hot p, supernet and discrete network compute the same."""

import dataclasses

import keras
import numpy as np
import pytest
from references.autodiff import run
from references.weights import randomize

from keras_attention import applications
from keras_attention.layers import SE
from keras_attention.tuning.genotype import Genotype, derive
from keras_attention.tuning.mixed import architecture_variables, mixed_layers
from keras_attention.tuning.space import search_space
from keras_attention.tuning.transfer import transfer


def as_array(tensor):
    return keras.ops.convert_to_numpy(tensor)


FAR = 200.0  # exp(−200) is 0 in float32


def build(attention, **options):
    """Logits of three blocks, one of them with a projection."""
    arguments = {
        "input_shape": (8, 8, 3), "classes": 3, "stem": "cifar", "stem_width": 4,
        "classifier_activation": None, "attention": attention,
    }  # fmt: skip
    return applications.ResNet((1, 2), (4, 8), "basic", **{**arguments, **options})


def supernet_of(space, rng, choices=None, convs=None, **options):
    """With random weights and, where given, one-hot p."""
    model = build(space.spec(), **options)
    randomize(model, rng)
    count = len(space.operations)
    if choices is not None:
        for alpha, choice in zip(
            architecture_variables(model, "block"), choices, strict=True
        ):
            rows = np.eye(count)
            # (CA, SA) is ½ each of the last two.
            alpha.assign(FAR * (rows[choice] if choice < count else rows[3] + rows[4]))
    if convs is not None:
        for i, alpha in enumerate(architecture_variables(model, "conv")):
            alpha.assign(FAR * np.eye(2)[convs[i // 2]])
    return model


def check_logits(supernet, network, rng):
    images = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    expected = as_array(run(supernet, images))
    assert np.abs(expected - expected[:1]).max() > 1e-2, "logits do not see the images"
    np.testing.assert_allclose(
        as_array(run(network, images)), expected, rtol=1e-5, atol=1e-5
    )


SPACES = {
    "sscbam": search_space("sscbam", reduction_ratio=2),
    "ssmvam": search_space("ssmvam", reduction_ratio=2),
    "general": search_space(
        ["none", "se", "eca", "cbam", "mvam_reverse", "bam_block"], reduction_ratio=2
    ),
    "aw": search_space("sscbam", reduction_ratio=2, aw=True),
}


@pytest.mark.parametrize(
    ("space", "choices", "convs"),
    [
        # All five and the selected sixth, each at some block of each width.
        ("sscbam", (0, 1, 2), None),
        ("sscbam", (3, 4, 5), None),
        ("sscbam", (5, 0, 3), None),
        ("sscbam", (1, 3, 0), None),
        ("ssmvam", (1, 4, 5), None),
        ("ssmvam", (2, 3, 0), None),
        ("general", (0, 1, 2), None),
        ("general", (3, 4, 5), None),
        ("aw", (3, 0, 1), (0, 1, 1)),
        ("aw", (0, 0, 5), (1, 0, 1)),
    ],
)
def test_logits_are_equal(space, choices, convs, rng):
    space = SPACES[space]
    supernet = supernet_of(space, rng, choices, convs)
    genotype = derive(supernet, space)
    blocks = ("stage1_block1", "stage2_block1", "stage2_block2")
    assert genotype.entries == Genotype.of(space, blocks, choices, convs).entries
    network = build(genotype)
    transfer(supernet, network, genotype)
    check_logits(supernet, network, rng)


def test_a_mobilenet(rng):
    """Both places of a block, and the stem."""
    space = search_space("sscbam", reduction_ratio=2)
    options = {
        "input_shape": (32, 32, 3), "alpha": 0.25, "classes": 3,
        "classifier_activation": None,
    }  # fmt: skip
    supernet = applications.MobileNet(attention=space.spec(), **options)
    # Fresh weights and 27 gates would let nothing through.
    for weight in supernet.weights:
        if weight.name == "gamma":
            weight.assign(rng.uniform(2, 4, weight.shape))
        if "_depthwise/" in weight.path:
            weight.assign(rng.normal(0, 0.5, weight.shape))
    blocks = [f"stage{s}_block{b}" for s, n in enumerate((1, 2, 2, 6, 2), 1)
              for b in range(1, n + 1)]  # fmt: skip
    choices = [i % 6 for i in range(14)]
    chosen = dict(zip(["stem", *blocks], choices, strict=True))
    for layer in mixed_layers(supernet):
        choice = next(chosen[b] for b in chosen if layer.name.startswith(f"{b}_"))
        rows = np.eye(5)
        layer.alpha.assign(FAR * (rows[choice] if choice < 5 else rows[3] + rows[4]))
    genotype = derive(supernet, space)
    assert genotype.operations == tuple(space.symbol(i) for i in choices)
    network = applications.MobileNet(attention=genotype, **options)
    transfer(supernet, network, genotype)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    expected = as_array(run(supernet, images))
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    np.testing.assert_allclose(as_array(run(network, images)), expected, atol=1e-5)


class TestRefused:
    SPACE = SPACES["sscbam"]

    @pytest.fixture
    def supernet(self, rng):
        return supernet_of(self.SPACE, rng)

    def genotype(self, *choices):
        blocks = ("stage1_block1", "stage2_block1", "stage2_block2")
        return Genotype.of(self.SPACE, blocks, choices)

    def check(self, supernet, network, genotype, message):
        before = network.get_weights()
        with pytest.raises(ValueError, match=message):
            transfer(supernet, network, genotype)
        for ours, theirs in zip(network.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize(
        ("built", "message"),
        [
            # Of the same weights, in another order: no shape would tell.
            ((2, 0, 3), r"stage1_block1_attention.*cbam\(reduction_ratio=2\)"),
            ((3, 0, 3), "stage1_block1_attention.*ChannelAttention"),
            ((1, 4, 3), "stage2_block1_attention.*genotype says none"),
            ((0, 0, 3), "stage1_block1_attention.* fits nowhere"),
        ],
    )
    def test_a_network_of_another_genotype(self, built, message, supernet):
        network = build(self.genotype(*built))
        self.check(supernet, network, self.genotype(1, 0, 3), message)

    def test_a_network_of_other_statistics(self, supernet):
        space = SPACES["ssmvam"]
        genotype = Genotype.of(space, self.genotype(0, 0, 0).blocks, (1, 3, 4))
        self.check(supernet, build(genotype), genotype, "no candidate of MixedCBAM")

    def test_an_attention_that_is_no_candidate(self, supernet):
        genotype = dataclasses.replace(
            self.genotype(0, 0, 0), entries=(SE(2), None, None)
        )
        self.check(supernet, build(genotype), genotype, "no candidate of MixedCBAM")

    def test_a_wider_network_names_the_first_weight(self, supernet):
        genotype = self.genotype(1, 0, 3)
        network = build(genotype, stem_width=5)
        message = r"fits 'stem_conv/kernel'.*\(3, 3, 3, 5\).*\(3, 3, 3, 4\)"
        self.check(supernet, network, genotype, message)

    def test_another_head(self, supernet):
        genotype = self.genotype(1, 0, 3)
        headless = build(genotype, include_top=False, classes=1000,
                         classifier_activation="softmax")  # fmt: skip
        self.check(supernet, headless, genotype, "'predictions/kernel'.*fits nowhere")

    def test_other_blocks(self, supernet):
        genotype = self.genotype(1, 0, 3)
        renamed = dataclasses.replace(genotype, blocks=("a", "b", "c"))
        self.check(supernet, build(renamed), renamed, "3 blocks.*stage1_block1.*'a'")

    def test_no_supernet(self):
        genotype = self.genotype(1, 0, 3)
        network = build(genotype)
        with pytest.raises(ValueError, match="no mixed layers"):
            transfer(network, network, genotype)

    def test_a_plain_convolution_is_not_an_aw_one(self, rng):
        """The AW network has all weights that it needs, and is another network."""
        space = SPACES["aw"]
        supernet = supernet_of(space, rng)
        blocks = self.genotype(0, 0, 0).blocks
        plain = Genotype.of(space, blocks, (0, 0, 0))
        weighted = Genotype.of(space, blocks, (0, 0, 0), (1, 0, 0))
        message = "stage1_block1_conv1.*AWConv2D.*genotype says none"
        self.check(supernet, build(weighted), plain, message)


def test_the_supernet_is_left_as_it_was(rng):
    space = SPACES["sscbam"]
    supernet = supernet_of(space, rng)
    before = supernet.get_weights()
    genotype = derive(supernet, space)
    network = build(genotype)
    transfer(supernet, network, genotype)
    randomize(network, rng)
    for ours, theirs in zip(supernet.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not any("alpha" in keras.tree.flatten(w.path) for w in network.weights)
