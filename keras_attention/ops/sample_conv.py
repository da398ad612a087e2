"""Convolution with one kernel per sample, as the AW-convolution needs it."""

from keras import ops

from keras_attention.ops.padding import pad_for_conv


def attention_weighted_conv2d(
    inputs,
    kernel,
    attention,
    *,
    residual=True,
    strides=(1, 1),
    padding="valid",
    dilation_rate=(1, 1),
    groups=1,
    data_format="channels_last",
):
    """O[n] = Conv(I[n], K + A[n] ⊙ K), or Conv(I[n], A[n] ⊙ K).

    Args:
        inputs: I, (batch, height, width, C1) or (batch, C1, height, width).
        kernel: K, (kh, kw, C1 / groups, C2).
        attention: (batch, kh, kw, M, C2) with M a divisor of C1; entry m holds for
            input channels m·C1/M … (m + 1)·C1/M − 1, and is expanded to them.
        residual: True for K + A ⊙ K, False for A ⊙ K.
        strides, dilation_rate: pairs of ints.
        padding: `"valid"`, `"same"` or `"symmetric"` (see `ops.padding`).
        groups: int, divides C1 and C2.
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        (batch, height', width', C2), or its channels-first form.

    Source: arXiv:2108.08205, equations 1 to 5.
    """
    weights = expand_attention(attention, kernel, groups)
    kernels = (1 + weights) * kernel if residual else weights * kernel
    inputs = pad_for_conv(
        inputs, kernel.shape[:2], strides, dilation_rate, padding, data_format
    )
    if data_format == "channels_first":
        inputs = ops.transpose(inputs, (0, 2, 3, 1))
    outputs = _sample_conv2d(inputs, kernels, strides, dilation_rate, groups)
    if data_format == "channels_first":
        outputs = ops.transpose(outputs, (0, 3, 1, 2))
    return outputs


def expand_attention(attention, kernel, groups):
    """A[n], broadcastable to (batch, kh, kw, C1 / groups, C2), out of the map.

    With groups, output channel o looks at the channels of its own group only, and
    takes the map's entries of those.
    """
    kh, kw, depth, filters = kernel.shape
    maps = attention.shape[3]
    if maps == 1:
        return attention
    per_channel = ops.repeat(attention, depth * groups // maps, axis=3)
    if groups == 1:
        return per_channel
    by_group = ops.reshape(
        per_channel, (-1, kh, kw, groups, depth, groups, filters // groups)
    )
    own = [by_group[:, :, :, g, :, g] for g in range(groups)]
    return ops.reshape(ops.stack(own, axis=4), (-1, kh, kw, depth, filters))


def _sample_conv2d(inputs, kernels, strides, dilation_rate, groups):
    """A "valid" convolution of sample n with kernels[n], by im2col and one matmul."""
    kh, kw, depth, filters = kernels.shape[1:]
    size = [
        (ops.shape(inputs)[axis] - d * (k - 1) - 1) // s + 1
        for axis, k, s, d in zip((1, 2), (kh, kw), strides, dilation_rate, strict=True)
    ]
    taps = [
        _shifted(inputs, (j, k), size, strides, dilation_rate)
        for j in range(kh)
        for k in range(kw)
    ]
    patches = ops.stack(taps, axis=3)  # (batch, h', w', kh·kw, C1)
    positions = size[0] * size[1]
    patches = ops.reshape(patches, (-1, positions, kh * kw, groups, depth))
    patches = ops.transpose(patches, (0, 3, 1, 2, 4))
    patches = ops.reshape(patches, (-1, groups, positions, kh * kw * depth))
    kernels = ops.reshape(kernels, (-1, kh * kw, depth, groups, filters // groups))
    kernels = ops.transpose(kernels, (0, 3, 1, 2, 4))
    kernels = ops.reshape(kernels, (-1, groups, kh * kw * depth, filters // groups))
    outputs = ops.matmul(patches, kernels)  # (batch, groups, h'·w', C2 / groups)
    outputs = ops.transpose(outputs, (0, 2, 1, 3))
    return ops.reshape(outputs, (-1, size[0], size[1], filters))


def _shifted(inputs, tap, size, strides, dilation_rate):
    """The inputs that `tap` of the kernel meets, (batch, h', w', C1)."""
    starts = [t * d for t, d in zip(tap, dilation_rate, strict=True)]
    (top, left), (height, width), (sh, sw) = starts, size, strides
    return inputs[
        :,
        top : top + (height - 1) * sh + 1 : sh,
        left : left + (width - 1) * sw + 1 : sw,
    ]
