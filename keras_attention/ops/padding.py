"""Zero padding that makes a convolution a "valid" one."""

from keras import ops

from keras_attention.ops.layout import spatial_axes


def symmetric_amounts(kernel_size, dilation_rate):
    """Zeros on each side, (height, width), as PyTorch's `padding=d·(k − 1) // 2`."""
    return tuple(
        d * (k - 1) // 2 for k, d in zip(kernel_size, dilation_rate, strict=True)
    )


def known_output_size(size, kernel_size, strides, dilation_rate, padding):
    """(height', width') of a convolution of `size`; None where that is None."""

    def along(n, k, s, d):
        lost = d * (k - 1) if padding == "valid" else 0
        return None if n is None else -(-(n - lost) // s)

    return tuple(map(along, size, kernel_size, strides, dilation_rate))


def leading_amounts(size, kernel_size, strides, dilation_rate, padding):
    """Zeros before an image of known size, (height, width), in a convolution."""
    if padding == "valid":
        return (0, 0)
    if padding == "symmetric":
        return symmetric_amounts(kernel_size, dilation_rate)
    return tuple(
        max(_missing(n, d * (k - 1) + 1, s), 0) // 2
        for n, k, s, d in zip(size, kernel_size, strides, dilation_rate, strict=True)
    )


def pad_for_conv(
    inputs, kernel_size, strides, dilation_rate, padding, data_format="channels_last"
):
    """Pads height and width so that a "valid" convolution gives `padding`'s output.

    Args:
        inputs: image tensor; height and width may be unknown until the graph runs.
        kernel_size, strides, dilation_rate: pairs of ints.
        padding: `"valid"`; `"same"` (Keras': the odd zero goes after, and at strides
            above 1 the amount depends on the size); `"symmetric"`.
        data_format: `"channels_last"` or `"channels_first"`.
    """
    if padding == "valid":
        return inputs
    amounts = [(0, 0)] * 4
    symmetric = symmetric_amounts(kernel_size, dilation_rate)
    for i, axis in enumerate(spatial_axes(data_format)):
        if padding == "symmetric":
            amounts[axis] = (symmetric[i], symmetric[i])
        else:
            extent = dilation_rate[i] * (kernel_size[i] - 1) + 1
            amounts[axis] = _same_amounts(inputs, axis, extent, strides[i])
    if all(isinstance(n, int) and n == 0 for pair in amounts for n in pair):
        return inputs
    return ops.pad(inputs, amounts)


def _same_amounts(inputs, axis, extent, stride):
    if stride == 1:
        total = extent - 1
    elif inputs.shape[axis] is not None:
        total = max(_missing(inputs.shape[axis], extent, stride), 0)
    else:
        total = ops.maximum(_missing(ops.shape(inputs)[axis], extent, stride), 0)
    return total // 2, total - total // 2


def _missing(size, extent, stride):
    """Entries that the last of ⌈size / stride⌉ windows lacks; below 0 where none."""
    return (-(-size // stride) - 1) * stride + extent - size
