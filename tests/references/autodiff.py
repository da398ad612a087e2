"""Outputs and gradients by the backend, and central differences in NumPy."""

import keras
import numpy as np


def run(layer, inputs):
    """The layer's outputs in inference, as a tensor.

    Eagerly on TensorFlow, and compiled as one on JAX, which would otherwise compile
    each operation by itself.
    """
    if keras.backend.backend() != "jax":
        return layer(inputs)
    import jax

    def call(values, inputs):
        mapping = list(zip(layer.weights, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return layer(inputs)

    return jax.jit(call)([w.value for w in layer.weights], inputs)


def gradients(layer, inputs, cotangent, training=False):
    """The outputs, and d Σ(cotangent · outputs) for the inputs and each weight.

    Returns:
        (outputs, gradient of the inputs, {path of a trainable weight below the layer:
        its gradient}), as float arrays; None where no path leads to a weight.
    """
    paths = [w.path.removeprefix(f"{layer.name}/") for w in layer.trainable_weights]
    backend = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()]
    arrays = [
        array if array is None else keras.ops.convert_to_numpy(array)
        for array in backend(layer, inputs, cotangent, training)
    ]
    return arrays[0], arrays[1], dict(zip(paths, arrays[2:], strict=True))


def _tensorflow(layer, inputs, cotangent, training):
    import tensorflow as tf

    inputs = tf.convert_to_tensor(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = tf.cast(layer(inputs, training=training), "float32")
        loss = tf.reduce_sum(outputs * cotangent)
    sources = [inputs, *(w.value for w in layer.trainable_weights)]
    return [outputs, *tape.gradient(loss, sources)]


def _jax(layer, inputs, cotangent, training):
    import jax

    variables = layer.trainable_weights

    @jax.jit
    def loss(weights, inputs):
        mapping = list(zip(variables, weights, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            outputs = layer(inputs, training=training).astype("float32")
        return (outputs * cotangent).sum(), outputs

    weights = [w.value for w in variables]
    by_weight_and_input = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (by_weight, by_input), outputs = by_weight_and_input(weights, inputs)
    return [outputs, by_input, *by_weight]


def central_differences(function, array, cotangent, step=1e-5):
    """d Σ(cotangent · function()) of each number of `array`, which is moved in place.

    `function` takes nothing and reads `array`, which must be float64: then the
    difference's own error is about 1e-10.
    """
    assert array.dtype == np.float64
    result = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = (cotangent * function()).sum()
        array[index] = value - step
        below = (cotangent * function()).sum()
        array[index] = value
        result[index] = (above - below) / (2 * step)
    return result


def check_gradients(value, inputs, weights, cotangent, by_input, by_weight):
    """Compares a layer's gradients with central differences of its NumPy reference.

    Args:
        value: the reference's output as a function of nothing, which reads `inputs`
            and `weights`.
        inputs: float64 array.
        weights: nested dict of float64 arrays, by the parts of a weight's path.
        cotangent, by_input, by_weight: as `gradients` takes and gives them.

    Returns:
        {path of a weight: the central differences}.
    """
    expected = central_differences(value, inputs, cotangent)
    np.testing.assert_allclose(by_input, expected, atol=1e-4, rtol=1e-4)
    found = {}
    for path, gradient in by_weight.items():
        array = weights
        for part in path.split("/"):
            array = array[part]
        found[path] = central_differences(value, array, cotangent)
        np.testing.assert_allclose(
            gradient, found[path], atol=1e-4, rtol=1e-4, err_msg=path
        )
    return found
