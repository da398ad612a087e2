"""Convolution with one kernel per sample, as the AW-convolution needs it."""

import keras
from keras import ops

from keras_attention.choices import check_choice
from keras_attention.ops.layout import spatial_shape
from keras_attention.ops.padding import known_output_size, pad_for_conv
from keras_attention.ops.sample_conv.cost import choose, machine
from keras_attention.ops.sample_conv.gate import gate_conv2d
from keras_attention.ops.sample_conv.im2col import expand, im2col_conv2d
from keras_attention.ops.sample_conv.tap_convs import tap_convs_conv2d
from keras_attention.ops.sample_conv.taps import taps_conv2d

STRATEGIES = ("gate", "per_sample", "taps", "tap_convs", "im2col")


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
    training=None,
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
        training: whether gradients will be taken, which the fastest may depend on; None
            counts as not.
        strategy: how it is computed, all with the same result; `"auto"` takes the
            fastest, by the model of `cost.py`:
            - `"gate"`: a 1×1 kernel and M = 1: a plain convolution, then a gate;
            - `"per_sample"`: TensorFlow, no groups, no dilation: a loop over samples,
              each with its kernel and its convolution;
            - `"taps"`: M = 1, no groups: one matrix product per tap of the kernel,
              scaled and summed;
            - `"tap_convs"`: M = 1, sizes known: one 1×1 convolution per tap, scaled and
              summed; what a file for another runtime gets (`ops.exporting`). Not for
              training: the kernel's gradient is summed in the operands' precision;
            - `"im2col"`: anything: every sample's kernel, and one matrix product.

    Returns:
        (batch, height', width', C2), or its channels-first form.

    Raises:
        ValueError: an unknown strategy, or one that cannot do this convolution.

    Source: arXiv:2108.08205, equations 1 to 5.
    """
    check_choice("strategy", strategy, ("auto", *STRATEGIES))
    maps = attention.shape[3]
    size = spatial_shape(inputs.shape, data_format)
    able = _able(kernel.shape, maps, groups, dilation_rate, size)
    if strategy == "auto":
        size = known_output_size(
            size, kernel.shape[:2], strides, dilation_rate, padding
        )
        strategy = choose(able, kernel.shape, size, training, machine())
    if strategy not in able:
        raise ValueError(
            f"strategy={strategy!r} cannot do a kernel of {tuple(kernel.shape[:2])} "
            f"with {maps} maps, {groups} groups and dilation_rate={dilation_rate} on "
            f"{keras.backend.backend()}. Choose from: {able}."
        )
    scale = 1 + attention if residual else attention
    if strategy == "gate":  # which no padding touches
        return gate_conv2d(inputs, kernel, scale, strides, data_format)
    if data_format == "channels_first":
        inputs = ops.transpose(inputs, (0, 2, 3, 1))
    if strategy == "per_sample":
        # Of TensorFlow's own operations, so imported only there.
        from keras_attention.ops.sample_conv.per_sample import per_sample_conv2d

        outputs = per_sample_conv2d(inputs, kernel, scale, strides, padding)
    elif strategy == "tap_convs":
        # Not a slice: mobile runtimes are slow at those of five axes.
        scale = ops.reshape(scale, (-1, *kernel.shape[:2], kernel.shape[3]))
        outputs = tap_convs_conv2d(
            inputs, kernel, scale, strides, dilation_rate, padding
        )
    else:
        inputs = pad_for_conv(inputs, kernel.shape[:2], strides, dilation_rate, padding)
        outputs = _valid_conv2d(
            inputs, kernel, scale, strides, dilation_rate, groups, strategy
        )
    if data_format == "channels_first":
        outputs = ops.transpose(outputs, (0, 3, 1, 2))
    return outputs


def _valid_conv2d(inputs, kernel, scale, strides, dilation_rate, groups, strategy):
    if strategy == "taps":
        return taps_conv2d(inputs, kernel, scale[:, :, :, 0], strides, dilation_rate)
    kernels = expand(scale, kernel, groups) * kernel
    return im2col_conv2d(inputs, kernels, strides, dilation_rate, groups)


def _able(kernel_shape, maps, groups, dilation_rate, size):
    """The strategies that can do this convolution."""
    shared = maps == 1
    conditions = {
        "gate": shared and tuple(kernel_shape[:2]) == (1, 1),
        # TensorFlow's own convolutions have no gradient for the rest on every CPU.
        "per_sample": keras.backend.backend() == "tensorflow"
        and groups == 1
        and max(dilation_rate) == 1,
        "taps": shared and groups == 1,
        "tap_convs": shared and None not in size,
        "im2col": True,
    }
    return [name for name, able in conditions.items() if able]
