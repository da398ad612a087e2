"""The AW-convolution with one map for all input channels, as a sum over taps.

O[n] = Σ_t s[n, t] ⊙ (X_t[n] K_t), X_t being what tap t meets: no kernel per sample.
Automatic differentiation would keep and pass over several tensors for each tap; the
gradient here is matrix products and one scaling per tap.
"""

from keras import ops

from keras_attention.ops.sample_conv.shifts import (
    output_size,
    shifted,
    taps_of,
    unshifted,
)


def taps_conv2d(inputs, kernel, scale, strides, dilation_rate):
    """A "valid" convolution of sample n with s[n] ⊙ K, s constant over C1.

    Args:
        inputs: (batch, height, width, C1).
        kernel: (kh, kw, C1, C2).
        scale: s, (batch, kh, kw, C2).
        strides, dilation_rate: pairs of ints.
    """

    @ops.custom_gradient
    def conv(inputs, kernel, scale):
        taps = _Taps(inputs, kernel, scale, strides, dilation_rate)
        products = [taps.columns(t) @ taps.kernels[t] for t in range(taps.count)]
        products = [ops.reshape(z, (-1, taps.positions, taps.c2)) for z in products]
        outputs = sum(
            (z * s for z, s in zip(products[1:], taps.scales[1:], strict=True)),
            start=products[0] * taps.scales[0],
        )

        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            upstream = ops.reshape(upstream, (-1, taps.positions, taps.c2))
            return taps.gradients(upstream, products)

        return ops.reshape(outputs, (-1, *taps.size, taps.c2)), gradient

    return conv(inputs, kernel, scale)


class _Taps:
    """The operands by tap, and the gradients from them."""

    def __init__(self, inputs, kernel, scale, strides, dilation_rate):
        kh, kw, self.c1, self.c2 = kernel.shape
        self.inputs, self.strides, self.dilation_rate = inputs, strides, dilation_rate
        self.size = output_size(inputs, (kh, kw), strides, dilation_rate)
        self.positions = self.size[0] * self.size[1]
        self.taps = taps_of((kh, kw))
        self.count = len(self.taps)
        self.kernels = [kernel[j, k] for j, k in self.taps]
        self.scales = [scale[:, j, k][:, None] for j, k in self.taps]
        self.kernel_shape = (kh, kw, self.c1, self.c2)

    def columns(self, t):
        """X_t as a matrix, (batch·h'·w', C1)."""
        x = shifted(
            self.inputs, self.taps[t], self.size, self.strides, self.dilation_rate
        )
        return ops.reshape(x, (-1, self.c1))

    def gradients(self, upstream, products):
        """Those of the inputs, the kernel and the scale."""
        parts = [self._tap(t, upstream, products[t]) for t in range(self.count)]
        d_inputs, d_kernels, d_scales = zip(*parts, strict=True)
        kh, kw = self.kernel_shape[:2]
        return (
            sum(d_inputs[1:], start=d_inputs[0]),
            ops.reshape(ops.stack(d_kernels), self.kernel_shape),
            ops.reshape(ops.stack(d_scales, axis=1), (-1, kh, kw, self.c2)),
        )

    def _tap(self, t, upstream, product):
        scaled = ops.reshape(upstream * self.scales[t], (-1, self.c2))
        d_columns = ops.matmul(scaled, ops.transpose(self.kernels[t]))
        d_inputs = unshifted(
            ops.reshape(d_columns, (-1, *self.size, self.c1)),
            self.taps[t],
            ops.shape(self.inputs)[1:3],
            self.strides,
            self.dilation_rate,
        )
        d_kernel = ops.matmul(ops.transpose(self.columns(t)), scaled)
        return d_inputs, d_kernel, ops.sum(upstream * product, axis=1)
