"""Layers of networks in plain NumPy: loops over samples, taps and bins."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x):
    return np.clip(x + 3, 0, 6) / 6


def relu(x):
    return np.maximum(x, 0)


def softmax(x):
    """Over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def batch_norm(x, norm, training=False, epsilon=1e-5):
    """Over the last axis; `norm` has gamma, beta, moving_mean, moving_variance."""
    mean, variance = norm["moving_mean"], norm["moving_variance"]
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
    return norm["gamma"] * (x - mean) / np.sqrt(variance + epsilon) + norm["beta"]


def adaptive_average(x, output_size):
    """PyTorch's documented bins: start ⌊i·n/o⌋, end ⌈(i+1)·n/o⌉."""
    n, height, width, channels = x.shape
    rows, columns = output_size
    out = np.zeros((n, rows, columns, channels), x.dtype)
    for i in range(rows):
        top, bottom = i * height // rows, int(np.ceil((i + 1) * height / rows))
        for j in range(columns):
            left, right = j * width // columns, int(np.ceil((j + 1) * width / columns))
            out[:, i, j] = x[:, top:bottom, left:right].mean((1, 2))
    return out


def pad(x, kernel_size, strides, dilation_rate, padding):
    """Zeros around (batch, height, width, channels) for a "valid" convolution.

    `"same"` is TensorFlow's (⌈n/s⌉ outputs, the odd zero after), `"symmetric"`
    PyTorch's `padding=d·(k − 1)/2`.
    """
    amounts = [(0, 0)]
    for n, k, s, d in zip(
        x.shape[1:3], kernel_size, strides, dilation_rate, strict=True
    ):
        extent = (k - 1) * d + 1
        if padding == "symmetric":
            before = after = (extent - 1) // 2
        elif padding == "same":
            total = max((int(np.ceil(n / s)) - 1) * s + extent - n, 0)
            before, after = total // 2, total - total // 2
        else:
            before = after = 0
        amounts.append((before, after))
    return np.pad(x, [*amounts, (0, 0)])


def sample_conv2d(
    x, kernels, strides=(1, 1), padding="valid", dilation_rate=(1, 1), groups=1
):
    """Convolves sample n with kernels[n], (batch, kh, kw, C1 / groups, C2)."""
    kh, kw, depth, filters = kernels.shape[1:]
    x = pad(x, (kh, kw), strides, dilation_rate, padding)
    (sh, sw), (dh, dw) = strides, dilation_rate
    height = (x.shape[1] - dh * (kh - 1) - 1) // sh + 1
    width = (x.shape[2] - dw * (kw - 1) - 1) // sw + 1
    out = np.zeros((len(x), height, width, filters), x.dtype)
    per_group = filters // groups
    for n in range(len(x)):
        for j in range(kh):
            for k in range(kw):
                rows = slice(j * dh, j * dh + (height - 1) * sh + 1, sh)
                columns = slice(k * dw, k * dw + (width - 1) * sw + 1, sw)
                for g in range(groups):
                    seen = x[n, rows, columns, g * depth : (g + 1) * depth]
                    made = slice(g * per_group, (g + 1) * per_group)
                    out[n, :, :, made] += seen @ kernels[n, j, k, :, made]
    return out


def conv2d(x, kernel, bias=0.0, **options):
    """An ordinary convolution: the same kernel for every sample."""
    kernels = np.broadcast_to(kernel, (len(x), *kernel.shape))
    return sample_conv2d(x, kernels, **options) + bias
