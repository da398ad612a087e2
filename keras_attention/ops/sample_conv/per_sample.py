"""One convolution per sample, in a loop, for TensorFlow on a CPU.

A sample's kernel lives only while its own convolution runs. Samples are read as
slices of the first axis, which copy nothing, and the gradient is a second such loop:
differentiating the first would stack every sample's kernel and image once more.
"""

import tensorflow as tf

from keras_attention.ops.padding import symmetric_amounts

# Samples under way at once, enough to fill the gaps of a few cores; each holds a
# kernel and its gradient.
PARALLEL_SAMPLES = 8


def per_sample_conv2d(inputs, kernel, scale, strides, padding):
    """Convolution of sample n with Expand(s[n]) ⊙ K.

    Args:
        inputs: (batch, height, width, C1).
        kernel: K, (kh, kw, C1, C2).
        scale: s, (batch, kh, kw, M, C2), M a divisor of C1.
        strides: pair of ints.
        padding: `"valid"`, `"same"` or `"symmetric"`.
    """

    @tf.custom_gradient
    def conv(inputs, kernel, scale):
        samples = _Samples(inputs, kernel, scale, strides, padding)
        return samples.outputs(), samples.gradients

    return conv(inputs, kernel, scale)


class _Samples:
    """The operands by sample, and the two loops over them."""

    def __init__(self, inputs, kernel, scale, strides, padding):
        self.inputs = inputs
        # (kh, kw, M, C1 / M, C2), so that one map meets its own channels.
        maps = scale.shape[3]
        self.kernel_shape = tuple(kernel.shape)
        kh, kw, c1, c2 = self.kernel_shape
        self.by_map = (kh, kw, maps, c1 // maps, c2)
        self.kernel = tf.reshape(kernel, self.by_map)
        self.scale = tf.expand_dims(scale, 4)
        self.count = tf.shape(inputs)[0]
        self.options = {
            "strides": [1, *strides, 1],
            **_padding_options(padding, (kh, kw), strides),
        }

    def outputs(self):
        return tf.map_fn(
            lambda n: tf.raw_ops.Conv2D(
                input=self.inputs[n : n + 1], filter=self._kernel(n), **self.options
            )[0],
            tf.range(self.count),
            fn_output_signature=self.inputs.dtype,
            parallel_iterations=PARALLEL_SAMPLES,
        )

    def gradients(self, upstream):
        """Those of the inputs, the kernel and the scale."""
        dtype = self.inputs.dtype
        # The kernel's gradient is a running sum, in float32 as a sum over samples.
        wide = tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype

        def body(n, d_inputs, d_kernel, d_scale):
            image, filters = self._backward(n, upstream[n : n + 1])
            filters = tf.cast(tf.reshape(filters, self.by_map), wide)
            d_map = tf.reduce_sum(filters * tf.cast(self.kernel, wide), axis=3)
            return (
                n + 1,
                d_inputs.write(n, image),
                d_kernel + filters * tf.cast(self.scale[n], wide),
                d_scale.write(n, tf.cast(d_map, dtype)),
            )

        start = (
            0,
            tf.TensorArray(dtype, self.count),
            tf.zeros(self.by_map, wide),
            tf.TensorArray(dtype, self.count),
        )
        _, d_inputs, d_kernel, d_scale = tf.while_loop(
            lambda n, *_: n < self.count,
            body,
            start,
            parallel_iterations=PARALLEL_SAMPLES,
        )
        d_kernel = tf.reshape(tf.cast(d_kernel, dtype), self.kernel_shape)
        return d_inputs.stack(), d_kernel, d_scale.stack()

    def _kernel(self, n):
        return tf.reshape(self.kernel * self.scale[n], self.kernel_shape)

    def _backward(self, n, upstream):
        """Gradients of sample n's image and of its kernel."""
        image = self.inputs[n : n + 1]
        d_image = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(image),
            filter=self._kernel(n),
            out_backprop=upstream,
            **self.options,
        )
        d_filters = tf.raw_ops.Conv2DBackpropFilter(
            input=image,
            filter_sizes=self.kernel_shape,
            out_backprop=upstream,
            **self.options,
        )
        return d_image[0], d_filters


def _padding_options(padding, kernel_size, strides):
    # Zeros that the convolution puts itself need no padded copy of the batch.
    if padding != "symmetric" or max(strides) == 1:
        return {"padding": "VALID" if padding == "valid" else "SAME"}
    top, left = symmetric_amounts(kernel_size, (1, 1))
    return {
        "padding": "EXPLICIT",
        "explicit_paddings": [0, 0, top, top, left, left, 0, 0],
    }
