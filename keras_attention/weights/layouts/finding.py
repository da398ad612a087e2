"""Which layout a file has, and which one to write."""

from __future__ import annotations

import re
from collections.abc import Mapping

import keras
import numpy as np

from keras_attention.choices import check_choice
from keras_attention.weights.layouts import mobilenet, resnet, vgg
from keras_attention.weights.layouts.layout import HEAD, Layout, family_of
from keras_attention.weights.layouts.leaves import of_keras

# The first that matches is a file's.
LAYOUTS = (
    resnet.CBAM_AUTHORS,
    resnet.BAM_AUTHORS,
    resnet.TIMM,
    resnet.KERAS,
    resnet.KERAS_HUB,
    mobilenet.TIMM_V3,
    mobilenet.TIMM_V2,
    mobilenet.TIMM_V1,
    mobilenet.TORCHVISION_V2,
    mobilenet.TORCHVISION_V3,
    vgg.TIMM,
    vgg.TORCHVISION,
    vgg.KERAS,
)
_EXPORTS = {
    "timm": (
        resnet.TIMM,
        mobilenet.TIMM_V1,
        mobilenet.TIMM_V2,
        mobilenet.TIMM_V3,
        vgg.TIMM,
    ),
    "torchvision": (
        resnet.TORCHVISION,
        mobilenet.TORCHVISION_V2,
        mobilenet.TORCHVISION_V3,
        vgg.TORCHVISION,
    ),
}
_PADDING = (
    "pads at stride 2 after the image first, and the networks here pad both sides "
    "alike, as PyTorch's do: the weights would read other pixels. Take timm's"
)
# A name in the file, and why there is no place for such a file.
_REFUSED = {
    r"conv_dw_1/kernel": f"keras.applications' MobileNet {_PADDING}",
    r"bn_Conv1/gamma": f"keras.applications' MobileNetV2 {_PADDING}",
    r"expanded_conv/(depthwise|project)/.*|expanded_conv_(depthwise|project)/kernel": (
        f"keras.applications' MobileNetV3 {_PADDING}"
    ),
    r"conv2_block1_preact_bn/gamma": (
        "keras.applications' ResNetV2 has its norms at other places than any network "
        "here"
    ),
}


def layout_of(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> Layout:
    """The layout that tensors have, found from their names.

    Raises:
        ValueError: it is none that is known, one of another network than the model,
            or one of a network that computes something else.
    """
    own = _own(model)
    if own.matches(tensors):
        return own
    for pattern, reason in _REFUSED.items():
        if any(re.fullmatch(pattern, name) for name in tensors):
            raise ValueError(f"These weights cannot be used here: {reason}.")
    layout = next((each for each in LAYOUTS if each.matches(tensors)), None)
    if layout is None:
        shown = ", ".join(map(repr, list(tensors)[:3]))
        titles = ", ".join(each.title for each in LAYOUTS)
        raise ValueError(
            f"The weights' names, such as {shown}, are of no layout that is known: "
            f"{titles}, and Keras files of the same network."
        )
    if layout.family != family_of(model):
        raise ValueError(
            f"The weights are of {layout.title}, and {model.name!r} is "
            f"{_described(model)}. Load them into the application of that family."
        )
    return layout


def exporting(model: keras.Model, layout: str) -> Layout:
    """The layout of this name for a model.

    Raises:
        ValueError: an unknown name, or no such layout for the model.
    """
    family = family_of(model)
    for each in _EXPORTS[check_choice("layout", layout, _EXPORTS)]:
        if each.family == family:
            return each
    raise ValueError(
        f"{layout} has no layout for {model.name!r}, which is {_described(model)}. "
        "Use `model.save`."
    )


def _described(model: keras.Model) -> str:
    family = family_of(model)
    return f"a network of the family {family!r}" if family else "of no such family"


def _own(model: keras.Model) -> Layout:
    """The layout of the model itself: Keras files of the same network."""
    layers = [layer.name for layer in model.layers]
    first = next(iter(model.weights)).path.removeprefix(f"{model.name}/")
    return Layout(
        title="this network itself",
        family=family_of(model) or "",
        signature=(re.escape(first),),
        names=lambda blocks: {name: name for name in [*layers, *HEAD]},
        leaves={},
        separator="/",
        others=of_keras,
    )
