"""Statistics that attentions pool by, and adaptive average pooling."""

import math

import keras
import numpy as np
from keras import ops

from keras_attention.choices import unknown
from keras_attention.ops.exporting import is_exporting
from keras_attention.ops.layout import spatial_axes


def pool(inputs, statistic, axis):
    """One statistic of `inputs` over `axis`, which are kept with size 1.

    Args:
        inputs: float tensor.
        statistic: `"avg"` mean; `"max"`; `"var"` unbiased variance (divided by
            n − 1, as `torch.var`; 0 where n = 1); `"biased_var"` divided by n.
        axis: int or tuple of ints.

    Returns:
        A tensor of the same dtype. Sums run in float32 at least, since 112² terms
        overflow float16.
    """
    return _statistic(statistic)(inputs, axis)


def check_statistics(name, statistics):
    """`statistics` as a tuple, after checking each against `STATISTICS`."""
    if isinstance(statistics, str) or not isinstance(statistics, list | tuple):
        raise ValueError(
            f"`{name}` must be a list of statistics out of {list(STATISTICS)}. "
            f"Received: {statistics!r}."
        )
    if not statistics:
        raise ValueError(f"`{name}` needs at least one of {list(STATISTICS)}.")
    for statistic in statistics:
        _statistic(statistic, name)
    if len(set(statistics)) < len(statistics):
        raise ValueError(f"`{name}` names a statistic twice: {tuple(statistics)}.")
    return tuple(statistics)


def adaptive_average_pool2d(inputs, output_size, data_format="channels_last"):
    """Mean over bins ⌊i·n/o⌋ … ⌈(i+1)·n/o⌉ − 1 along height and width.

    The bins of PyTorch's `adaptive_avg_pool2d`; they overlap where o does not
    divide n, and repeat where o > n.

    Args:
        inputs: (batch, height, width, channels) or its channels-first form.
        output_size: (output height, output width).
        data_format: `"channels_last"` or `"channels_first"`.

    Returns:
        The pooled tensor in `inputs`' dtype and layout.
    """
    axes, output_size = spatial_axes(data_format), tuple(output_size)
    if output_size == (1, 1):
        return _mean(inputs, axes)
    if tuple(inputs.shape[axis] for axis in axes) == output_size:
        return inputs
    if is_exporting():
        return _mean_by_slices(inputs, axes, output_size)
    # One product with the bins as a matrix. Bins as slices take longer forward, and
    # their gradient ten times as long.
    height, width = (ops.shape(inputs)[axis] for axis in axes)
    wide = _wide(inputs)
    dtype = keras.backend.standardize_dtype(wide.dtype)
    rows = _bins(height, output_size[0], dtype)
    columns = _bins(width, output_size[1], dtype)
    weights = rows[:, None, :, None] * columns[None, :, None, :]
    weights = ops.reshape(weights, (math.prod(output_size), height * width))
    if data_format == "channels_last":
        channels = inputs.shape[-1]
        flat = ops.reshape(wide, (-1, height * width, channels))
        pooled = ops.matmul(weights, flat)
        shape = (-1, *output_size, channels)
    else:
        channels = inputs.shape[1]
        flat = ops.reshape(wide, (-1, channels, height * width))
        pooled = ops.matmul(flat, ops.transpose(weights))
        shape = (-1, channels, *output_size)
    return ops.cast(ops.reshape(pooled, shape), inputs.dtype)


def _mean_by_slices(inputs, axes, output_size):
    """Adaptive pooling by slices and means alone, which every runtime is fast at.

    Row bins first: the mean over a bin is that over its columns of those over its rows.
    """
    for axis, size in zip(axes, output_size, strict=True):
        length = inputs.shape[axis]
        means = [
            _mean(_slice(inputs, axis, start, stop), axis)
            for start, stop in zip(
                *_bin_edges(np.arange(size), length, size), strict=True
            )
        ]
        inputs = _concatenate(means, axis)
    return inputs


def _slice(x, axis, start, stop):
    index = [slice(None)] * 4
    index[axis] = slice(start, stop)
    return x[tuple(index)]


def _concatenate(tensors, axis):
    # By threes: a mobile runtime takes no longer list.
    while len(tensors) > 1:
        groups = (tensors[i : i + 3] for i in range(0, len(tensors), 3))
        tensors = [ops.concatenate(group, axis=axis) for group in groups]
    return tensors[0]


def _statistic(name, argument="statistic"):
    if not isinstance(name, str) or name not in STATISTICS:
        raise unknown(argument, name, STATISTICS)
    return STATISTICS[name]


def _mean(x, axis):
    return ops.cast(ops.mean(_wide(x), axis=axis, keepdims=True), x.dtype)


def _max(x, axis):
    return ops.max(x, axis=axis, keepdims=True)


def _biased_variance(x, axis):
    return ops.cast(ops.var(_wide(x), axis=axis, keepdims=True), x.dtype)


def _variance(x, axis):
    wide = _wide(x)
    axes = axis if isinstance(axis, tuple) else (axis,)
    count = 1
    for a in axes:
        count = count * ops.shape(x)[a]
    count = ops.cast(count, wide.dtype)
    correction = count / ops.maximum(count - 1, 1)
    variance = ops.var(wide, axis=axis, keepdims=True) * correction
    return ops.cast(variance, x.dtype)


def _wide(x):
    half = ("float16", "bfloat16")
    return ops.cast(x, "float32") if x.dtype in half else x


STATISTICS = {
    "avg": _mean,
    "max": _max,
    "var": _variance,
    "biased_var": _biased_variance,
}


def _bins(length, size, dtype):
    """(size, length) matrix whose rows average one bin each.

    An array where `length` is an int, a tensor where only the graph knows it.
    """
    static = isinstance(length, int)
    xp, cast = (np, np.asarray) if static else (ops, ops.cast)
    start, stop = _bin_edges(xp.arange(size), length, size)
    position = xp.arange(length)
    inside = (position >= start[:, None]) & (position < stop[:, None])
    return cast(inside, dtype) / cast(stop - start, dtype)[:, None]


def _bin_edges(index, length, size):
    """First entry of bins `index`, out of `size`, and the one after their last."""
    return index * length // size, -(-(index + 1) * length // size)
