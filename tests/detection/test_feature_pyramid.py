"""The feature pyramid: its formula, its sites, the six variants of table 3."""

import keras
import numpy as np
import pytest
from references.autodiff import run
from references.numpy_nn import conv2d
from references.small_detector import small_backbone
from references.weights import randomize

from keras_attention import applications, spec
from keras_attention.detection import FeaturePyramid
from keras_attention.layers import AWConv2D
from keras_attention.layers.aw_conv import AW

# Table 3 of arXiv:2108.08205, and what stands at every lateral and output convolution.
TABLE_3 = {
    None: (),
    "aw": ("conv",),
    "se": ("block",),
    "aw_se": ("conv", "block"),
    "cbam": ("block",),
    "aw_cbam": ("conv", "block"),
}
SITES = [f"{kind}{n}" for kind in ("lateral", "output") for n in (2, 3, 4, 5)]


def layers_of(model):
    return {layer.name: layer for layer in model.layers}


def test_values_are_the_papers_sum(rng):
    """With maps of odd sizes, where the upper one is doubled and cut."""
    backbone = small_backbone((72, 104))
    model = FeaturePyramid(backbone, channels=4)
    randomize(model, rng)
    image = rng.uniform(size=(2, 72, 104, 3)).astype("float32")
    found = {k: keras.ops.convert_to_numpy(v) for k, v in run(model, image).items()}
    maps = {k: keras.ops.convert_to_numpy(v) for k, v in run(backbone, image).items()}
    layers, merged = layers_of(model), None
    for n in (5, 4, 3, 2):
        lateral, output = layers[f"fpn_lateral{n}"], layers[f"fpn_output{n}"]
        x = conv2d(maps[f"P{n}"].astype("float64"), lateral.kernel.numpy())
        x = x + lateral.bias.numpy()
        if merged is not None:
            rows = np.arange(x.shape[1]) // 2
            columns = np.arange(x.shape[2]) // 2
            x = x + merged[:, rows][:, :, columns]
        merged = x
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        expected = conv2d(padded, output.kernel.numpy()) + output.bias.numpy()
        np.testing.assert_allclose(found[f"P{n}"], expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(found["P6"], found["P5"][:, ::2, ::2])
    assert list(found) == ["P2", "P3", "P4", "P5", "P6"]


def test_parameters_of_torchvisions():
    backbone = applications.ResNet50(pyramid=True, input_shape=(None, None, 3))
    model = FeaturePyramid(backbone)
    assert model.count_params() - backbone.count_params() == 3_344_384


@pytest.mark.parametrize("attention", TABLE_3)
def test_what_stands_at_every_convolution(attention):
    model = FeaturePyramid(small_backbone(), channels=32, attention=attention)
    layers = layers_of(model)
    kinds = {"se": "SqueezeExcitation", "cbam": "CBAM"}
    expected = kinds.get((attention or "").removeprefix("aw_"))
    for site in SITES:
        conv = layers[f"fpn_{site}"]
        assert isinstance(conv, AWConv2D) == ("conv" in TABLE_3[attention])
        assert conv.kernel_size == ((1, 1) if "lateral" in site else (3, 3))
        gate = layers.get(f"fpn_{site}_attention")
        assert (gate is not None) == ("block" in TABLE_3[attention])
        if gate is not None:
            assert type(gate).__name__ == expected
            # Right before it: the convolution reads what the gate gives.
            assert conv.input is gate.output


def test_a_name_has_group_norms_and_a_spec_its_own():
    def norm(attention, site="fpn_lateral3"):
        model = FeaturePyramid(small_backbone(), channels=32, attention=attention)
        return layers_of(model)[site].norm

    assert norm("aw_cbam") == "group"
    assert norm({"lateral*": "aw"}) == "group"
    assert norm(AW(norm="batch")) == "batch"
    assert norm((AW(norm="frozen"), spec("se", reduction_ratio=4))) == "frozen"


def test_attention_by_name_of_a_convolution():
    attention = {"output*": "se", "lateral5": spec("cbam", reduction_ratio=4)}
    model = FeaturePyramid(small_backbone(), channels=32, attention=attention)
    gates = sorted(n for n in layers_of(model) if "attention" in n and "fpn" in n)
    assert gates == ["fpn_lateral5_attention"] + [
        f"fpn_output{n}_attention" for n in (2, 3, 4, 5)
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention": "see"}, "'see'.*'se'"),
        ({"attention": "bam"}, "one stage only"),
        ({"attention": {"lateral6": "se"}}, "'lateral6'.*'lateral2'"),
        ({"attention": ["se"] * 3}, "3 entries.*8 blocks.*'lateral2' to 'output5'"),
        ({"channels": 0}, "channels.*0"),
        ({"levels": (2, 4)}, "neighbouring.*P2, P3, P4, P5.*2, 4"),
        ({"levels": (4, 5, 6)}, "neighbouring.*P5"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        FeaturePyramid(small_backbone(), **change)


def test_a_backbone_that_is_none():
    classifier = applications.CifarResNet(8)
    with pytest.raises(ValueError, match=r"pyramid=True.*Functional.*KerasTensor"):
        FeaturePyramid(classifier)
    first = applications.ResNet18(
        pyramid=True, data_format="channels_first", input_shape=(3, 64, 64)
    )
    with pytest.raises(ValueError, match="channels_last"):
        FeaturePyramid(first)
    first = applications.ResNet18(
        pyramid=True, data_format="channels_first", input_shape=(3, None, None)
    )
    with pytest.raises(ValueError, match="channels_last"):
        FeaturePyramid(first)
