"""Bottleneck attention module (Park et al., arXiv:1807.06514)."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.attention import AttentionSpec, register
from keras_attention.layers.checks import hidden_units, positive_integer
from keras_attention.layers.gate import Gate
from keras_attention.layers.identity_start import RESIDUAL_GAIN, multiply
from keras_attention.ops.pooling import pool

__all__ = ["BAM", "BAMBlockSpec", "BAMSpec"]


@keras.saving.register_keras_serializable("keras_attention")
class BAM(Gate):
    """y = x + x ⊙ σ(Mc(x) + Ms(x)).

    Mc: GAP → Dense C/r → BN → ReLU → Dense C.
    Ms: 1×1 conv to C/r → BN → ReLU → two of (3×3 conv, dilated → BN → ReLU)
    → 1×1 conv to one channel.

    Args:
        reduction_ratio: int ≥ 1, divisor of both branches' hidden width.
        dilation_rate: int ≥ 1, of the two 3×3 convolutions.
        data_format, identity_start: see `keras_attention.layers.Gate`; x + x ⊙ A
            becomes x + x ⊙ (σ(s·l) − ½) / 1.5.

    Input and output shape: (batch, height, width, C), or (batch, C, height, width)
    with `"channels_first"`. `attention_map` gives the sigmoid, of the input's shape.

    Raises:
        ValueError: `reduction_ratio` below 1 or above C, `dilation_rate` below 1.

    Source: arXiv:1807.06514, section 3. Biases everywhere and a batch norm after
    every layer but each branch's last are those of the authors' code. That code
    multiplies the two branches inside the sigmoid; the paper adds them, and so
    does this layer.
    """

    identity_gain = 1 / RESIDUAL_GAIN

    def __init__(self, reduction_ratio=16, dilation_rate=4, **kwargs):
        super().__init__(**kwargs)
        self.reduction_ratio = positive_integer("reduction_ratio", reduction_ratio)
        self.dilation_rate = positive_integer("dilation_rate", dilation_rate)

    def build_gate(self, channels, input_shape):
        hidden = hidden_units(channels, self.reduction_ratio)
        self.channel_branch = [
            keras.layers.Dense(hidden, dtype=self.dtype_policy, name="channel_reduce"),
            self._norm("channel_norm", axis=-1),
            keras.layers.ReLU(dtype=self.dtype_policy, name="channel_relu"),
            keras.layers.Dense(
                channels,
                bias_initializer=self.last_bias_initializer,
                dtype=self.dtype_policy,
                name="channel_expand",
            ),
        ]
        self.spatial_branch = [self._conv(hidden, 1, "spatial_reduce")]
        for i in (1, 2):
            self.spatial_branch += [
                self._norm(f"spatial_norm{i}"),
                keras.layers.ReLU(dtype=self.dtype_policy, name=f"spatial_relu{i}"),
                self._conv(hidden, 3, f"spatial_dilated{i}", self.dilation_rate),
            ]
        self.spatial_branch += [
            self._norm("spatial_norm3"),
            keras.layers.ReLU(dtype=self.dtype_policy, name="spatial_relu3"),
            self._conv(1, 1, "spatial_final"),
        ]
        _build_chain(self.channel_branch, (None, channels))
        _build_chain(self.spatial_branch, tuple(input_shape))

    def attention_map(self, inputs):
        channel = ops.squeeze(pool(inputs, "avg", self.spatial_axes), self.spatial_axes)
        for layer in self.channel_branch:
            channel = layer(channel)
        spatial = inputs
        for layer in self.spatial_branch:
            spatial = layer(spatial)
        return self.squash(self.per_channel(channel) + spatial, residual=True)

    def call(self, inputs):
        return inputs + super().call(inputs)

    def rescale(self, plain, input_gain):
        first = [plain.channel_branch[0], plain.spatial_branch[0]]
        last = [plain.channel_branch[-1], plain.spatial_branch[-1]]
        multiply([layer.kernel for layer in first], 1 / input_gain)
        multiply([w for layer in last for w in (layer.kernel, layer.bias)], self.scale)

    def _conv(self, filters, kernel_size, name, dilation_rate=1):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            dilation_rate=dilation_rate,
            data_format=self.data_format,
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name, axis=None):
        return keras.layers.BatchNormalization(
            axis=axis or self.channel_axis,
            momentum=0.9,
            epsilon=1e-5,
            dtype=self.dtype_policy,
            name=name,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "dilation_rate": self.dilation_rate,
        }


def _build_chain(layers, shape):
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)


@register("bam", site="stage", layer=BAM)
@dataclass(frozen=True)
class BAMSpec(AttentionSpec):
    """Spec of `BAM` between stages, as the paper places it."""

    reduction_ratio: int = 16
    dilation_rate: int = 4
    identity_start: bool = False


@register("bam_block", site="block", layer=BAM)
@dataclass(frozen=True)
class BAMBlockSpec(BAMSpec):
    """Spec of `BAM` inside every block, before the residual addition."""
