"""The base of attentions that multiply their input by a map."""

import keras
from keras import ops

from keras_attention.layers.checks import boolean
from keras_attention.layers.identity_start import MIDDLE, IdentityStart
from keras_attention.ops.layout import channel_axis, spatial_axes

__all__ = ["Gate"]


class Gate(IdentityStart, keras.layers.Layer):
    """y = x ⊙ attention_map(x), for 4-D images in either data format.

    Subclasses create their weights in `build_gate(channels, input_shape)` and
    compute the map, broadcastable to the input, in `attention_map(inputs)`.

    Args:
        data_format: `"channels_last"`, `"channels_first"`, or None for
            `keras.config.image_data_format()`.
        identity_start: True for y = x at first, by a learned scale of the gate's logits
            that starts at 0: y = x ⊙ 2σ(s·l) in place of x ⊙ σ(l); see
            `keras_attention.layers.identity_start`.
        **kwargs: `name`, `dtype`, … of `keras.layers.Layer`.
    """

    identity_gain = 1 / MIDDLE

    def __init__(self, data_format=None, identity_start=False, **kwargs):
        super().__init__(**kwargs)
        self.identity_start = boolean("identity_start", identity_start)
        self.data_format = keras.config.image_data_format()
        if data_format is not None:
            self.data_format = _check_data_format(data_format)
        self.channel_axis = channel_axis(self.data_format)
        self.spatial_axes = spatial_axes(self.data_format)

    def build(self, input_shape):
        check_image_shape(self, input_shape, self.channel_axis)
        channels = input_shape[self.channel_axis]
        self.input_spec = keras.InputSpec(ndim=4, axes={self.channel_axis: channels})
        self.build_gate(channels, input_shape)
        self.add_scale()
        self.built = True

    def attention_map(self, inputs):
        """The map that multiplies `inputs`, with values in (0, 1) in a plain layer."""
        raise NotImplementedError("a subclass computes its map")  # abstract

    def attention_maps(self, inputs):
        """`attention_map` of every image as {its kind: map}, in the layer's layout.

        The kinds are `"channel"`, (batch, 1, 1, C), `"spatial"`, (batch, H, W, 1), and
        `"volume"`, (batch, H, W, C). A subclass of several maps gives each of them.
        """
        attention = self.attention_map(inputs)
        kind = self._kind(attention, inputs)
        shape = list(ops.shape(inputs))
        ones = {"channel": self.spatial_axes, "spatial": (self.channel_axis,)}
        for axis in ones.get(kind, ()):
            shape[axis] = 1
        return {kind: ops.broadcast_to(attention, shape)}

    def _kind(self, attention, inputs):
        by_place = any(attention.shape[axis] != 1 for axis in self.spatial_axes)
        if attention.shape[self.channel_axis] != 1:
            return "volume" if by_place else "channel"
        one_place = all(inputs.shape[axis] == 1 for axis in self.spatial_axes)
        return "spatial" if by_place or one_place else "channel"

    def call(self, inputs):
        return inputs * self.attention_map(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "data_format": self.data_format,
            "identity_start": self.identity_start,
        }

    def per_channel(self, vector):
        """(batch, channels) reshaped to multiply an image."""
        if self.data_format == "channels_last":
            return ops.expand_dims(vector, (1, 2))
        return ops.expand_dims(vector, (2, 3))


def check_image_shape(layer, input_shape, axis):
    """Raises unless `input_shape` is 4-D with a known channel axis."""
    if len(input_shape) != 4 or input_shape[axis] is None:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r} takes 4-D images with a known "
            f"number of channels on axis {axis} (data_format="
            f"{layer.data_format!r}). Received shape: {tuple(input_shape)}."
        )


def _check_data_format(data_format):
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            "`data_format` must be 'channels_last' or 'channels_first'. "
            f"Received: {data_format!r}."
        )
    return data_format
