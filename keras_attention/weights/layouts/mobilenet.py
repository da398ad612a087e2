"""MobileNets of timm and torchvision."""

from __future__ import annotations

from keras_attention.layers.squeeze_excitation import SqueezeExcitation
from keras_attention.weights import preprocessing
from keras_attention.weights.layouts.layout import Layout, depths_of, named
from keras_attention.weights.layouts.leaves import (
    demanding,
    pointwise,
    pytorch,
    squeeze_excitation,
)

# Blocks by stage here, and in timm's stages, which begin where the width changes too.
_STAGES = {
    (1, 2, 3, 7, 4): (1, 2, 3, 4, 3, 3, 1),  # V2
    (1, 2, 3, 6, 3): (1, 2, 3, 4, 2, 3),  # V3 large
    (1, 2, 5, 3): (1, 2, 3, 2, 3),  # V3 small
}
_SEPARABLE = {
    "depthwise": "conv_dw",
    "depthwise_norm": "bn1",
    "pointwise": "conv_pw",
    "pointwise_norm": "bn2",
}
_INVERTED = {
    "expand": "conv_pw",
    "expand_norm": "bn1",
    "depthwise": "conv_dw",
    "depthwise_norm": "bn2",
    "se": "se",
    "project": "conv_pwl",
    "project_norm": "bn3",
}
_UNEXPANDED = {
    "depthwise": "conv_dw",
    "depthwise_norm": "bn1",
    "se": "se",
    "project": "conv_pw",
    "project_norm": "bn2",
}
_TIMM_STEM = {"stem_conv": "conv_stem", "stem_norm": "bn1"}


def _timm_v1(blocks):
    return {
        **_TIMM_STEM,
        "predictions": "classifier",
        **named(blocks, _SEPARABLE, lambda s, b: f"blocks.{s - 1}.{b - 1}."),
    }


def _timm_inverted(blocks):
    """Stem, blocks and classifier of V2 and V3."""
    found = {**_TIMM_STEM, "predictions": "classifier"}
    stages = _STAGES.get(depths_of(blocks), ())
    places = [(s, b) for s, depth in enumerate(stages) for b in range(depth)]
    for block, (s, b) in zip(blocks, places, strict=bool(places)):
        parts = _INVERTED if "expand" in blocks[block] else _UNEXPANDED
        found |= named(
            [block], parts, lambda *_, at=(s, b): "blocks.{}.{}.".format(*at)
        )
    return found


def _timm_v2(blocks):
    return {**_timm_inverted(blocks), "head_conv": "conv_head", "head_norm": "bn2"}


def _timm_v3(blocks):
    last = f"blocks.{len(_STAGES.get(depths_of(blocks), ()))}.0"
    head = {"head_conv": f"{last}.conv", "head_norm": f"{last}.bn1"}
    return {**_timm_inverted(blocks), **head, "head_dense": "conv_head"}


def _numbered(blocks, parts_of):
    """torchvision's blocks, which are numbered through, behind the stem."""
    found = {"stem_conv": "features.0.0", "stem_norm": "features.0.1"}
    for n, (block, present) in enumerate(blocks.items(), 1):
        order = [
            part for part in ("expand", "depthwise", "se", "project") if part in present
        ]
        parts = parts_of(order)
        found |= named([block], parts, lambda *_, n=n: f"features.{n}.")
    head = len(blocks) + 1
    found |= {"head_conv": f"features.{head}.0", "head_norm": f"features.{head}.1"}
    return found


def _torchvision_v2(blocks):
    def parts_of(order):
        found = {}
        for i, part in enumerate(order):
            found |= {part: f"conv.{i}.0", f"{part}_norm": f"conv.{i}.1"}
        # The last convolution and its norm stand for themselves.
        found |= {"project": f"conv.{i}", "project_norm": f"conv.{i + 1}"}
        return found

    return {**_numbered(blocks, parts_of), "predictions": "classifier.1"}


def _torchvision_v3(blocks):
    def parts_of(order):
        found = {}
        for i, part in enumerate(order):
            found |= {part: f"block.{i}.0", f"{part}_norm": f"block.{i}.1"}
            if part == "se":
                found[part] = f"block.{i}"
        return found

    head = {"head_dense": "classifier.0", "predictions": "classifier.3"}
    return {**_numbered(blocks, parts_of), **head}


def _own_se(reduce, expand):
    leaves = demanding(squeeze_excitation(reduce, expand), gate="hard_sigmoid")
    return {SqueezeExcitation: leaves}


TIMM_V1 = Layout(
    title="timm's MobileNet",
    family="mobilenet",
    signature=(r"conv_stem\.weight", r"blocks\.1\.0\.conv_pw\.weight"),
    names=_timm_v1,
    leaves=pytorch(),
    epsilon=1e-5,
    # All of timm's MobileNets V1 have these.
    image_format=preprocessing.ImageFormat(
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), interpolation="bicubic"
    ),
    architectures=r"mobilenetv1_\d+",
)
TIMM_V2 = Layout(
    title="timm's MobileNetV2",
    family="mobilenetv2",
    signature=(r"conv_stem\.weight", r"blocks\.1\.0\.conv_pwl\.weight"),
    names=_timm_v2,
    leaves=pytorch(),
    epsilon=1e-5,
    image_format=preprocessing.TIMM,
    architectures=r"mobilenetv2_\d+",
)
TIMM_V3 = Layout(
    title="timm's MobileNetV3",
    family="mobilenetv3",
    signature=(r"conv_stem\.weight", r"blocks\.[56]\.0\.conv\.weight"),
    names=_timm_v3,
    leaves=pytorch(
        more={"head_dense": pointwise, **_own_se("conv_reduce", "conv_expand")}
    ),
    epsilon=1e-5,
    image_format=preprocessing.TIMM,
    architectures=r"mobilenetv3_(large|small)_\d+",
)
TORCHVISION_V2 = Layout(
    title="torchvision's MobileNetV2",
    family="mobilenetv2",
    signature=(r"features\.0\.0\.weight", r"features\.1\.conv\.0\.0\.weight"),
    names=_torchvision_v2,
    leaves=pytorch(),
    epsilon=1e-5,
    image_format=preprocessing.IMAGENET,
)
TORCHVISION_V3 = Layout(
    title="torchvision's MobileNetV3",
    family="mobilenetv3",
    signature=(r"features\.0\.0\.weight", r"features\.1\.block\.0\.0\.weight"),
    names=_torchvision_v3,
    leaves=pytorch(1e-3, _own_se("fc1", "fc2")),
    epsilon=1e-3,
    image_format=preprocessing.IMAGENET,
)
