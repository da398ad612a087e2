"""The tensors of single layers: what follows the layer's name in a file.

A function of a layer gives `Leaf`s; a table has one for each kind of layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras

from keras_attention.layers.aw_conv import AWConv2D
from keras_attention.layers.bam import BAM
from keras_attention.layers.cbam import CBAM
from keras_attention.layers.convolution import Conv2D
from keras_attention.layers.efficient_channel_attention import (
    EfficientChannelAttention,
)
from keras_attention.layers.squeeze_excitation import SqueezeExcitation
from keras_attention.weights.layouts import conversions
from keras_attention.weights.layouts.conversions import (
    AS_IS,
    KERNEL,
    MATRIX,
    POINTWISE,
    SEQUENCE_KERNEL,
    Conversion,
)


class Leaf(NamedTuple):
    """A tensor of a layer: its name behind the layer's, our variable, the relation."""

    name: str
    variable: Any
    conversion: Conversion


Leaves = Callable[[keras.layers.Layer], list[Leaf]]


class UnlikeError(Exception):
    """A layer computes something else than the layout's; says what."""


def demanding(leaves: Leaves, **wanted) -> Leaves:
    """The same leaves, where these arguments of the layer are as wanted.

    A tuple is taken in any order.
    """

    def checked(layer):
        config = layer.get_config()
        for name, value in wanted.items():
            if _unordered(config[name]) != _unordered(value):
                raise UnlikeError(
                    f"{layer.name!r} has {name}={config[name]!r}; such weights are for "
                    f"{value!r}"
                )
        return leaves(layer)

    return checked


def _unordered(value):
    return sorted(value) if isinstance(value, list | tuple) else value


def of_keras(layer: keras.layers.Layer) -> list[Leaf]:
    """All of a layer's weights as they are, by Keras' names."""
    prefix = f"{layer.name}/"
    return [Leaf(w.path.removeprefix(prefix), w, AS_IS) for w in layer.weights]


def with_kernel(leaves: Leaves, conversion: Conversion) -> Leaves:
    """The same leaves, with this conversion of the kernel before theirs."""

    def changed(layer):
        return [
            leaf._replace(conversion=leaf.conversion.after(conversion))
            if leaf.variable is layer.kernel
            else leaf
            for leaf in leaves(layer)
        ]

    return changed


def conv(layer, kernel: Conversion = KERNEL) -> list[Leaf]:
    """PyTorch's Conv2d, Conv1d or Linear, by the conversion of the kernel."""
    bias = [Leaf("bias", layer.bias, AS_IS)] if layer.use_bias else []
    return [Leaf("weight", layer.kernel, kernel), *bias]


dense = functools.partial(conv, kernel=MATRIX)
pointwise = functools.partial(conv, kernel=POINTWISE)


def depthwise_conv(layer) -> list[Leaf]:
    """PyTorch's Conv2d with a group for each channel."""
    return conv(layer, conversions.depthwise(layer.depth_multiplier))


def norm(layer, epsilon: float) -> list[Leaf]:
    """PyTorch's BatchNorm with this ε."""
    variance = conversions.variance(layer.epsilon, epsilon)
    return [
        Leaf("weight", layer.gamma, AS_IS),
        Leaf("bias", layer.beta, AS_IS),
        Leaf("running_mean", layer.moving_mean, AS_IS),
        Leaf("running_var", layer.moving_variance, variance),
    ]


def below(name: str, leaves: list[Leaf]) -> list[Leaf]:
    """The leaves of a sublayer of this name."""
    return [leaf._replace(name=f"{name}.{leaf.name}") for leaf in leaves]


def squeeze_excitation(reduce="fc1", expand="fc2") -> Leaves:
    """timm's and torchvision's SE, of two 1×1 convolutions."""
    return lambda layer: [
        *below(reduce, pointwise(layer.reduce)),
        *below(expand, pointwise(layer.expand)),
    ]


def efficient_channel_attention(layer) -> list[Leaf]:
    """timm's EcaModule."""
    return below("conv", conv(layer.conv, SEQUENCE_KERNEL))


def cbam_timm(layer) -> list[Leaf]:
    """timm's CbamModule, whose spatial part sees the mean before the maximum."""
    channel, spatial = layer.channel_attention, layer.spatial_attention
    # Ours sees them in the order that its argument says.
    order = [("avg", "max").index(statistic) for statistic in spatial.pooling]
    kernel = conversions.inputs_in_order(order).after(KERNEL)
    return [
        *below("channel.fc1", pointwise(channel.reduce)),
        *below("channel.fc2", pointwise(channel.expand)),
        *below("spatial.conv.conv", conv(spatial.conv, kernel)),
        *below("spatial.conv.bn", norm(spatial.norm, 1e-5)),
    ]


def cbam_authors(layer) -> list[Leaf]:
    """CBAM of its authors' repository, whose spatial part sees the maximum first."""
    channel, spatial = layer.channel_attention, layer.spatial_attention
    order = [("max", "avg").index(statistic) for statistic in spatial.pooling]
    kernel = conversions.inputs_in_order(order).after(KERNEL)
    return [
        *below("ChannelGate.mlp.1", dense(channel.reduce)),
        *below("ChannelGate.mlp.3", dense(channel.expand)),
        *below("SpatialGate.spatial.conv", conv(spatial.conv, kernel)),
        *below("SpatialGate.spatial.bn", norm(spatial.norm, 1e-5)),
    ]


def bam_authors(layer) -> list[Leaf]:
    """BAM of its authors' repository; our branches have ReLUs between."""
    channel = [part for part in layer.channel_branch if part.weights]
    spatial = [part for part in layer.spatial_branch if part.weights]
    names = ("conv_reduce0", "bn_reduce0", "conv_di_0", "bn_di_0")
    names += ("conv_di_1", "bn_di_1", "conv_final")
    leaves = [
        *below("fc_0", dense(channel[0])),
        *below("bn_1", norm(channel[1], 1e-5)),
        *below("fc_final", dense(channel[2])),
    ]
    found = [
        leaf._replace(name=f"channel_att.gate_c.gate_c_{leaf.name}") for leaf in leaves
    ]
    for name, part in zip(names, spatial, strict=True):
        leaves = norm(part, 1e-5) if name.startswith("bn") else conv(part)
        found += below(f"spatial_att.gate_s.gate_s_{name}", leaves)
    return found


def pytorch(epsilon: float = 1e-5, more: Mapping | None = None) -> dict:
    """PyTorch's leaves by kind of layer, or name of a layer.

    Args:
        epsilon: of the batch norms.
        more: a table of others, such as the attentions.
    """
    return {
        Conv2D: conv,
        # In place of a convolution, whose kernel it has beside its attention.
        AWConv2D: conv,
        keras.layers.DepthwiseConv2D: depthwise_conv,
        keras.layers.Dense: dense,
        keras.layers.BatchNormalization: functools.partial(norm, epsilon=epsilon),
        **(more or {}),
    }


_cbam = functools.partial(
    demanding,
    order="channel_spatial",
    channel_pooling=("avg", "max"),
    spatial_pooling=("avg", "max"),
    spatial_norm=True,
)
TIMM_ATTENTIONS = {
    SqueezeExcitation: demanding(squeeze_excitation(), gate="sigmoid"),
    EfficientChannelAttention: efficient_channel_attention,
    CBAM: _cbam(cbam_timm),
}
AUTHORS_ATTENTIONS = {CBAM: _cbam(cbam_authors), BAM: bam_authors}
