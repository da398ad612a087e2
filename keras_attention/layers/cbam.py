"""Convolutional block attention module (Woo et al., arXiv:1807.06521)."""

from dataclasses import dataclass

import keras

from keras_attention.attention import AttentionSpec, register
from keras_attention.choices import check_choice
from keras_attention.layers.channel_attention import ChannelAttention
from keras_attention.layers.checks import boolean, odd_integer
from keras_attention.layers.gate import Gate
from keras_attention.layers.identity_start import MIDDLE, RESIDUAL_GAIN
from keras_attention.layers.spatial_attention import SpatialAttention
from keras_attention.ops.pooling import check_statistics

__all__ = ["CBAM", "CBAMSpec"]

ORDERS = ("channel_spatial", "spatial_channel", "parallel", "sum")


@keras.saving.register_keras_serializable("keras_attention")
class CBAM(Gate):
    """Channel attention Mc and spatial attention Ms, in series or in parallel.

    - `"channel_spatial"`: z = x ⊙ Mc(x), y = z ⊙ Ms(z), the paper's;
    - `"spatial_channel"`: z = x ⊙ Ms(x), y = z ⊙ Mc(z);
    - `"parallel"`: y = ½ x ⊙ Mc(x) + ½ x ⊙ Ms(x);
    - `"sum"`: y = x + x ⊙ σ(logit Mc(x) + logit Ms(x)), BAM's way of joining them.

    Args:
        reduction_ratio: int ≥ 1, divisor of the channel MLP's hidden width.
        order: one of the above.
        channel_pooling: statistics of the channel part, see `ChannelAttention`.
        spatial_pooling: statistics of the spatial part, see `SpatialAttention`.
        spatial_kernel_size: odd int, side of the spatial part's convolution.
        use_bias: whether the channel MLP has biases.
        spatial_norm: whether a batch norm follows the spatial part's convolution.
        data_format: see `keras_attention.layers.Gate`.
        identity_start: see `keras_attention.layers.Gate`; each part has a scale of its
            own, but for `"sum"`, which has one: x + x ⊙ (σ(s·l) − ½) / 1.5.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. `attention_map` gives the product of both parts (in
    `"parallel"` their mean, in `"sum"` the sigmoid), of the input's shape; the parts
    are the sublayers `channel_attention` and `spatial_attention`.

    Raises:
        ValueError: `reduction_ratio` below 1 or above C, an unknown order or
            statistic, an even `spatial_kernel_size`.

    Source: arXiv:1807.06521, section 3; the parallel form with ½ each is that of the
    searched SSCBAM; the sum with its residual that of arXiv:1807.06514, section 3, with
    CBAM's parts in place of BAM's. Differences: see the two parts.
    """

    def __init__(
        self,
        reduction_ratio=16,
        order="channel_spatial",
        channel_pooling=("avg", "max"),
        spatial_pooling=("max", "avg"),
        spatial_kernel_size=7,
        use_bias=True,
        spatial_norm=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.order = check_choice("order", order, ORDERS)
        # The parts would name their own arguments, not these.
        check_statistics("channel_pooling", channel_pooling)
        check_statistics("spatial_pooling", spatial_pooling)
        odd_integer("spatial_kernel_size", spatial_kernel_size)
        boolean("spatial_norm", spatial_norm)
        common = {
            "data_format": self.data_format,
            "identity_start": self.identity_start and order != "sum",
            "dtype": self.dtype_policy,
        }
        self.channel_attention = ChannelAttention(
            reduction_ratio,
            channel_pooling,
            use_bias,
            name="channel_attention",
            **common,
        )
        self.spatial_attention = SpatialAttention(
            spatial_kernel_size,
            spatial_pooling,
            spatial_norm,
            name="spatial_attention",
            **common,
        )

    def build_gate(self, channels, input_shape):
        self.channel_attention.build(input_shape)
        self.spatial_attention.build(input_shape)

    def attention_map(self, inputs):
        if self.order == "parallel":
            both = self.channel_attention.attention_map(inputs) + (
                self.spatial_attention.attention_map(inputs)
            )
            return 0.5 * both
        if self.order == "sum":
            logits = self.channel_attention.attention_logits(inputs)
            logits += self.spatial_attention.attention_logits(inputs)
            return self.squash(logits, residual=True)
        first, second = self._series()
        gate = first.attention_map(inputs)
        return gate * second.attention_map(inputs * gate)

    def attention_maps(self, inputs):
        """Both parts' maps, `"channel"` and `"spatial"`, the first one first.

        In series the second part sees the input times the first's map. The order
        `"sum"`, and a subclass with a map of its own, have the one of `Gate`.
        """
        own_map = type(self).attention_map is not CBAM.attention_map
        if own_map or self.order == "sum":
            return super().attention_maps(inputs)
        channel = self.channel_attention.attention_map
        spatial = self.spatial_attention.attention_map
        if self.order == "parallel":
            return {"channel": channel(inputs), "spatial": spatial(inputs)}
        if self.order == "channel_spatial":
            gate = channel(inputs)
            return {"channel": gate, "spatial": spatial(inputs * gate)}
        gate = spatial(inputs)
        return {"spatial": gate, "channel": channel(inputs * gate)}

    def call(self, inputs):
        if self.order == "parallel":
            return super().call(inputs)
        if self.order == "sum":
            return inputs + super().call(inputs)
        first, second = self._series()
        # The map itself, as large as the input in both axes, is never formed.
        return second(first(inputs))

    def add_scale(self):
        if self.order == "sum":
            super().add_scale()

    @property
    def identity_gain(self):
        if self.order == "sum":
            return 1 / RESIDUAL_GAIN
        return 1 / MIDDLE if self.order == "parallel" else 1 / MIDDLE**2

    def rescale(self, plain, input_gain):
        parts = (
            (self.channel_attention, plain.channel_attention),
            (
                self.spatial_attention,
                plain.spatial_attention,
            ),
        )
        if self.order == "spatial_channel":
            parts = parts[::-1]
        for own, theirs in parts:
            scale = self.scale if self.order == "sum" else own.scale
            own.rescale_logits(theirs, scale, input_gain)
            if self.order in ("channel_spatial", "spatial_channel"):
                input_gain *= MIDDLE  # the plain first gate is half of the scaled one

    def _series(self):
        parts = (self.channel_attention, self.spatial_attention)
        return parts if self.order == "channel_spatial" else parts[::-1]

    def get_config(self):
        return {
            **super().get_config(),
            "reduction_ratio": self.channel_attention.reduction_ratio,
            "order": self.order,
            "channel_pooling": self.channel_attention.pooling,
            "spatial_pooling": self.spatial_attention.pooling,
            "spatial_kernel_size": self.spatial_attention.kernel_size,
            "use_bias": self.channel_attention.use_bias,
            "spatial_norm": self.spatial_attention.use_norm,
        }


@register(
    "cbam",
    site="block",
    layer=CBAM,
    variants={
        "cbam_reverse": {"order": "spatial_channel"},
        "cbam_parallel": {"order": "parallel"},
        "cbam_sum": {"order": "sum"},
        # The AW paper's "CBAM(Spatial)": its channel part pools by the mean alone.
        "cbam_spatial": {"channel_pooling": ("avg",)},
    },
)
@dataclass(frozen=True)
class CBAMSpec(AttentionSpec):
    """Spec of `CBAM`."""

    reduction_ratio: int = 16
    order: str = "channel_spatial"
    channel_pooling: tuple = ("avg", "max")
    spatial_pooling: tuple = ("max", "avg")
    spatial_kernel_size: int = 7
    use_bias: bool = True
    spatial_norm: bool = True
    identity_start: bool = False
