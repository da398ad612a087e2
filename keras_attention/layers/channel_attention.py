"""Channel attention of CBAM (Woo et al., arXiv:1807.06521)."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.attention import AttentionSpec, register
from keras_attention.choices import check_choice
from keras_attention.layers.checks import boolean, hidden_units, positive_integer
from keras_attention.layers.gate import Gate
from keras_attention.layers.identity_start import DEGREES, multiply
from keras_attention.ops.pooling import check_statistics, pool

__all__ = ["ChannelAttention", "ChannelAttentionSpec"]

# Keras' hard sigmoid is the MobileNets', relu6(x + 3) / 6.
GATES = {"sigmoid": ops.sigmoid, "hard_sigmoid": ops.hard_sigmoid}


@keras.saving.register_keras_serializable("keras_attention")
class ChannelAttention(Gate):
    """y = x ⊙ σ(Σ_s MLP(pool_s(x))), one MLP shared by the pooled statistics.

    Args:
        reduction_ratio: int ≥ 1, divisor of the MLP's hidden width: C → C // r → C.
        pooling: the statistics s over all positions: `"avg"`, `"max"`, `"var"`
            (unbiased), `"biased_var"`.
        use_bias: whether the MLP has biases.
        gate: σ, `"sigmoid"` or `"hard_sigmoid"` (relu6(x + 3) / 6, values in [0, 1]).
        hidden_divisor: int ≥ 1; above 1 the hidden width is the multiple of it that
            is nearest to C / r, neither under `hidden_divisor` nor under 90% of C / r.
        data_format, identity_start: see `keras_attention.layers.Gate`.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. `attention_map` gives (batch, 1, 1, C) of that layout.

    Raises:
        ValueError: `reduction_ratio` below 1, or above C without a `hidden_divisor`;
            an unknown statistic or gate; `hidden_divisor` below 1.

    Source: arXiv:1807.06521, section 3.1; the biases are those of the authors' code
    and of their parameter counts. `gate` and `hidden_divisor` are not in the paper;
    they are those of MobileNetV3's SE.
    """

    def __init__(
        self,
        reduction_ratio=16,
        pooling=("avg", "max"),
        use_bias=True,
        gate="sigmoid",
        hidden_divisor=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.reduction_ratio = positive_integer("reduction_ratio", reduction_ratio)
        self.pooling = check_statistics("pooling", pooling)
        self.use_bias = boolean("use_bias", use_bias)
        self.gate = check_choice("gate", gate, GATES)
        self.hidden_divisor = positive_integer("hidden_divisor", hidden_divisor)

    def build_gate(self, channels, input_shape):
        hidden = hidden_units(channels, self.reduction_ratio, self.hidden_divisor)
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
            use_bias=self.use_bias,
            bias_initializer=self.last_bias_initializer,
            dtype=self.dtype_policy,
            name="expand",
        )
        self.reduce.build((None, channels))
        self.expand.build((None, hidden))

    def attention_map(self, inputs):
        return self.squash(self.attention_logits(inputs), GATES[self.gate])

    def attention_logits(self, inputs):
        """What σ takes, (batch, 1, 1, C) of the layer's layout."""
        logits = [self._mlp(pool(inputs, s, self.spatial_axes)) for s in self.pooling]
        return self.per_channel(sum(logits[1:], start=logits[0]))

    def rescale(self, plain, input_gain):
        self.rescale_logits(plain, self.scale, input_gain)

    @staticmethod
    def rescale_logits(plain, scale, input_gain):
        """Multiply the logits of `plain` by `scale`, for a multiplied input."""
        degrees = {DEGREES[statistic] for statistic in plain.pooling}
        if input_gain != 1:
            if len(degrees) > 1:
                raise ValueError(
                    f"one MLP is shared by {plain.pooling}, which grow by different "
                    "powers with the input"
                )
            multiply([plain.reduce.kernel], input_gain ** -degrees.pop())
        multiply([plain.expand.kernel, plain.expand.bias], scale)

    def _mlp(self, pooled):
        return self.expand(self.reduce(ops.squeeze(pooled, self.spatial_axes)))

    def get_config(self):
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "pooling": self.pooling,
            "use_bias": self.use_bias,
            "gate": self.gate,
            "hidden_divisor": self.hidden_divisor,
        }


# The AW paper's "CBAM(MaxPool)" is CBAM's channel part alone, with both poolings.
@register(
    "channel", site="block", layer=ChannelAttention, variants={"cbam_maxpool": {}}
)
@dataclass(frozen=True)
class ChannelAttentionSpec(AttentionSpec):
    """Spec of `ChannelAttention`."""

    reduction_ratio: int = 16
    pooling: tuple = ("avg", "max")
    use_bias: bool = True
    gate: str = "sigmoid"
    hidden_divisor: int = 1
    identity_start: bool = False
