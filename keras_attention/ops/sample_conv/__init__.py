"""Convolution with one kernel per sample, as the AW-convolution needs it."""

from keras import ops

from keras_attention.choices import unknown
from keras_attention.ops.padding import pad_for_conv
from keras_attention.ops.sample_conv.gate import gate_conv2d
from keras_attention.ops.sample_conv.im2col import expand, im2col_conv2d
from keras_attention.ops.sample_conv.taps import taps_conv2d

STRATEGIES = ("gate", "taps", "im2col")


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
    strategy="auto",
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
        strategy: how it is computed, all with the same result; `"auto"` takes the
            first that can:
            - `"gate"`: a 1×1 kernel and M = 1: a plain convolution, then a gate;
            - `"taps"`: M = 1 and no groups: one matrix product per tap of the
              kernel, scaled and summed, with a hand-written gradient;
            - `"im2col"`: anything: every sample's kernel, and one matrix product.

    Returns:
        (batch, height', width', C2), or its channels-first form.

    Raises:
        ValueError: an unknown strategy, or one that cannot do this convolution.

    Source: arXiv:2108.08205, equations 1 to 5.
    """
    able = _able(kernel.shape, attention.shape[3], groups)
    strategy = able[0] if strategy == "auto" else strategy
    if strategy not in STRATEGIES:
        raise unknown("strategy", strategy, ("auto", *STRATEGIES))
    if strategy not in able:
        raise ValueError(
            f"strategy={strategy!r} cannot do a kernel of {kernel.shape[:2]} with "
            f"{attention.shape[3]} maps and {groups} groups. Choose from: {able}."
        )
    scale = 1 + attention if residual else attention
    inputs = pad_for_conv(
        inputs, kernel.shape[:2], strides, dilation_rate, padding, data_format
    )
    if strategy == "gate":
        return gate_conv2d(inputs, kernel, scale, strides, data_format)
    if data_format == "channels_first":
        inputs = ops.transpose(inputs, (0, 2, 3, 1))
    if strategy == "taps":
        outputs = taps_conv2d(inputs, kernel, scale[:, :, :, 0], strides, dilation_rate)
    else:
        kernels = expand(scale, kernel, groups) * kernel
        outputs = im2col_conv2d(inputs, kernels, strides, dilation_rate, groups)
    if data_format == "channels_first":
        outputs = ops.transpose(outputs, (0, 3, 1, 2))
    return outputs


def _able(kernel_shape, maps, groups):
    """The strategies that can do this convolution, preferred first."""
    able = ["im2col"]
    if maps == 1 and groups == 1:
        able.insert(0, "taps")
    if maps == 1 and tuple(kernel_shape[:2]) == (1, 1):
        able.insert(0, "gate")
    return able
