"""`weights="imagenet"`: which published weights are those of a network.

A network is known by its shape, not by its name, which is the user's to choose.
"""

from __future__ import annotations

from typing import NamedTuple

import keras

from keras_attention.layers.convolution import Conv2D
from keras_attention.layers.squeeze_excitation import SqueezeExcitation
from keras_attention.weights.layouts.layout import blocks_of, depths_of, family_of


class Shape(NamedTuple):
    """What tells the architectures of one family apart.

    Args:
        family: see `family_of`.
        depths: blocks of each stage.
        first: filters of the first block's middle convolution in a ResNet, of the
            first convolution elsewhere.
        groups: of that convolution.
        last: filters of the last block's last convolution.
    """

    family: str
    depths: tuple[int, ...]
    first: int
    groups: int
    last: int


_V1, _V2 = (1, 2, 2, 6, 2), (1, 2, 3, 7, 4)
_V3_LARGE, _V3_SMALL = (1, 2, 3, 6, 3), (1, 2, 5, 3)
# timm's names.
ARCHITECTURES = {
    Shape("resnet", (2, 2, 2, 2), 64, 1, 512): "resnet18",
    Shape("resnet", (3, 4, 6, 3), 64, 1, 512): "resnet34",
    Shape("resnet", (3, 4, 6, 3), 64, 1, 2048): "resnet50",
    Shape("resnet", (3, 4, 23, 3), 64, 1, 2048): "resnet101",
    Shape("resnet", (3, 8, 36, 3), 64, 1, 2048): "resnet152",
    Shape("resnet", (3, 4, 6, 3), 128, 32, 2048): "resnext50_32x4d",
    Shape("resnet", (3, 4, 23, 3), 128, 32, 2048): "resnext101_32x4d",
    Shape("resnet", (3, 4, 6, 3), 128, 1, 2048): "wide_resnet50_2",
    Shape("resnet", (3, 4, 23, 3), 128, 1, 2048): "wide_resnet101_2",
    Shape("mobilenet", _V1, 32, 1, 1024): "mobilenetv1_100",
    Shape("mobilenet", _V1, 40, 1, 1280): "mobilenetv1_125",
    Shape("mobilenetv2", _V2, 16, 1, 160): "mobilenetv2_050",
    Shape("mobilenetv2", _V2, 32, 1, 320): "mobilenetv2_100",
    Shape("mobilenetv2", _V2, 48, 1, 448): "mobilenetv2_140",
    Shape("mobilenetv3", _V3_LARGE, 16, 1, 160): "mobilenetv3_large_100",
    Shape("mobilenetv3", _V3_SMALL, 16, 1, 72): "mobilenetv3_small_075",
    Shape("mobilenetv3", _V3_SMALL, 16, 1, 96): "mobilenetv3_small_100",
    Shape("vgg", (2, 2, 3, 3, 3), 64, 1, 512): "vgg16",
}
# Architecture: the training that its weights are of. torchvision's where there are
# some, since their plain recipe is what papers compare with.
TRAININGS = {
    "resnet18": "tv_in1k",
    "resnet34": "tv_in1k",
    "resnet50": "tv_in1k",
    "resnet101": "tv_in1k",
    "resnet152": "tv_in1k",
    "seresnet50": "ra2_in1k",
    "resnext50_32x4d": "tv_in1k",
    "resnext101_32x4d": "gluon_in1k",
    "seresnext50_32x4d": "racm_in1k",
    "seresnext101_32x4d": "gluon_in1k",
    "wide_resnet50_2": "tv_in1k",
    "wide_resnet101_2": "tv_in1k",
    "mobilenetv1_100": "ra4_e3600_r224_in1k",
    "mobilenetv1_125": "ra4_e3600_r224_in1k",
    "mobilenetv2_050": "lamb_in1k",
    "mobilenetv2_100": "ra_in1k",
    "mobilenetv2_140": "ra_in1k",
    "mobilenetv3_large_100": "ra_in1k",
    "mobilenetv3_small_075": "lamb_in1k",
    "mobilenetv3_small_100": "lamb_in1k",
    "vgg16": "tv_in1k",
}


def address(model: keras.Model, strict: bool = True) -> str:
    """Where the ImageNet weights of a network are.

    Args:
        model: one of the applications.
        strict: False for those of the plain network where there are none of one with
            the model's attention.

    Raises:
        ValueError: there are none.
    """
    plain = architecture(model)
    if plain is None:
        raise ValueError(
            f"There are no published ImageNet weights for a network of the shape of "
            f"{model.name!r}. There are for: {', '.join(TRAININGS)} (timm's names). "
            "Use weights=None, or the path of a weights file."
        )
    name = _prefix(model) + plain
    if name not in TRAININGS and not strict:
        name = plain
    if name not in TRAININGS:
        raise ValueError(
            f"There are no published ImageNet weights for {plain} with the attention "
            f"of {model.name!r}. Weights('imagenet', strict=False) loads those of "
            f"{plain} and leaves the attention as it is; attaching an attention to a "
            "network that has its weights does so too."
        )
    return f"hf://timm/{name}.{TRAININGS[name]}"


def architecture(model: keras.Model) -> str | None:
    """timm's name of a network, attention aside; None for one that it does not have."""
    family, blocks = family_of(model), blocks_of(model)
    if family is None:
        return None
    # Attentions in place of convolutions have filters as well.
    convs = [layer for layer in model.layers if hasattr(layer, "filters")]
    stage, block = max(blocks)
    last = [
        conv for conv in convs if conv.name.startswith(f"stage{stage}_block{block}_")
    ]
    first = convs[0]
    if family == "resnet":
        first = next(conv for conv in convs if conv.name == "stage1_block1_conv2")
    shape = Shape(
        family, depths_of(blocks), first.filters, first.groups, last[-1].filters
    )
    return ARCHITECTURES.get(shape)


def _prefix(model: keras.Model) -> str:
    """What timm puts before a name for an attention; "?" for one that it does not."""
    attentions = {
        layer.name: layer
        for layer in model.layers
        if type(layer).__module__.startswith("keras_attention.layers.")
        and type(layer) is not Conv2D
        # MobileNetV3's own.
        and not layer.name.endswith("_se")
    }
    if not attentions:
        return ""
    blocks = {f"stage{s}_block{b}_attention" for s, b in blocks_of(model)}
    kinds = {type(layer) for layer in attentions.values()}
    se = kinds == {SqueezeExcitation} and attentions.keys() == blocks
    return "se" if se else "?"
