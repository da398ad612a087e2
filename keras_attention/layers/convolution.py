"""`keras.layers.Conv2D` with PyTorch's symmetric padding."""

import keras

from keras_attention.ops.padding import pad_for_conv

__all__ = ["Conv2D"]


@keras.saving.register_keras_serializable("keras_attention")
class Conv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` that also takes `padding="symmetric"`.

    `"symmetric"` puts d·(k − 1)/2 zeros on every side, whatever the stride, as
    PyTorch's networks do. The output has the size of `"same"`, which at strides
    above 1 pads after the image first and so reads other pixels; weights trained
    with one lose accuracy with the other.

    Args: those of `keras.layers.Conv2D`.

    Raises:
        ValueError: `"symmetric"` with an even kernel size, and as Keras'.
    """

    def __init__(self, filters, kernel_size, strides=1, padding="valid", **kwargs):
        symmetric = padding == "symmetric"
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding="same" if symmetric else padding,
            **kwargs,
        )
        if symmetric:
            self._check_odd_kernel()
            self.padding = "symmetric"

    def _check_odd_kernel(self):
        if any(size % 2 == 0 for size in self.kernel_size):
            raise ValueError(
                "padding='symmetric' needs an odd `kernel_size`. Received: "
                f"{self.kernel_size}. Use 'same' or 'valid'."
            )

    def convolution_op(self, inputs, kernel):
        # At stride 1 "same" is symmetric, and needs no padded copy.
        padding = self.padding
        if padding == "symmetric" and max(self.strides) == 1:
            padding = "same"
        elif padding == "symmetric":
            inputs = pad_for_conv(
                inputs,
                self.kernel_size,
                self.strides,
                self.dilation_rate,
                "symmetric",
                self.data_format,
            )
            padding = "valid"
        return keras.ops.conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )

    def compute_output_shape(self, input_shape):
        if self.padding != "symmetric":
            return super().compute_output_shape(input_shape)
        self.padding = "same"  # of the same size, see above
        try:
            return super().compute_output_shape(input_shape)
        finally:
            self.padding = "symmetric"


def make_conv(spec, **kwargs):
    """A `Conv2D`, or what a conv-site `spec` puts in its place."""
    return Conv2D(**kwargs) if spec is None else spec.make(**kwargs)
