"""A small network with architecture weights, in Keras and in plain TensorFlow.

The second is written out by hand, and differentiated by two nested tapes: what the
search's second order is compared with.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

IMAGE = (6, 6, 2)
CLASSES = 3
DROPOUT_SEED = 11


class Mix(keras.layers.Layer):
    """y = p₀·x + p₁·x ⊙ σ(s ⊙ mean x) + p₂·tanh x, with p = softmax(alpha)."""

    def build(self, input_shape):
        start = keras.initializers.RandomNormal(stddev=0.5)
        self.alpha = self.add_weight(shape=(3,), initializer=start, name="alpha")
        shape = (input_shape[-1],)
        self.scale = self.add_weight(shape=shape, initializer=start, name="scale")

    def call(self, inputs):
        p = ops.softmax(self.alpha)
        mean = ops.mean(inputs, (1, 2), keepdims=True)
        gated = inputs * ops.sigmoid(self.scale * mean)
        return p[0] * inputs + p[1] * gated + p[2] * ops.tanh(inputs)


def network(activation="relu", synchronized=False, dropout=0.0):
    """Convolution, batch norm, activation and `Mix`, twice; mean; dense logits."""

    def norm():
        return keras.layers.BatchNormalization(
            gamma_initializer=keras.initializers.RandomUniform(0.5, 1.5),
            synchronized=synchronized,
        )

    # An input is float32 by itself, whatever the policy.
    dtype = keras.config.dtype_policy().variable_dtype
    layers = [keras.Input(IMAGE, dtype=dtype)]
    for filters, use_bias in ((4, False), (3, True)):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=use_bias),
            norm(),
            keras.layers.Activation(activation),
            Mix(),
        ]
    layers.append(keras.layers.GlobalAveragePooling2D())
    if dropout:
        layers.append(keras.layers.Dropout(dropout, seed=DROPOUT_SEED))
    return keras.Sequential([*layers, keras.layers.Dense(CLASSES)])


def alphas_of(model):
    return [layer.alpha for layer in model.layers if isinstance(layer, Mix)]


def weights_of(model):
    """The other trainable variables, in the order that `logits` takes them."""
    alphas = {id(variable) for variable in alphas_of(model)}
    return [v for v in model.trainable_variables if id(v) not in alphas]


def values(variables):
    return [tf.identity(variable.value) for variable in variables]


def batch(rng, size=8, dtype="float64"):
    """Images and labels, drawn."""
    images = rng.normal(size=(size, *IMAGE)).astype(dtype)
    return images, rng.integers(CLASSES, size=size)


def logits(weights, alphas, images, activation=tf.nn.relu, mask=1.0):
    """The network in training mode; `mask` multiplies the pooled features."""
    (k1, gamma1, beta1, scale1, k2, bias2, gamma2, beta2, scale2, kernel, bias) = (
        weights
    )
    x = tf.nn.conv2d(images, k1, 1, "SAME")
    x = _mix(activation(_batch_norm(x, gamma1, beta1)), alphas[0], scale1)
    x = tf.nn.conv2d(x, k2, 1, "SAME") + bias2
    x = _mix(activation(_batch_norm(x, gamma2, beta2)), alphas[1], scale2)
    return tf.reduce_mean(x, (1, 2)) * mask @ kernel + bias


def cross_entropy(scores, labels):
    picked = tf.gather(scores, labels, batch_dims=1)
    return tf.reduce_mean(tf.math.log(tf.reduce_sum(tf.exp(scores), 1)) - picked)


def unrolled(
    training,
    validation,
    weights,
    alphas,
    *,
    rate,
    momentum=0.0,
    nesterov=False,
    velocities=None,
    decays=None,
    activation=tf.nn.relu,
    masks=(1.0, 1.0),
):
    """Validation loss after one step of SGD on the training loss, and its gradient.

    Args:
        training, validation: (images, labels).
        weights, alphas, velocities: lists of tensors.
        rate, momentum, nesterov: of Keras' SGD; `rate=0` without momentum stays.
        decays: L2 of each weight.
        masks: of the training and the validation pass.
    """
    velocities = velocities or [tf.zeros_like(weight) for weight in weights]
    decays = decays or [0.0] * len(weights)
    with tf.GradientTape() as outer:
        outer.watch(alphas)
        with tf.GradientTape() as inner:
            inner.watch(weights)
            scores = logits(weights, alphas, training[0], activation, masks[0])
            loss = cross_entropy(scores, training[1])
        gradients = inner.gradient(loss, weights)
        moved = []
        columns = zip(weights, gradients, velocities, decays, strict=True)
        for w, g, v, decay in columns:
            push = rate * (g + decay * w)
            v_new = momentum * v - push
            moved.append(w + (momentum * v_new - push if nesterov else v_new))
        scores = logits(moved, alphas, validation[0], activation, masks[1])
        loss = cross_entropy(scores, validation[1])
    return loss, outer.gradient(loss, alphas)


def _mix(x, alpha, scale):
    p = tf.exp(alpha) / tf.reduce_sum(tf.exp(alpha))
    gate = 1 / (1 + tf.exp(-scale * tf.reduce_mean(x, (1, 2), keepdims=True)))
    return p[0] * x + p[1] * x * gate + p[2] * tf.tanh(x)


def _batch_norm(x, gamma, beta):
    centred = x - tf.reduce_mean(x, (0, 1, 2))
    variance = tf.reduce_mean(centred * centred, (0, 1, 2))
    return gamma * centred / tf.sqrt(variance + 1e-3) + beta


def relative_error(found, wanted):
    """The largest difference, as a part of the largest number wanted."""
    found = np.concatenate([np.ravel(array) for array in found])
    wanted = np.concatenate([np.ravel(array) for array in wanted])
    return np.abs(found - wanted).max() / np.abs(wanted).max()
