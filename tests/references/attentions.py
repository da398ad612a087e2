"""The attentions' formulas in NumPy, channels last, written from the papers.

Weights are nested dicts, as `weights.read` makes them.
"""

import math

import numpy as np

from references.numpy_nn import (
    adaptive_average,
    batch_norm,
    conv2d,
    relu,
    sample_conv2d,
    sigmoid,
    softmax,
)


def statistic(x, name, axis):
    """One of the poolings; the variances are sums of squared deviations."""
    if name == "avg":
        return x.mean(axis, keepdims=True)
    if name == "max":
        return x.max(axis, keepdims=True)
    count = np.prod([x.shape[a] for a in np.atleast_1d(axis)])
    squares = ((x - x.mean(axis, keepdims=True)) ** 2).sum(axis, keepdims=True)
    if name == "biased_var":
        return squares / count
    return squares / (count - 1) if count > 1 else np.zeros_like(squares)


def mlp(pooled, weights):
    """W₂ ReLU(W₁ p + b₁) + b₂, of SE and of CBAM's channel part."""
    reduce, expand = weights["reduce"], weights["expand"]
    hidden = relu(pooled @ reduce["kernel"] + reduce.get("bias", 0.0))
    return hidden @ expand["kernel"] + expand.get("bias", 0.0)


def squeeze_excitation(x, weights, gate=sigmoid):
    """σ(MLP(mean over positions)), arXiv:1709.01507 equations 2 and 3."""
    return gate(mlp(x.mean((1, 2)), weights))[:, None, None]


def efficient_channel_attention(x, weights):
    """σ(Σ_j w_j · mean_{c + j}), zeros beyond the channels; arXiv:1910.03151."""
    kernel = weights["conv"]["kernel"][:, 0, 0]
    half = len(kernel) // 2
    means = x.mean((1, 2))
    channels = means.shape[1]
    logits = np.zeros_like(means)
    for c in range(channels):
        for j, w in enumerate(kernel):
            if 0 <= c + j - half < channels:
                logits[:, c] += w * means[:, c + j - half]
    return sigmoid(logits)[:, None, None]


def channel_attention(x, weights, pooling=("avg", "max")):
    """arXiv:1807.06521 equation 2: the MLP is shared by the poolings."""
    return sigmoid(channel_logits(x, weights, pooling))


def channel_logits(x, weights, pooling):
    return sum(mlp(statistic(x, s, (1, 2)), weights) for s in pooling)


def spatial_attention(x, weights, pooling=("max", "avg")):
    """arXiv:1807.06521 equation 3, with the authors' code's batch norm."""
    return sigmoid(spatial_logits(x, weights, pooling))


def spatial_logits(x, weights, pooling):
    """Without a batch norm where the weights have none."""
    stacked = np.concatenate([statistic(x, s, 3) for s in pooling], -1)
    logits = conv2d(stacked, weights["conv"]["kernel"], padding="symmetric")
    return batch_norm(logits, weights["norm"]) if "norm" in weights else logits


def cbam(x, weights, order, channel_pooling, spatial_pooling):
    """The output y: both parts in either order, half of each, or their sum in σ."""
    if order == "sum":  # arXiv:1807.06514 equations 1 and 2, with CBAM's parts
        logits = channel_logits(x, weights["channel_attention"], channel_pooling)
        logits = logits + spatial_logits(
            x, weights["spatial_attention"], spatial_pooling
        )
        return x + x * sigmoid(logits)

    def channel(z):
        return z * channel_attention(z, weights["channel_attention"], channel_pooling)

    def spatial(z):
        return z * spatial_attention(z, weights["spatial_attention"], spatial_pooling)

    if order == "parallel":
        return 0.5 * channel(x) + 0.5 * spatial(x)
    return spatial(channel(x)) if order == "channel_spatial" else channel(spatial(x))


def bam(x, weights, dilation_rate):
    """σ(Mc + Ms) of arXiv:1807.06514 equation 2."""

    def dense(v, name):
        return v @ weights[name]["kernel"] + weights[name]["bias"]

    def conv(v, name, dilation=1):
        return conv2d(
            v,
            weights[name]["kernel"],
            weights[name]["bias"],
            padding="symmetric",
            dilation_rate=(dilation, dilation),
        )

    hidden = batch_norm(
        dense(x.mean((1, 2)), "channel_reduce"), weights["channel_norm"]
    )
    channel = dense(relu(hidden), "channel_expand")[:, None, None]
    z = relu(batch_norm(conv(x, "spatial_reduce"), weights["spatial_norm1"]))
    for i in (1, 2):
        z = conv(z, f"spatial_dilated{i}", dilation_rate)
        z = relu(batch_norm(z, weights[f"spatial_norm{i + 1}"]))
    return sigmoid(channel + conv(z, "spatial_final"))


def aw_map(x, weights, kernel_size, maps, training=False):
    """A of arXiv:2108.08205 equation 4 before Expand: (batch, kh, kw, maps, C2)."""
    pooled = adaptive_average(x, kernel_size)
    hidden = pooled @ weights["pointconv1"]["kernel"][0, 0]
    hidden = relu(batch_norm(hidden, weights["norm1"], training))
    logits = hidden @ weights["pointconv2"]["kernel"][0, 0]
    a = sigmoid(batch_norm(logits, weights["norm2"], training))
    return a.reshape(*a.shape[:3], maps, -1)


def aw_conv(
    x, weights, *, sharing=None, combine="residual", groups=1, training=False, **conv
):
    """O[n] = I[n] * (K + A[n] ⊙ K), or I[n] * (A[n] ⊙ K), arXiv:2108.08205.

    Input channel c of the whole layer looks at map c // r_C1; with groups, row i of
    the kernel of an output channel of group g is input channel g·C1/groups + i.
    """
    kernel = weights["kernel"]
    kh, kw, depth, filters = kernel.shape
    channels = x.shape[-1]
    sharing = sharing or channels
    a = aw_map(x, weights, (kh, kw), channels // sharing, training)
    kernels = np.zeros((len(x), kh, kw, depth, filters), x.dtype)
    for o in range(filters):
        group = o // (filters // groups)
        for i in range(depth):
            scale = a[..., (group * depth + i) // sharing, o]
            scale = 1 + scale if combine == "residual" else scale
            kernels[..., i, o] = scale * kernel[:, :, i, o]
    out = sample_conv2d(x, kernels, groups=groups, **conv)
    return out + weights.get("bias", 0.0)


def relative_logits(query, height_embeddings, width_embeddings, height, width):
    """q_i · (r^H_{jy − iy} + r^W_{jx − ix}) for every pair, arXiv:1904.09925 eq. 3."""
    positions = [(y, x) for y in range(height) for x in range(width)]
    out = np.zeros((*query.shape[:3], len(positions)))
    for i, (iy, ix) in enumerate(positions):
        for j, (jy, jx) in enumerate(positions):
            r = height_embeddings[jy - iy + height - 1]
            r = r + width_embeddings[jx - ix + width - 1]
            out[:, :, i, j] = query[:, :, i] @ r
    return out


def augmented_conv(x, weights, *, key_depth, num_heads, strides, padding, **conv):
    """[conv(x); W_o concat_h softmax((q_h kᵀ_h + S) / √d) v_h], arXiv:1904.09925.

    Returns the output and the softmax, (batch, heads, positions, positions).
    """
    convolved = conv2d(
        x,
        weights["conv"]["kernel"],
        weights["conv"].get("bias", 0.0),
        strides=strides,
        padding=padding,
        **conv,
    )
    qkv = conv2d(
        x,
        weights["qkv"]["kernel"],
        weights["qkv"].get("bias", 0.0),
        strides=strides,
        padding="symmetric" if padding == "symmetric" else "same",
    )
    batch, height, width, _ = qkv.shape
    qkv = qkv.reshape(batch, height * width, -1)
    query, key, value = np.split(qkv, [key_depth, 2 * key_depth], -1)
    depth, value_depth = key_depth // num_heads, value.shape[-1] // num_heads
    attentions, attended = [], []
    for h in range(num_heads):
        q = query[..., h * depth : (h + 1) * depth]
        k = key[..., h * depth : (h + 1) * depth]
        v = value[..., h * value_depth : (h + 1) * value_depth]
        logits = np.zeros((batch, height * width, height * width))
        for i in range(height * width):
            for j in range(height * width):
                logits[:, i, j] = (q[:, i] * k[:, j]).sum(-1)
        if "height_embeddings" in weights:
            logits += relative_logits(
                q[:, None],
                weights["height_embeddings"],
                weights["width_embeddings"],
                height,
                width,
            )[:, 0]
        attention = softmax(logits / math.sqrt(depth))
        attentions.append(attention)
        attended.append(attention @ v)
    attended = np.concatenate(attended, -1).reshape(batch, height, width, -1)
    output = weights["output_conv"]
    attended = conv2d(attended, output["kernel"], output.get("bias", 0.0))
    return np.concatenate([convolved, attended], -1), np.stack(attentions, 1)
