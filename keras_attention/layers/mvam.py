"""Mean-and-variance attention, MVAM (of the SSCBAM/SSMVAM work)."""

from dataclasses import dataclass

import keras

from keras_attention.attention import AttentionSpec, register
from keras_attention.layers.cbam import CBAM
from keras_attention.layers.checks import boolean

__all__ = ["MVAM", "MVAMSpec"]


@keras.saving.register_keras_serializable("keras_attention")
class MVAM(CBAM):
    """CBAM with the mean and the variance in place of the mean and the maximum.

    Mc = σ(MLP(mean x) + MLP(var x)) over positions, and
    Ms = σ(BN(Conv_k×k([mean x; var x]))) over channels.

    Args:
        reduction_ratio: int ≥ 1, divisor of the channel MLP's hidden width.
        order: `"channel_spatial"`, `"spatial_channel"`, `"parallel"` or `"sum"`; see
            `CBAM`.
        spatial_kernel_size: odd int, side of the spatial part's convolution.
        unbiased: True divides the variance by n − 1 (as `torch.var`, which the
            paper's code calls; 0 where n = 1), False by n.
        use_bias: whether the channel MLP has biases.
        spatial_norm: whether a batch norm follows the spatial part's convolution.
        data_format, identity_start: see `CBAM`.

    Input and output shape, `attention_map` and errors: as `CBAM`.
    """

    def __init__(
        self,
        reduction_ratio=16,
        order="channel_spatial",
        spatial_kernel_size=7,
        unbiased=True,
        use_bias=True,
        spatial_norm=True,
        **kwargs,
    ):
        pooling = ("avg", "var" if boolean("unbiased", unbiased) else "biased_var")
        super().__init__(
            reduction_ratio=reduction_ratio,
            order=order,
            channel_pooling=pooling,
            spatial_pooling=pooling,
            spatial_kernel_size=spatial_kernel_size,
            use_bias=use_bias,
            spatial_norm=spatial_norm,
            **kwargs,
        )
        self.unbiased = unbiased

    def get_config(self):
        config = {**super().get_config(), "unbiased": self.unbiased}
        del config["channel_pooling"], config["spatial_pooling"]
        return config


@register(
    "mvam",
    site="block",
    layer=MVAM,
    variants={
        "mvam_reverse": {"order": "spatial_channel"},
        "mvam_parallel": {"order": "parallel"},
    },
)
@dataclass(frozen=True)
class MVAMSpec(AttentionSpec):
    """Spec of `MVAM`."""

    reduction_ratio: int = 16
    order: str = "channel_spatial"
    spatial_kernel_size: int = 7
    unbiased: bool = True
    use_bias: bool = True
    spatial_norm: bool = True
    identity_start: bool = False
