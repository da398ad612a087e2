"""AW-convolution (Baozhou et al., arXiv:2108.08205)."""

import math
from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.attention import AttentionSpec, register
from keras_attention.choices import check_choice
from keras_attention.layers.checks import boolean, positive_integer
from keras_attention.layers.convolution import Conv2D
from keras_attention.layers.gate import check_image_shape
from keras_attention.layers.identity_start import (
    MIDDLE,
    RESIDUAL_GAIN,
    IdentityStart,
    multiply,
)
from keras_attention.ops.layout import channel_axis
from keras_attention.ops.pooling import adaptive_average_pool2d
from keras_attention.ops.sample_conv import attention_weighted_conv2d

__all__ = ["AW", "AWConv2D"]

COMBINES = ("residual", "product")
NORMS = ("batch", "group", "frozen")
# Values that one group normalises; with few of them the mean is the value itself.
GROUP_WIDTH = 16


@keras.saving.register_keras_serializable("keras_attention")
class AWConv2D(IdentityStart, Conv2D):
    """A convolution whose kernel each sample weights by its own attention map.

    O[n] = Conv(I[n], K + A[n] ⊙ K), with
    A = Expand(σ(BN(Pointconv₂(ReLU(BN(Pointconv₁(AvgPool_{kh×kw}(I)))))))).

    Args:
        filters, kernel_size, strides, padding, dilation_rate, groups, …: as
            `keras.layers.Conv2D`; `padding` also takes `"symmetric"`, see
            `keras_attention.layers.Conv2D`.
        reduction_ratio: int ≥ 1, r: the branch's hidden width is
            C2·(C1 / r_C1) / r, at least 1.
        channel_sharing: int that divides C1, r_C1: so many neighbouring input
            channels share one map. None means C1: one map for all.
        combine: `"residual"` for K + A ⊙ K, `"product"` for A ⊙ K.
        norm: what BN above is. `"batch"`, the paper's. `"group"`: a group norm of
            about 16 channels per group, for batches of few images. `"frozen"`: a batch
            norm that keeps its statistics and weights, for fine-tuning.
        identity_start: True for Conv(I, K) at first, by a learned scale s of σ's input
            that starts at 0: K + (σ(s·l) − ½) / 1.5 ⊙ K in place of K + σ(l) ⊙ K, and
            2σ(s·l) ⊙ K in place of σ(l) ⊙ K.

    With a 1×1 kernel the branch sees one value per image and channel, so a batch
    norm sees as many as the batch has images: of one image it makes zeros.

    Input shape: (batch, height, width, C1), or (batch, C1, height, width) with
    `"channels_first"`. Output shape: as `keras.layers.Conv2D`. `layer.kernel` is
    (kh, kw, C1 / groups, C2); `layer.attention_map(x)` is the map before expansion,
    (batch, kh, kw, C1 / r_C1, C2), values in (0, 1).

    With groups, an output channel uses the map's entries of its own group's input
    channels; with r_C1 below C1 / groups the others are unused.

    Raises:
        ValueError: `reduction_ratio` below 1, `channel_sharing` that does not divide
            C1, an unknown `combine` or `norm`, training a 1×1 kernel with
            `norm="batch"` on a batch of one image, a group norm of one value, and
            what `keras.layers.Conv2D` raises.

    Source: arXiv:2108.08205, section 3 and table 1, whose parameter counts fix what
    the text leaves open: hidden width C2 / r (not C1 / r), no biases in the branch,
    a batch norm after both of its convolutions.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        reduction_ratio=16,
        channel_sharing=None,
        combine="residual",
        norm="batch",
        identity_start=False,
        **kwargs,
    ):
        super().__init__(
            filters, kernel_size, strides=strides, padding=padding, **kwargs
        )
        self.reduction_ratio = positive_integer("reduction_ratio", reduction_ratio)
        if channel_sharing is not None:
            positive_integer("channel_sharing", channel_sharing)
        self.channel_sharing = channel_sharing
        self.combine = check_choice("combine", combine, COMBINES)
        self.norm = check_choice("norm", norm, NORMS)
        self.identity_start = boolean("identity_start", identity_start)

    def build(self, input_shape):
        axis = channel_axis(self.data_format)
        check_image_shape(self, input_shape, axis)
        channels = input_shape[axis]
        sharing = self.channel_sharing or channels
        if channels % sharing:
            raise ValueError(
                "`channel_sharing` must divide the number of input channels. Received: "
                f"{sharing} for {channels} channels."
            )
        self.maps = channels // sharing
        hidden = max(1, self.filters * self.maps // self.reduction_ratio)
        self.pointconv1 = self._pointconv(hidden, "pointconv1", "he_normal")
        self.norm1 = self._norm("norm1", hidden)
        self.pointconv2 = self._pointconv(self.maps * self.filters, "pointconv2")
        self.norm2 = self._norm(
            "norm2", self.maps * self.filters, self.last_bias_initializer
        )
        self.pointconv1.build((None, *self.kernel_size, channels))
        self.norm1.build((None, *self.kernel_size, hidden))
        self.pointconv2.build((None, *self.kernel_size, hidden))
        self.norm2.build((None, *self.kernel_size, self.maps * self.filters))
        self.add_scale()
        super().build(input_shape)

    @property
    def trainable(self):
        return super().trainable

    @trainable.setter
    def trainable(self, value):
        Conv2D.trainable.fset(self, value)
        if self.built and self.norm == "frozen":
            self.norm1.trainable = self.norm2.trainable = False

    def attention_map(self, inputs, training=None):
        """A before its expansion, (batch, kh, kw, C1 / r_C1, C2)."""
        if training and self.norm == "batch":
            self._check_batch(inputs)
        training = training and self.norm != "frozen"
        pooled = adaptive_average_pool2d(inputs, self.kernel_size, self.data_format)
        if self.data_format == "channels_first":
            pooled = ops.transpose(pooled, (0, 2, 3, 1))  # (batch, kh, kw, C1)
        hidden = ops.relu(self.norm1(self.pointconv1(pooled), training=training))
        logits = self.norm2(self.pointconv2(hidden), training=training)
        maps = self.squash(logits, residual=self.combine == "residual")
        return ops.reshape(maps, (-1, *self.kernel_size, self.maps, self.filters))

    def attention_maps(self, inputs):
        """`{"kernel": (batch, kh, kw, C1 / r_C1, C2)}`: `attention_map` by its kind."""
        return {"kernel": self.attention_map(inputs)}

    def call(self, inputs, training=None):
        outputs = self.convolution_op(inputs, self.kernel, training)
        if self.use_bias:
            last = self.data_format == "channels_last"
            outputs += self.bias if last else ops.reshape(self.bias, (-1, 1, 1))
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs, kernel, training=None):
        # A variable read inside a custom gradient would be asked for its own
        # gradient; casting reads it here.
        kernel = ops.cast(kernel, self.compute_dtype)
        return attention_weighted_conv2d(
            inputs,
            kernel,
            self.attention_map(inputs, training),
            residual=self.combine == "residual",
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            data_format=self.data_format,
            training=training,
        )

    def rescale(self, plain, input_gain):
        if input_gain != 1:
            raise ValueError("the branch of a convolution takes its input as it is")
        multiply([plain.norm2.gamma, plain.norm2.beta], self.scale)
        residual = self.combine == "residual"
        multiply([plain.kernel], 1 / RESIDUAL_GAIN if residual else 1 / MIDDLE)

    # Keras' convolutions save their kernel and bias alone.
    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.identity_start and self.built:
            store["scale"] = self.scale

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.identity_start and self.built:
            self.scale.assign(store["scale"])

    def _pointconv(self, filters, name, kernel_initializer="glorot_uniform"):
        return keras.layers.Conv2D(
            filters,
            1,
            use_bias=False,
            kernel_initializer=kernel_initializer,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name, channels, beta_initializer="zeros"):
        options = {
            "epsilon": 1e-5,
            "beta_initializer": beta_initializer,
            "dtype": self.dtype_policy,
            "name": name,
        }
        if self.norm == "group":
            return keras.layers.GroupNormalization(self._groups(channels), **options)
        norm = keras.layers.BatchNormalization(momentum=0.9, **options)
        norm.trainable = self.norm != "frozen"
        return norm

    def _groups(self, channels):
        if channels * math.prod(self.kernel_size) == 1:
            raise ValueError(
                "norm='group' would normalise single values, and so make zeros: the "
                f"branch has one channel. Received: filters={self.filters}, "
                f"reduction_ratio={self.reduction_ratio}. Lower the ratio, or use "
                "norm='batch'."
            )
        groups = max(1, channels // GROUP_WIDTH)
        while channels % groups:
            groups -= 1
        return groups

    def _check_batch(self, inputs):
        if inputs.shape[0] == 1 and self.kernel_size == (1, 1):
            raise ValueError(
                f"{self.name!r} has norm='batch' and a 1×1 kernel, and trains on a "
                "batch of one image: of one value a batch norm makes zero. Use "
                "norm='group' or 'frozen', or more images per batch."
            )

    def get_config(self):
        return {
            **super().get_config(),
            "reduction_ratio": self.reduction_ratio,
            "channel_sharing": self.channel_sharing,
            "combine": self.combine,
            "norm": self.norm,
            "identity_start": self.identity_start,
        }


@register("aw", site="conv", layer=AWConv2D)
@dataclass(frozen=True)
class AW(AttentionSpec):
    """Spec of `AWConv2D`, in place of every spatial convolution of a block."""

    reduction_ratio: int = 16
    channel_sharing: int | None = None
    combine: str = "residual"
    norm: str = "batch"
    identity_start: bool = False
