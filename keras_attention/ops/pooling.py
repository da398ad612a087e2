"""Statistics that attentions pool by, and adaptive average pooling."""

from keras import ops

from keras_attention.choices import unknown
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
    pooled = inputs
    for axis, size in zip(spatial_axes(data_format), output_size, strict=True):
        pooled = _pool_axis(pooled, axis, size)
    return pooled


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


def _pool_axis(x, axis, size):
    length = x.shape[axis]
    if length == size:
        return x
    if size == 1:
        return _mean(x, axis)
    if length is None:
        return _pool_unknown_axis(x, axis, size)
    # Slices rather than a matrix product: they need no constant the size of the
    # map, and converters for phones take them as they are.
    bins = [(i * length // size, -(-(i + 1) * length // size)) for i in range(size)]
    return ops.concatenate(
        [_mean(_slice_axis(x, axis, *bounds), axis) for bounds in bins], axis=axis
    )


def _slice_axis(x, axis, start, stop):
    return x[tuple([slice(None)] * axis + [slice(start, stop)])]


def _pool_unknown_axis(x, axis, size):
    # The bins' bounds are known only when the graph runs: average by a
    # (size, length) matrix made there.
    length = ops.shape(x)[axis]
    index = ops.arange(size)
    start = index * length // size
    stop = -(-(index + 1) * length // size)
    position = ops.arange(length)
    inside = (position >= start[:, None]) & (position < stop[:, None])
    wide = _wide(x)
    weights = ops.cast(inside, wide.dtype) / ops.cast(stop - start, wide.dtype)[:, None]
    pooled = ops.tensordot(wide, weights, axes=[[axis], [1]])
    return ops.cast(ops.moveaxis(pooled, -1, axis), x.dtype)
