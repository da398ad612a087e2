"""Which strategy is the fastest here: by static shape, machine and training or not.

The constants are fitted to interleaved timings of some 25 shapes, of 8 to 512 channels
at 7² to 56², as `benchmarks/aw_conv.py` takes them: two x86-64 cores, TensorFlow 2.21,
JAX 0.10. On a GPU nothing has been measured.
"""

import keras

from keras_attention.ops.exporting import is_exporting

# TensorFlow, operation by operation on a CPU. For each sample the loop makes and
# rearranges a kernel, kh·kw·C1·C2 numbers, and has operations to start. The tap sums
# copy the image, h'·w'·C1, and scale and add the products, h'·w'·C2, for each of the
# kh·kw taps. In numbers copied by the tap sums:
KERNEL_NUMBER = {"forward": 0.7, "training": 1.1}
LOOP_START = {"forward": 216_000, "training": 252_000}

# XLA on a CPU, training: the tap sums read and write h'·w'·C1 nine times where im2col
# keeps the sum inside one matrix product, but im2col needs every sample's kernel.
XLA_POSITIONS_PER_CHANNEL = 4


def choose(able, kernel_shape, size, training, machine):
    """The fastest of the strategies that can do a convolution.

    Args:
        able: their names.
        kernel_shape: (kh, kw, C1 / groups, C2).
        size: (height', width') of the output, None where unknown.
        training: whether gradients will be taken; None counts as not.
        machine: see `machine()`.
    """
    if "gate" in able:
        return "gate"
    if machine == "export":
        return "tap_convs" if "tap_convs" in able else "im2col"
    positions = None if None in size else size[0] * size[1]
    loop = machine == "cpu" and "per_sample" in able
    if "taps" not in able:
        return "per_sample" if loop else "im2col"
    if loop:
        return _loop_or_taps(kernel_shape, positions, training)
    _, _, c1, _ = kernel_shape
    large = positions is not None and positions >= XLA_POSITIONS_PER_CHANNEL * c1
    return "im2col" if machine == "cpu_xla" and training and large else "taps"


def machine():
    """What runs the graph: `"cpu"`, `"cpu_xla"`, `"accelerator"` or `"export"`.

    `"cpu"` is operation by operation, `"export"` a file for another runtime. A
    TensorFlow graph that is made without XLA and used inside one with it later counts
    as such: correct there, but slow.
    """
    if is_exporting():
        return "export"
    if keras.backend.backend() == "jax":
        import jax

        return "cpu_xla" if jax.default_backend() == "cpu" else "accelerator"
    import tensorflow as tf

    # No public function tells whether a graph is for `jit_compile=True`.
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    if tf.config.list_logical_devices("GPU"):
        return "accelerator"
    graph = tf.compat.v1.get_default_graph()
    return "cpu_xla" if GraphOrParentsInXlaContext(graph) else "cpu"


def _loop_or_taps(kernel_shape, positions, training):
    # A size left open is a detector's, whose maps are large; and nine products of
    # such a map are what a machine has no room for.
    if positions is None:
        return "per_sample"
    kh, kw, c1, c2 = kernel_shape
    mode = "training" if training else "forward"
    loop = KERNEL_NUMBER[mode] * kh * kw * c1 * c2 + LOOP_START[mode]
    return "per_sample" if loop <= kh * kw * positions * (c1 + c2) else "taps"
