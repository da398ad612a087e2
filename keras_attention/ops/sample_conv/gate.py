"""The 1×1 AW-convolution with one map: a gate on the output channels."""

from keras import ops


def gate_conv2d(inputs, kernel, scale, strides, data_format):
    """Conv(I[n], s[n] ⊙ K) = s[n] ⊙ Conv(I[n], K) where s has only output channels.

    Args:
        inputs: images in `data_format`.
        kernel: (1, 1, C1 / groups, C2).
        scale: (batch, 1, 1, 1, C2).
        strides: pair of ints.
    """
    outputs = ops.conv(inputs, kernel, strides=strides, data_format=data_format)
    filters = kernel.shape[-1]
    shape = (1, 1, filters) if data_format == "channels_last" else (filters, 1, 1)
    return outputs * ops.reshape(scale, (-1, *shape))
