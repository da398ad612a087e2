"""The second axis of a search: a plain convolution or an AW-convolution."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_attention.layers import AW, AWConv2D
from keras_attention.layers.convolution import Conv2D
from keras_attention.ops.sample_conv import attention_weighted_conv2d
from keras_attention.tuning.mixed import Mixture, UnregisteredSpec, weights_below

__all__ = ["MixedAWConv2D", "MixedConvSpec"]


@keras.saving.register_keras_serializable("keras_attention")
class MixedAWConv2D(Mixture, AWConv2D):
    """y = p0 · Conv(x, K) + p1 · Conv(x, K + A ⊙ K) = Conv(x, K + p1 · A ⊙ K).

    Both candidates share the kernel K, so that their mixture is one convolution.
    With `combine="product"` the second is Conv(x, A ⊙ K), and the mixture
    Conv(x, K + p1 · (A − 1) ⊙ K).

    Args:
        filters, kernel_size, …, reduction_ratio, channel_sharing, combine, norm: as
            `keras_attention.layers.AWConv2D`.

    Input and output shape, errors: as `AWConv2D`. The weight `alpha`, (2,) for plain
    and AW, is float32 and 0 at first; `probabilities()` gives p = softmax(α).
    """

    site = "conv"

    def build(self, input_shape):
        super().build(input_shape)
        self.add_alpha(2)

    def convolution_op(self, inputs, kernel, training=None):
        # A variable read inside a custom gradient would be asked for its own
        # gradient; casting reads it here.
        kernel = ops.cast(kernel, self.compute_dtype)
        maps = self.attention_map(inputs, training)
        if self.combine == "product":
            maps = maps - 1
        return attention_weighted_conv2d(
            inputs,
            kernel,
            self.shares(maps.dtype)[1] * maps,
            residual=True,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            data_format=self.data_format,
            training=training,
        )

    def alternatives(self):
        """New layers of this one's options: the plain and the AW-convolution."""
        config = self.get_config()
        plain = {key: config[key] for key in config if key not in AW().fields()}
        return Conv2D.from_config(plain), AWConv2D.from_config(config)

    def weights_for(self, layer):
        weights = weights_below(self)
        del weights["alpha"]
        if type(layer) is Conv2D:
            return {k: w for k, w in weights.items() if k in ("kernel", "bias")}
        options = AW().fields()
        if type(layer) is AWConv2D and all(
            getattr(layer, option) == getattr(self, option) for option in options
        ):
            return weights
        raise self._no_candidate(layer)

    # Keras' convolutions save their kernel and bias alone.
    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.built:
            store["alpha"] = self.alpha

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.built:
            self.alpha.assign(store["alpha"])


@dataclass(frozen=True)
class MixedConvSpec(UnregisteredSpec, AW):
    """Spec of `MixedAWConv2D`, in place of every spatial convolution of a block."""

    name = "mixed_aw"
    site = "conv"
    layer = MixedAWConv2D
