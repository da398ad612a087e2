"""Spatial attention of CBAM (Woo et al., arXiv:1807.06521)."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.attention import AttentionSpec, register
from keras_attention.layers.checks import boolean, odd_integer
from keras_attention.layers.gate import Gate
from keras_attention.layers.identity_start import DEGREES, multiply
from keras_attention.ops.exporting import is_exporting
from keras_attention.ops.pooling import check_statistics, pool

__all__ = ["SpatialAttention", "SpatialAttentionSpec"]


@keras.saving.register_keras_serializable("keras_attention")
class SpatialAttention(Gate):
    """y = x ⊙ σ(BN(Conv_k×k([pool_s(x)]_s))), the statistics s over the channels.

    Args:
        kernel_size: odd int, side of the convolution; the paper's is 7.
        pooling: the statistics, in the order of the convolution's input channels:
            `"avg"`, `"max"`, `"var"` (unbiased), `"biased_var"`.
        use_norm: whether the batch norm is there.
        data_format, identity_start: see `keras_attention.layers.Gate`.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. `attention_map` gives (batch, height, width, 1) of that
    layout.

    Raises:
        ValueError: an even `kernel_size` or one below 1; an unknown statistic.

    Source: arXiv:1807.06521, section 3.2. Max before mean, no bias and the batch
    norm (absent from the paper's formula) are those of the authors' code, which
    also starts the norm's γ at 0; here it starts at 1.
    """

    def __init__(self, kernel_size=7, pooling=("max", "avg"), use_norm=True, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = odd_integer("kernel_size", kernel_size)
        self.pooling = check_statistics("pooling", pooling)
        self.use_norm = boolean("use_norm", use_norm)

    def build_gate(self, channels, input_shape):
        self.conv = keras.layers.Conv2D(
            1,
            self.kernel_size,
            padding="same",
            use_bias=False,
            data_format=self.data_format,
            dtype=self.dtype_policy,
            name="conv",
        )
        stacked = list(input_shape)
        stacked[self.channel_axis] = len(self.pooling)
        self.conv.build(tuple(stacked))
        if self.use_norm:
            self._build_norm(input_shape)

    def _build_norm(self, input_shape):
        self.norm = keras.layers.BatchNormalization(
            axis=self.channel_axis, epsilon=1e-5, dtype=self.dtype_policy, name="norm"
        )
        shape = list(input_shape)
        shape[self.channel_axis] = 1
        self.norm.build(tuple(shape))

    def attention_map(self, inputs):
        return self.squash(self.attention_logits(inputs))

    def attention_logits(self, inputs):
        """What σ takes, (batch, height, width, 1) of the layer's layout."""
        pooled = [pool(inputs, s, self.channel_axis) for s in self.pooling]
        if is_exporting("int8"):
            logits = self._conv_by_statistic(pooled)
        else:
            logits = self.conv(ops.concatenate(pooled, axis=self.channel_axis))
        return self.norm(logits) if self.use_norm else logits

    def rescale(self, plain, input_gain):
        self.rescale_logits(plain, self.scale, input_gain)

    @staticmethod
    def rescale_logits(plain, scale, input_gain):
        """Multiply the logits of `plain` by `scale`, for a multiplied input."""
        gains = [input_gain ** -DEGREES[statistic] for statistic in plain.pooling]
        multiply([plain.conv.kernel], ops.reshape(ops.array(gains), (-1, 1)))
        last = [plain.norm.gamma, plain.norm.beta] if plain.use_norm else None
        multiply(last or [plain.conv.kernel], scale)

    def _conv_by_statistic(self, pooled):
        """The convolution as a sum of one for each statistic.

        In int8 a stack has one scale, which is that of the maximum: a mean of features
        around zero would be left with a few of its steps. (In float32 it is slower.)
        """
        logits = [
            ops.conv(
                statistic,
                ops.cast(self.conv.kernel[:, :, i : i + 1], statistic.dtype),
                padding="same",
                data_format=self.data_format,
            )
            for i, statistic in enumerate(pooled)
        ]
        return sum(logits[1:], start=logits[0])

    def get_config(self):
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "pooling": self.pooling,
            "use_norm": self.use_norm,
        }


@register("spatial", site="block", layer=SpatialAttention)
@dataclass(frozen=True)
class SpatialAttentionSpec(AttentionSpec):
    """Spec of `SpatialAttention`."""

    kernel_size: int = 7
    pooling: tuple = ("max", "avg")
    use_norm: bool = True
    identity_start: bool = False
