"""Any per-sample convolution as one matrix product per sample and group."""

from keras import ops

from keras_attention.ops.sample_conv.shifts import output_size, shifted, taps_of


def expand(scale, kernel, groups):
    """(batch, kh, kw, M, C2) made broadcastable to (batch, *kernel.shape).

    With groups, output channel o looks at the channels of its own group only, and
    takes the map's entries of those.
    """
    kh, kw, depth, filters = kernel.shape
    maps = scale.shape[3]
    if maps == 1:
        return scale
    per_channel = ops.repeat(scale, depth * groups // maps, axis=3)
    if groups == 1:
        return per_channel
    by_group = ops.reshape(
        per_channel, (-1, kh, kw, groups, depth, groups, filters // groups)
    )
    own = [by_group[:, :, :, g, :, g] for g in range(groups)]
    return ops.reshape(ops.stack(own, axis=4), (-1, kh, kw, depth, filters))


def im2col_conv2d(inputs, kernels, strides, dilation_rate, groups):
    """A "valid" convolution of sample n with kernels[n].

    Args:
        inputs: (batch, height, width, C1).
        kernels: (batch, kh, kw, C1 / groups, C2).
        strides, dilation_rate: pairs of ints.
    """
    kh, kw, depth, filters = kernels.shape[1:]
    size = output_size(inputs, (kh, kw), strides, dilation_rate)
    positions = size[0] * size[1]
    patches = ops.stack(
        [
            shifted(inputs, tap, size, strides, dilation_rate)
            for tap in taps_of((kh, kw))
        ],
        axis=3,
    )  # batch, h', w', kh·kw, C1
    patches = ops.reshape(patches, (-1, positions, kh * kw, groups, depth))
    patches = ops.transpose(patches, (0, 3, 1, 2, 4))
    patches = ops.reshape(patches, (-1, groups, positions, kh * kw * depth))
    kernels = ops.reshape(kernels, (-1, kh * kw, depth, groups, filters // groups))
    kernels = ops.transpose(kernels, (0, 3, 1, 2, 4))
    kernels = ops.reshape(kernels, (-1, groups, kh * kw * depth, filters // groups))
    outputs = ops.matmul(patches, kernels)  # batch, groups, h'·w', C2 / groups
    outputs = ops.transpose(outputs, (0, 2, 1, 3))
    return ops.reshape(outputs, (-1, size[0], size[1], filters))
