"""Efficient channel attention (Wang et al., arXiv:1910.03151)."""

import math
from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.attention import AttentionSpec, register
from keras_attention.layers.checks import odd_integer
from keras_attention.layers.gate import Gate
from keras_attention.layers.identity_start import multiply
from keras_attention.ops.pooling import pool

__all__ = ["ECA", "EfficientChannelAttention"]


@keras.saving.register_keras_serializable("keras_attention")
class EfficientChannelAttention(Gate):
    """y = x ⊙ σ(Conv1D_k(GAP(x))), the convolution running along the channels.

    Args:
        kernel_size: odd int, channels that one gate looks at; None for the paper's
            k = |log₂(C)/2 + 1/2|, made odd by adding one, at least 3.
        data_format, identity_start: see `keras_attention.layers.Gate`.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. `attention_map` gives (batch, 1, 1, C) of that layout.

    Raises:
        ValueError: an even `kernel_size` or one below 1.

    Source: arXiv:1910.03151, section 3.2, γ = 2 and b = 1; zeros beyond the first
    and last channel and the minimum of 3 are timm's.
    """

    def __init__(self, kernel_size=None, **kwargs):
        super().__init__(**kwargs)
        if kernel_size is not None:
            odd_integer("kernel_size", kernel_size)
        self.kernel_size = kernel_size

    def build_gate(self, channels, input_shape):
        self.conv = keras.layers.Conv1D(
            1,
            self.kernel_size or _adaptive_kernel_size(channels),
            padding="same",
            use_bias=False,
            # The sequence is the channels, whatever the layout of the images.
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="conv",
        )
        self.conv.build((None, channels, 1))

    def attention_map(self, inputs):
        pooled = ops.squeeze(pool(inputs, "avg", self.spatial_axes), self.spatial_axes)
        logits = self.conv(ops.expand_dims(pooled, -1))
        return self.squash(self.per_channel(ops.squeeze(logits, -1)))

    def rescale(self, plain, input_gain):
        multiply([plain.conv.kernel], self.scale / input_gain)

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}


def _adaptive_kernel_size(channels):
    size = int(abs(math.log2(channels) + 1) / 2)
    return max(size if size % 2 else size + 1, 3)


@register("eca", site="block", layer=EfficientChannelAttention)
@dataclass(frozen=True)
class ECA(AttentionSpec):
    """Spec of `EfficientChannelAttention`."""

    kernel_size: int | None = None
    identity_start: bool = False
