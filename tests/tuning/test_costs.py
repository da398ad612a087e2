"""Costs of operations against formulas written out, and against whole networks."""

import itertools

import keras
import numpy as np
import pytest

from keras_attention import applications, complexity
from keras_attention.tuning.costs import (
    costs_by_block,
    latency_costs,
    operation_costs,
)
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.mixed import block_probabilities
from keras_attention.tuning.space import search_space

RATIO = 4


def resnet(attention, size=16, **options):
    arguments = {"input_shape": (size, size, 3), "classes": 3, "stem_width": 8}
    with keras.StatelessScope(initialize_variables=False):
        return applications.ResNet(
            (1, 2), (8, 16), "basic", stem="cifar", attention=attention,
            **{**arguments, **options},
        )  # fmt: skip


def test_parameters_by_formula():
    """Channel: 2C·C/r + C/r + C. Spatial: 7·7·2, and γ and β."""
    space = search_space("sscbam", reduction_ratio=RATIO)
    rows = []
    for channels in (8, 16, 16):
        hidden = channels // RATIO
        channel = 2 * channels * hidden + hidden + channels
        spatial = 7 * 7 * 2 + 2
        rows.append([0, channel + spatial, channel + spatial, channel, spatial])
    found = operation_costs(resnet(space.spec()), space, "parameters")
    assert found.dtype == "int64"
    np.testing.assert_array_equal(found, rows)


def test_multiply_adds_by_formula():
    """The MLP runs for both statistics; the convolution at every position."""
    space = search_space("ssmvam", reduction_ratio=RATIO, spatial_kernel_size=3)
    rows = []
    for channels, size in ((8, 16), (16, 8), (16, 8)):
        channel = 2 * 2 * channels * (channels // RATIO)
        spatial = 3 * 3 * 2 * size**2
        rows.append([0, channel + spatial, channel + spatial, channel, spatial])
    found = operation_costs(resnet(space.spec()), space, "multiply_adds")
    np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize("measure", ["parameters", "multiply_adds"])
def test_sums_are_what_the_network_gains(measure):
    """Over a general space, with the identity not first, and the second axis."""
    space = search_space(["se", "none", "eca", "bam_block"], reduction_ratio=4, aw=True)
    supernet = resnet(space.spec())
    blocks = list(block_probabilities(supernet))
    attention = operation_costs(supernet, space, measure)
    conv = costs_by_block(
        supernet, operation_costs(supernet, space, measure, "conv"), "conv"
    )
    assert attention.shape == (3, 4) and conv.shape == (3, 2)
    assert (conv[:, 0] == 0).all() and (conv[:, 1] > 0).all()
    field = {"parameters": "trainable_parameters"}.get(measure, measure)
    plain = getattr(complexity(resnet(None)), field)
    choices, convs = (3, 1, 0), (0, 1, 1)
    genotype = Genotype.of(space, blocks, choices, convs)
    gained = getattr(complexity(resnet(genotype)), field) - plain
    expected = attention[range(3), choices].sum() + conv[range(3), convs].sum()
    assert gained == expected > 0


def test_a_mobilenet_has_a_row_for_each_alpha_and_sums_by_block():
    """SE: 2C·C/r + C/r + C, after the stem, every depthwise and every pointwise."""
    space = search_space(["none", "se"], reduction_ratio=4)
    options = {"input_shape": (32, 32, 3), "alpha": 0.5, "classes": 3}
    with keras.StatelessScope(initialize_variables=False):
        supernet = applications.MobileNet(attention=space.spec(), **options)
    widths = [16, 32, 64, 64, 128, 128, *[256] * 6, 512, 512]
    # A depthwise convolution has the width of the block before.
    by_block = [widths[:1], *itertools.pairwise(widths)]
    se = {c: 2 * c * (c // 4) + c // 4 + c for c in widths}
    rows = operation_costs(supernet, space)
    np.testing.assert_array_equal(rows, [[0, se[c]] for b in by_block for c in b])
    np.testing.assert_array_equal(
        costs_by_block(supernet, rows), [[0, sum(se[c] for c in b)] for b in by_block]
    )


def test_nothing_is_moved():
    space = search_space("sscbam", reduction_ratio=4, aw=True)
    supernet = resnet(space.spec())
    before = [layer.get_config() for layer in supernet.layers]
    operation_costs(supernet, space)
    operation_costs(supernet, space, "multiply_adds", "conv")
    assert [layer.get_config() for layer in supernet.layers] == before


def test_latency_is_above_that_of_the_identity(monkeypatch):
    """By a clock that each call moves on by the model's multiply-adds and one."""
    space = search_space(["eca", "none", "bam_block"], reduction_ratio=4)
    supernet = resnet(space.spec())
    now, calls = [0.0], []

    def predict(model, images):
        calls.append(images.shape)
        # One of seven calls is disturbed; each model has four.
        now[0] += 1 + complexity(model).multiply_adds + 1e9 * (len(calls) % 7 == 0)

    monkeypatch.setattr(keras.Model, "predict_on_batch", predict)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    found = latency_costs(supernet, space, batch_size=2, repeats=4)
    np.testing.assert_array_equal(
        found, operation_costs(supernet, space, "multiply_adds")
    )
    assert (found[:, 1] == 0).all()
    assert {shape[0] for shape in calls} == {2}
    # Two shapes, three candidates, one call to compile and four to measure.
    assert len(calls) == 2 * 3 * 5


def test_latency_of_real_calls():
    """An attention of many convolutions takes longer than none."""
    space = search_space(["none", "bam_block"], reduction_ratio=1)
    options = {"stem": "cifar", "input_shape": (64, 64, 3), "stem_width": 32}
    with keras.StatelessScope(initialize_variables=False):
        supernet = applications.ResNet((1,), (32,), "basic", attention=space.spec(),
                                       **options)  # fmt: skip
    found = latency_costs(supernet, space, repeats=3, batch_size=4)
    assert found.shape == (1, 2)
    assert found[0, 0] == 0 < found[0, 1] < 10


def test_refused():
    space = search_space("sscbam", reduction_ratio=4)
    supernet = resnet(space.spec())
    with pytest.raises(ValueError, match=r"measure.*'flops'.*'multiply_adds'"):
        operation_costs(supernet, space, "flops")
    with pytest.raises(ValueError, match="no mixed layers"):
        operation_costs(supernet, space, site="conv")
    with pytest.raises(ValueError, match="5 candidates.*has 2"):
        operation_costs(supernet, search_space(["none", "eca"]))
    with pytest.raises(ValueError, match=r"row for each of 3.*\(2, 5\)"):
        costs_by_block(supernet, np.zeros((2, 5)))
    with pytest.raises(ValueError, match="`repeats`"):
        latency_costs(supernet, space, repeats=0)
    unknown = resnet(space.spec(), size=None)
    with pytest.raises(ValueError, match=r"known size.*input_shape.*None"):
        operation_costs(unknown, space)
