"""A function of tensors in each way that the backend runs it."""

import keras

MODES = {
    "tensorflow": ("eager", "graph", "xla"),
    "jax": ("eager", "jit"),
}[keras.backend.backend()]


def in_mode(function, mode):
    """`function` as it is, or compiled, from arrays to arrays.

    TensorFlow's graph does not know the size of the batch.
    """

    def call(*arrays):
        run = function if mode == "eager" else _compiled(function, mode, arrays)
        outputs = run(*map(keras.ops.convert_to_tensor, arrays))
        return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)

    return call


def _compiled(function, mode, arrays):
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    if mode == "xla":
        return tf.function(function, jit_compile=True, autograph=False)
    signature = [tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in arrays]
    return tf.function(function, input_signature=signature, autograph=False)
