"""Mixed layers: all candidates of a block at once, weighted by p = softmax(α)."""

import re
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_attention.attention import AttentionSpec, as_spec
from keras_attention.choices import check_choice
from keras_attention.layers import (
    CBAM,
    ChannelAttention,
    SpatialAttention,
)
from keras_attention.layers.gate import check_image_shape
from keras_attention.ops.layout import channel_axis

__all__ = [
    "MixedAttention",
    "MixedAttentionSpec",
    "MixedCBAM",
    "MixedCBAMSpec",
    "Mixture",
    "UnregisteredSpec",
    "architecture_variables",
    "block_of",
    "block_probabilities",
    "check_candidates",
    "mixed_layers",
    "same_options",
    "weights_below",
]


class Mixture:
    """What mixed layers share: the architecture weights α, and p = softmax(α).

    A mixin of `keras.layers.Layer`. `alpha` is a trainable weight, saved and
    restored with the others; `BilevelSteps` leaves it to the architecture's optimizer.
    """

    site = "block"

    def add_alpha(self, count):
        """α of `count` candidates, 0 at first: all equally likely."""
        # float32 under every policy: a step of α is lost in half precision.
        self.alpha = self.add_weight(
            shape=(count,),
            initializer="zeros",
            dtype="float32",
            autocast=False,
            name="alpha",
        )

    def probabilities(self):
        """p = softmax(α), a float32 tensor."""
        return ops.softmax(self.alpha)

    def shares(self, dtype):
        """The numbers p_i, as scalars to multiply tensors of `dtype`."""
        return ops.unstack(ops.cast(self.probabilities(), dtype))

    def weights_for(self, layer):
        """{path below `layer`: own weight} for a candidate `layer` on its own.

        Raises:
            ValueError: `layer` is none of the candidates.
        """
        raise NotImplementedError("a mixed layer names its weights")  # abstract

    def _no_candidate(self, layer):
        return ValueError(
            f"{type(layer).__name__} {layer.name!r} with {layer.get_config()} is no "
            f"candidate of {type(self).__name__} {self.name!r}, whose own are "
            f"{self.get_config()}. Use the space that the supernet was built with."
        )


@keras.saving.register_keras_serializable("keras_attention")
class MixedCBAM(Mixture, CBAM):
    """y = x ⊙ [p0 + Mc(p3 + p1 SA(x Mc)) + Ms(p4 + p2 CA(x Ms))], p = softmax(α).

    The five candidates Identity, channel then spatial, spatial then channel, channel,
    spatial, in this order, with Mc = CA(x), Ms = SA(x): one channel attention CA and
    one spatial attention SA, called twice each, serve them all.

    Args:
        reduction_ratio, channel_pooling, spatial_pooling, spatial_kernel_size,
            use_bias, data_format: as `keras_attention.layers.CBAM`.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. The weight `alpha`, (5,), is float32 and 0 at first;
    `probabilities()` gives p, and `attention_map` what is in brackets.

    Raises:
        ValueError: as `CBAM`.

    Source: the search of SSCBAM and SSMVAM. The batch norm of SA sees x and x Mc, so
    its moving statistics are of both.
    """

    def __init__(
        self,
        reduction_ratio=16,
        channel_pooling=("avg", "max"),
        spatial_pooling=("max", "avg"),
        spatial_kernel_size=7,
        use_bias=True,
        **kwargs,
    ):
        super().__init__(
            reduction_ratio=reduction_ratio,
            channel_pooling=channel_pooling,
            spatial_pooling=spatial_pooling,
            spatial_kernel_size=spatial_kernel_size,
            use_bias=use_bias,
            **kwargs,
        )

    def build_gate(self, channels, input_shape):
        super().build_gate(channels, input_shape)
        self.add_alpha(5)

    def attention_map(self, inputs):
        channel = self.channel_attention.attention_map
        spatial = self.spatial_attention.attention_map
        p0, p1, p2, p3, p4 = self.shares(inputs.dtype)
        by_channel, by_place = channel(inputs), spatial(inputs)
        return (
            p0
            + by_channel * (p3 + p1 * spatial(inputs * by_channel))
            + by_place * (p4 + p2 * channel(inputs * by_place))
        )

    def call(self, inputs):
        # The map itself, as large as the input in both axes, is never formed.
        channel = self.channel_attention.attention_map
        spatial = self.spatial_attention.attention_map
        p0, p1, p2, p3, p4 = self.shares(inputs.dtype)
        by_channel, by_place = inputs * channel(inputs), inputs * spatial(inputs)
        return (
            p0 * inputs
            + by_channel * (p3 + p1 * spatial(by_channel))
            + by_place * (p4 + p2 * channel(by_place))
        )

    def weights_for(self, layer):
        channel, spatial = self.channel_attention, self.spatial_attention
        if isinstance(layer, CBAM):
            pairs = {
                "channel_attention/": (channel, layer.channel_attention),
                "spatial_attention/": (spatial, layer.spatial_attention),
            }
        elif type(layer) is ChannelAttention:
            pairs = {"": (channel, layer)}
        elif type(layer) is SpatialAttention:
            pairs = {"": (spatial, layer)}
        else:
            raise self._no_candidate(layer)
        if not all(same_options(*pair) for pair in pairs.values()):
            raise self._no_candidate(layer)
        return {
            prefix + path: weight
            for prefix, (own, _) in pairs.items()
            for path, weight in weights_below(own).items()
        }

    def get_config(self):
        config = super().get_config()
        del config["order"]
        return config


@keras.saving.register_keras_serializable("keras_attention")
class MixedAttention(Mixture, keras.layers.Layer):
    """y = Σ_i p_i · op_i(x), p = softmax(α), of any block-site attentions op_i.

    Args:
        candidates: list of at least two, all different: None or `"none"` for the
            identity, and names, specs or dicts of block-site attentions. Each has its
            own layer.
        data_format: `"channels_last"`, `"channels_first"`, or None for
            `keras.config.image_data_format()`.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. The weight `alpha`, one number per candidate, is float32
    and 0 at first; `probabilities()` gives p.

    Raises:
        ValueError: fewer than two candidates, one twice, or one of another site; and
            what the candidates' layers raise.
    """

    def __init__(self, candidates, data_format=None, **kwargs):
        super().__init__(**kwargs)
        if data_format is None:
            data_format = keras.config.image_data_format()
        self.data_format = check_choice(
            "data_format", data_format, ("channels_last", "channels_first")
        )
        self.specs = check_candidates(candidates)
        self.candidates = [
            spec
            and spec.make(
                data_format=data_format, dtype=self.dtype_policy, name=f"candidate{i}"
            )
            for i, spec in enumerate(self.specs)
        ]

    def build(self, input_shape):
        axis = channel_axis(self.data_format)
        check_image_shape(self, input_shape, axis)
        self.input_spec = keras.InputSpec(ndim=4, axes={axis: input_shape[axis]})
        self.add_alpha(len(self.specs))
        for candidate in self.candidates:
            if candidate is not None:
                candidate.build(input_shape)
        self.built = True

    def call(self, inputs):
        shares = self.shares(inputs.dtype)
        parts = [
            share * (inputs if candidate is None else candidate(inputs))
            for share, candidate in zip(shares, self.candidates, strict=True)
        ]
        return sum(parts[1:], start=parts[0])

    def compute_output_shape(self, input_shape):
        return input_shape

    def weights_for(self, layer):
        for candidate in self.candidates:
            if type(candidate) is type(layer) and same_options(candidate, layer):
                return weights_below(candidate)
        raise self._no_candidate(layer)

    def get_config(self):
        return {
            **super().get_config(),
            "candidates": [spec and spec.to_dict() for spec in self.specs],
            "data_format": self.data_format,
        }


class UnregisteredSpec(AttentionSpec):
    """Base of the mixed layers' specs: they build supernets, and have no file form."""

    def to_dict(self):
        raise ValueError(
            f"{self} is a mixture for the search, with no form for files. Derive a "
            "genotype and save that."
        )


@dataclass(frozen=True)
class MixedCBAMSpec(UnregisteredSpec):
    """Spec of `MixedCBAM`."""

    reduction_ratio: int = 16
    channel_pooling: tuple = ("avg", "max")
    spatial_pooling: tuple = ("max", "avg")
    spatial_kernel_size: int = 7
    use_bias: bool = True

    name = "mixed_cbam"
    site = "block"
    layer = MixedCBAM


@dataclass(frozen=True)
class MixedAttentionSpec(UnregisteredSpec):
    """Spec of `MixedAttention`."""

    candidates: tuple

    name = "mixed"
    site = "block"
    layer = MixedAttention

    def __post_init__(self):
        object.__setattr__(self, "candidates", check_candidates(self.candidates))

    def __str__(self):
        return f"mixed({', '.join(str(spec or 'none') for spec in self.candidates)})"


def check_candidates(candidates):
    """The candidates as a tuple of block-site specs, and None for the identity."""
    if not isinstance(candidates, list | tuple) or len(candidates) < 2:
        raise ValueError(
            "`candidates` must be a list of at least two block-site attentions, None "
            f"for the identity. Received: {candidates!r}."
        )
    specs = tuple(
        None if isinstance(item, str) and item == "none" else as_spec(item, "block")
        for item in candidates
    )
    twice = [str(spec or "none") for spec in specs if specs.count(spec) > 1]
    if twice:
        raise ValueError(
            f"`candidates` has {twice[0]!r} twice, which would share its probability. "
            "Name each candidate once."
        )
    return specs


def mixed_layers(model, site=None):
    """The mixed layers of a supernet, in the network's order.

    Args:
        model: a `keras.Model`.
        site: `"block"` or `"conv"`; None for both.

    Raises:
        ValueError: there are none.
    """
    if site is not None:
        check_choice("site", site, ("block", "conv"))
    found = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, Mixture) and site in (None, layer.site)
    ]
    if not found:
        raise ValueError(
            f"Model {model.name!r} has no mixed layers of site "
            f"{site or 'block or conv'!r}. Build the supernet with "
            "attention=search_space(…).spec()."
        )
    return found


def architecture_variables(model, site=None):
    """The α of `mixed_layers(model, site)`, in their order."""
    return [layer.alpha for layer in mixed_layers(model, site)]


def block_of(layer):
    """The block that a mixed layer stands in, e.g. `"stage1_block1"`.

    In this package's applications the layer's name begins with it; elsewhere the
    layer is a block of its own.
    """
    found = re.match(r"(stem|stage\d+_block\d+)(_|$)", layer.name)
    return found.group(1) if found else layer.name


def block_probabilities(model, site="block"):
    """{block: p} of a supernet, p = softmax(mean of the block's α).

    A residual block has one block-site α. Where a block has several (a MobileNet's
    after both of its convolutions, or a basic block's two spatial convolutions at the
    conv site) it takes one decision for all: the mean's largest p is where the
    product of theirs is.

    Args:
        model: a supernet.
        site: `"block"` or `"conv"`.

    Returns:
        A dict of float64 arrays, in the network's order.
    """
    alphas = {}
    for layer in mixed_layers(model, site):
        alpha = ops.convert_to_numpy(layer.alpha).astype("float64")
        alphas.setdefault(block_of(layer), []).append(alpha)
    return {block: softmax(np.mean(rows, axis=0)) for block, rows in alphas.items()}


def weights_below(layer):
    """{path below `layer`: weight}."""
    return {w.path.removeprefix(f"{layer.path}/"): w for w in layer.weights}


def same_options(layer, other):
    """Whether two layers of one class differ at most in name and precision."""
    varying = ("name", "dtype", "trainable")
    configs = [
        {key: value for key, value in item.get_config().items() if key not in varying}
        for item in (layer, other)
    ]
    return configs[0] == configs[1]


def softmax(alpha):
    """softmax(α) of a NumPy vector."""
    exponentials = np.exp(alpha - alpha.max())
    return exponentials / exponentials.sum()
