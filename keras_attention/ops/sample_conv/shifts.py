"""What each tap of a kernel meets of its padded input, and the way back."""

from keras import ops


def output_size(inputs, kernel_size, strides, dilation_rate):
    """(height', width') of a "valid" convolution; ints where known."""
    return tuple(
        (ops.shape(inputs)[axis] - d * (k - 1) - 1) // s + 1
        for axis, k, s, d in zip(
            (1, 2), kernel_size, strides, dilation_rate, strict=True
        )
    )


def taps_of(kernel_size):
    """All (row, column) of a kernel, in row-major order."""
    return [(j, k) for j in range(kernel_size[0]) for k in range(kernel_size[1])]


def shifted(inputs, tap, size, strides, dilation_rate):
    """The (batch, height', width', C1) of `inputs` that `tap` meets."""
    (top, left), (height, width) = _start(tap, dilation_rate), size
    return inputs[
        :,
        top : top + (height - 1) * strides[0] + 1 : strides[0],
        left : left + (width - 1) * strides[1] + 1 : strides[1],
    ]


def unshifted(outputs, tap, shape, strides, dilation_rate):
    """The transpose of `shifted`: `outputs` back in place, zeros elsewhere.

    Args:
        outputs: (batch, height', width', C1).
        tap, strides, dilation_rate: as for `shifted`.
        shape: (height, width) to put them back into.
    """
    amounts = [(0, 0)]
    for axis, start, stride in zip(
        (1, 2), _start(tap, dilation_rate), strides, strict=True
    ):
        outputs = _spread(outputs, axis, stride)
        after = shape[axis - 1] - start - ops.shape(outputs)[axis]
        amounts.append((start, after))
    return ops.pad(outputs, [*amounts, (0, 0)])


def _start(tap, dilation_rate):
    return tuple(t * d for t, d in zip(tap, dilation_rate, strict=True))


def _spread(x, axis, stride):
    """Entries `stride` apart along `axis`, zeros between, none after the last."""
    if stride == 1:
        return x
    shape = list(ops.shape(x))
    length = shape[axis]
    x = ops.expand_dims(x, axis + 1)
    amounts = [(0, 0)] * 5
    amounts[axis + 1] = (0, stride - 1)
    shape[axis] = length * stride
    x = ops.reshape(ops.pad(x, amounts), shape)
    index = [slice(None)] * 4
    index[axis] = slice(0, (length - 1) * stride + 1)
    return x[tuple(index)]
