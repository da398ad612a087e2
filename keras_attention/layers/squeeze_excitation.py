"""Squeeze-and-excitation (Hu et al., arXiv:1709.01507)."""

from dataclasses import dataclass

import keras

from keras_attention.attention import AttentionSpec, register
from keras_attention.layers.channel_attention import ChannelAttention

__all__ = ["SE", "SqueezeExcitation"]


@keras.saving.register_keras_serializable("keras_attention")
class SqueezeExcitation(ChannelAttention):
    """y = x ⊙ σ(W₂ ReLU(W₁ GAP(x) + b₁) + b₂): channel attention of the mean alone.

    Args:
        reduction_ratio: int ≥ 1, divisor of the hidden width: C → C // r → C.
        use_bias: whether the two dense layers have biases.
        gate, hidden_divisor: see `ChannelAttention`.
        data_format, identity_start: see `keras_attention.layers.Gate`.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. `attention_map` gives (batch, 1, 1, C) of that layout.

    Raises:
        ValueError: as `ChannelAttention`.

    Source: arXiv:1709.01507, section 3. The paper's text has no biases; its code,
    and the parameter counts of the CBAM and AW papers, have them, so they are the
    default. MobileNetV3's SE (arXiv:1905.02244, section 5.3, and its authors' code) is
    `reduction_ratio=4, gate="hard_sigmoid", hidden_divisor=8`.
    """

    def __init__(
        self,
        reduction_ratio=16,
        use_bias=True,
        gate="sigmoid",
        hidden_divisor=1,
        **kwargs,
    ):
        super().__init__(
            reduction_ratio, ("avg",), use_bias, gate, hidden_divisor, **kwargs
        )

    def get_config(self):
        config = super().get_config()
        del config["pooling"]
        return config


@register("se", site="block", layer=SqueezeExcitation)
@dataclass(frozen=True)
class SE(AttentionSpec):
    """Spec of `SqueezeExcitation`."""

    reduction_ratio: int = 16
    use_bias: bool = True
    gate: str = "sigmoid"
    hidden_divisor: int = 1
    identity_start: bool = False
