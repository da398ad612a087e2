"""The parameter-free shortcut of CIFAR ResNets."""

import keras
from keras import ops

from keras_attention.ops.layout import channel_axis, spatial_axes


@keras.saving.register_keras_serializable("keras_attention")
class ZeroPadShortcut(keras.layers.Layer):
    """Every `strides`-th pixel of x, with zero channels appended up to `filters`.

    Option A of He et al. (arXiv:1512.03385, section 4.2).

    Args:
        filters: int, channels of the output, at least those of the input.
        strides: int ≥ 1.
        data_format: `"channels_last"` or `"channels_first"`.

    Raises:
        ValueError: `filters` below the input's channels.
    """

    def __init__(self, filters, strides=1, data_format="channels_last", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.strides = strides
        self.data_format = data_format

    def build(self, input_shape):
        channels = input_shape[channel_axis(self.data_format)]
        if channels > self.filters:
            raise ValueError(
                f"A zero-padding shortcut cannot drop channels: {channels} to "
                f"{self.filters}. Use shortcut='projection'."
            )
        self.built = True

    def call(self, inputs):
        index = [slice(None)] * 4
        for axis in spatial_axes(self.data_format):
            index[axis] = slice(None, None, self.strides)
        axis = channel_axis(self.data_format)
        amounts = [[0, 0] for _ in range(4)]
        amounts[axis][1] = self.filters - inputs.shape[axis]
        return ops.pad(inputs[tuple(index)], amounts)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis in spatial_axes(self.data_format):
            shape[axis] = shape[axis] and -(-shape[axis] // self.strides)
        shape[channel_axis(self.data_format)] = self.filters
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "strides": self.strides,
            "data_format": self.data_format,
        }
