"""The AW-convolution with one map as one 1×1 convolution per tap, for export.

O[n] = Σ_t s[n, t] ⊙ Conv₁ₓ₁(X_t[n], K_t), X_t being what tap t meets. Mobile runtimes
have no convolution whose kernel depends on the sample; a 1×1 convolution is their
fastest operation, keeps a scale for each output channel in int8, and takes groups.

A tap is applied only where it lies on the image, and its product is padded instead of
the image: at 7×7 that leaves out a fifth of the multiply-adds of a 3×3 convolution.
"""

from keras import ops

from keras_attention.ops.padding import known_output_size, leading_amounts
from keras_attention.ops.sample_conv.shifts import taps_of


def tap_convs_conv2d(inputs, kernel, scale, strides, dilation_rate, padding):
    """A convolution of sample n with s[n] ⊙ K, s constant over C1.

    Args:
        inputs: (batch, height, width, C1), height and width known.
        kernel: (kh, kw, C1 / groups, C2).
        scale: s, (batch, kh, kw, C2).
        strides, dilation_rate: pairs of ints.
        padding: `"valid"`, `"same"` or `"symmetric"`.
    """
    image, kernel_size = tuple(inputs.shape[1:3]), tuple(kernel.shape[:2])
    geometry = (kernel_size, strides, dilation_rate, padding)
    size = known_output_size(image, *geometry)
    before = leading_amounts(image, *geometry)
    products = []
    for tap in taps_of(kernel_size):
        offsets = [
            t * d - p for t, d, p in zip(tap, dilation_rate, before, strict=True)
        ]
        rows, columns = map(_covered, offsets, strides, image, size)
        if not (len(rows) and len(columns)):
            continue
        met = inputs[
            :, _met(rows, offsets[0], strides[0]), _met(columns, offsets[1], strides[1])
        ]
        j, k = tap
        product = ops.conv(met, kernel[j : j + 1, k : k + 1], strides=strides)
        product = product * scale[:, j : j + 1, k : k + 1]
        around = [
            (covered.start, n - covered.stop)
            for covered, n in zip((rows, columns), size, strict=True)
        ]
        products.append(ops.pad(product, [(0, 0), *around, (0, 0)]))
    return sum(products[1:], start=products[0])


def _covered(offset, stride, length, count):
    """The outputs, of `count`, whose input at `offset + stride · i` is on the image."""
    first = max(0, -(offset // stride))
    last = min(count, (length - 1 - offset) // stride + 1)
    return range(first, max(first, last))


def _met(outputs, offset, stride):
    """From the first input that these outputs meet to the last one."""
    start = outputs.start * stride + offset
    return slice(start, start + (len(outputs) - 1) * stride + 1)
