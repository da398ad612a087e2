"""ResNets of torchvision, timm, CBAM's authors, `keras.applications` and Keras Hub."""

from __future__ import annotations

import dataclasses

import keras

from keras_attention.weights import preprocessing
from keras_attention.weights.layouts.attached import as_built_in
from keras_attention.weights.layouts.conversions import BLUE_FIRST
from keras_attention.weights.layouts.layout import Layout, named
from keras_attention.weights.layouts.leaves import (
    AUTHORS_ATTENTIONS,
    TIMM_ATTENTIONS,
    of_keras,
    pytorch,
    with_kernel,
)

_PYTORCH_PARTS = {
    **{f"conv{i}": f"conv{i}" for i in (1, 2, 3)},
    **{f"norm{i}": f"bn{i}" for i in (1, 2, 3)},
    "shortcut_conv": "downsample.0",
    "shortcut_norm": "downsample.1",
}
_KERAS_PARTS = {
    **{f"conv{i}": f"{i}_conv" for i in (1, 2, 3)},
    **{f"norm{i}": f"{i}_bn" for i in (1, 2, 3)},
    "shortcut_conv": "0_conv",
    "shortcut_norm": "0_bn",
}
_STEM_AND_HEAD = {"stem_conv": "conv1", "stem_norm": "bn1", "predictions": "fc"}
_KERAS_STEM_AND_HEAD = {
    "stem_conv": "conv1_conv",
    "stem_norm": "conv1_bn",
    "predictions": "predictions",
}


def _pytorch_names(attention):
    parts = {**_PYTORCH_PARTS, "attention": attention} if attention else _PYTORCH_PARTS

    def names(blocks):
        return {
            **_STEM_AND_HEAD,
            **{f"stage{s}_attention": f"bam{s}" for s, _ in blocks},
            **named(blocks, parts, lambda s, b: f"layer{s}.{b - 1}."),
        }

    return names


def _keras_names(block):
    return lambda blocks: {**_KERAS_STEM_AND_HEAD, **named(blocks, _KERAS_PARTS, block)}


def _strides_in(conv, stride_in_1x1):
    """A check that bottlenecks stride in this convolution."""

    def check(model):
        layers = {layer.name: layer for layer in model.layers}
        first = layers.get(f"stage2_block1_{conv}")
        if "stage2_block1_conv3" not in layers or max(first.strides) > 1:
            return None
        return (
            f"{model.name!r} does not stride where such weights want it. Build it with "
            f"stride_in_1x1={stride_in_1x1}"
        )

    return check


def _adds_in_bam(model: keras.Model) -> str | None:
    if not any(layer.name == "stage1_attention" for layer in model.layers):
        return None
    return (
        "the authors' code multiplies BAM's two branches, and the paper and the layer "
        "here add them: weights of that code give other outputs"
    )


def _fold_biases(tensors: dict, model: keras.Model) -> dict:
    """Take the convolutions' biases up in the norms, for a model without biases.

    A norm subtracts its mean from what a convolution gives with its bias; the mean
    less the bias from what it gives without.
    """
    if model.get_layer("stem_conv").use_bias:
        return tensors
    folded = dict(tensors)
    for name in tensors:
        mean = name.replace("_conv/bias", "_bn/moving_mean")
        if mean != name and mean in tensors:
            folded[mean] = tensors[mean] - folded.pop(name)
    return folded


TIMM = Layout(
    title="timm's and torchvision's ResNet",
    family="resnet",
    signature=(r"conv1\.weight", r"bn1\.weight", r"layer1\.0\.conv1\.weight"),
    names=_pytorch_names("se"),
    leaves=pytorch(more=TIMM_ATTENTIONS),
    epsilon=1e-5,
    image_format=preprocessing.IMAGENET,
    architectures=r"(se|eca)?(resnet\d+|resnext\d+_\d+x\d+d)|wide_resnet\d+_2",
    checks=(_strides_in("conv2", False),),
    aliases=as_built_in,
)
TORCHVISION = dataclasses.replace(
    TIMM, title="torchvision's ResNet", leaves=pytorch(), names=_pytorch_names(None)
)
CBAM_AUTHORS = dataclasses.replace(
    TIMM,
    title="the CBAM authors' ResNet",
    signature=(r"conv1\.weight", r"layer1\.0\.cbam\.ChannelGate\.mlp\.1\.weight"),
    names=_pytorch_names("cbam"),
    leaves=pytorch(more=AUTHORS_ATTENTIONS),
    architectures="",
)
BAM_AUTHORS = dataclasses.replace(
    CBAM_AUTHORS,
    title="the BAM authors' ResNet",
    signature=(r"conv1\.weight", r"bam1\.channel_att\.gate_c\.gate_c_fc_0\.weight"),
    checks=(*TIMM.checks, _adds_in_bam),
)
KERAS = Layout(
    title="keras.applications' ResNet",
    family="resnet",
    signature=(r"conv1_conv/kernel", r"conv1_conv/bias", r"conv2_block1_1_conv/kernel"),
    names=_keras_names(lambda s, b: f"conv{s + 1}_block{b}_"),
    leaves={"stem_conv": with_kernel(of_keras, BLUE_FIRST)},
    epsilon=1.001e-5,
    image_format=preprocessing.CAFFE,
    separator="/",
    others=of_keras,
    checks=(_strides_in("conv1", True),),
    prepare=_fold_biases,
)
KERAS_HUB = Layout(
    title="Keras Hub's ResNet",
    family="resnet",
    signature=(r"conv1_conv/kernel", r"stack0_block0_1_conv/kernel"),
    names=_keras_names(lambda s, b: f"stack{s - 1}_block{b - 1}_"),
    leaves={},
    epsilon=1e-5,
    image_format=preprocessing.IMAGENET,
    separator="/",
    others=of_keras,
    checks=TIMM.checks,
)
