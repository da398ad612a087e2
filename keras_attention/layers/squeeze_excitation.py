"""Squeeze-and-excitation (Hu et al., arXiv:1709.01507)."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.attention import AttentionSpec, register
from keras_attention.layers.checks import boolean, hidden_units, positive_integer
from keras_attention.layers.gate import Gate
from keras_attention.ops.pooling import pool

__all__ = ["SE", "SqueezeExcitation"]


@keras.saving.register_keras_serializable("keras_attention")
class SqueezeExcitation(Gate):
    """y = x ⊙ σ(W₂ ReLU(W₁ GAP(x) + b₁) + b₂).

    Args:
        reduction_ratio: int ≥ 1, divisor of the hidden width: C → C // r → C.
        use_bias: whether the two dense layers have biases.
        data_format: see `keras_attention.layers.Gate`.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. `attention_map` gives (batch, 1, 1, C) of that layout.

    Raises:
        ValueError: `reduction_ratio` below 1 or above C.

    Source: arXiv:1709.01507, section 3. The paper's text has no biases; its code,
    and the parameter counts of the CBAM and AW papers, have them, so they are the
    default.
    """

    def __init__(self, reduction_ratio=16, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.reduction_ratio = positive_integer("reduction_ratio", reduction_ratio)
        self.use_bias = boolean("use_bias", use_bias)

    def build_gate(self, channels, input_shape):
        hidden = hidden_units(channels, self.reduction_ratio)
        self.reduce = keras.layers.Dense(
            hidden,
            activation="relu",
            use_bias=self.use_bias,
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="reduce",
        )
        self.expand = keras.layers.Dense(
            channels,
            activation="sigmoid",
            use_bias=self.use_bias,
            dtype=self.dtype_policy,
            name="expand",
        )
        self.reduce.build((None, channels))
        self.expand.build((None, hidden))

    def attention_map(self, inputs):
        pooled = ops.squeeze(pool(inputs, "avg", self.spatial_axes), self.spatial_axes)
        return self.per_channel(self.expand(self.reduce(pooled)))

    def get_config(self):
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "use_bias": self.use_bias,
        }


@register("se", site="block", layer=SqueezeExcitation)
@dataclass(frozen=True)
class SE(AttentionSpec):
    """Spec of `SqueezeExcitation`."""

    reduction_ratio: int = 16
    use_bias: bool = True
