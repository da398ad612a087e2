"""VGG-16 of torchvision, timm and `keras.applications`."""

from __future__ import annotations

import functools

from keras_attention.weights import preprocessing
from keras_attention.weights.layouts.conversions import BLUE_FIRST, of_flattened_map
from keras_attention.weights.layouts.layout import Layout, named
from keras_attention.weights.layouts.leaves import (
    conv,
    of_keras,
    pointwise,
    pytorch,
    with_kernel,
)

# Of the map that the first dense layer sees.
_CHANNELS = 512


def _pytorch_names(*head):
    def names(blocks):
        found = dict(
            zip(("head_dense1", "head_dense2", "predictions"), head, strict=True)
        )
        for n, (s, b) in enumerate(blocks):
            # A ReLU follows each convolution, a pool each stage before.
            place = 2 * n + s - 1
            found |= named(
                [(s, b)], {"conv": ""}, lambda *_, at=place: f"features.{at}"
            )
        return found

    return names


def _keras_names(blocks):
    return {
        "head_dense1": "fc1",
        "head_dense2": "fc2",
        "predictions": "predictions",
        **named(blocks, {"conv": ""}, lambda s, b: f"block{s}_conv{b}"),
    }


def _flattened(as_kernel):
    return functools.partial(
        conv, kernel=of_flattened_map(_CHANNELS, as_kernel=as_kernel)
    )


TORCHVISION = Layout(
    title="torchvision's VGG-16",
    family="vgg",
    signature=(r"features\.0\.weight", r"features\.28\.weight"),
    names=_pytorch_names("classifier.0", "classifier.3", "classifier.6"),
    leaves=pytorch(more={"head_dense1": _flattened(False)}),
    image_format=preprocessing.IMAGENET,
)
TIMM = Layout(
    title="timm's VGG-16",
    family="vgg",
    signature=(*TORCHVISION.signature, r"pre_logits\.fc1\.weight"),
    names=_pytorch_names("pre_logits.fc1", "pre_logits.fc2", "head.fc"),
    leaves=pytorch(more={"head_dense1": _flattened(True), "head_dense2": pointwise}),
    image_format=preprocessing.IMAGENET,
    architectures="vgg16",
)
KERAS = Layout(
    title="keras.applications' VGG-16",
    family="vgg",
    signature=("block1_conv1/kernel", "block5_conv3/kernel"),
    names=_keras_names,
    leaves={"stage1_block1_conv": with_kernel(of_keras, BLUE_FIRST)},
    image_format=preprocessing.CAFFE,
    separator="/",
    others=of_keras,
)
