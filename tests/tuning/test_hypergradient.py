"""The hypergradient where its answer is known, and against central differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from references import bilevel
from references.autodiff import central_differences

from keras_attention.training import SGDL2
from keras_attention.tuning.hypergradient import hypergradient, sgd_step

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the search runs on TensorFlow"
)


def constant(value):
    return tf.constant(value, "float64")


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5])
def test_the_toy_search_ends_where_it_must(rate):
    """Lval = αw − 2α + 1, Ltr = w² − 2αw + α²: α = 2/(1 + 2ξ)."""
    weight, alpha = constant(0.3), constant(-0.7)

    def training(weights, alphas):
        (w,), (a,) = weights, alphas
        return w**2 - 2 * a * w + a**2

    def validation(weights, alphas):
        (w,), (a,) = weights, alphas
        return a * w - 2 * a + 1

    for _ in range(100):
        weight -= 0.3 * 2 * (weight - alpha)
        (gradient,) = hypergradient(
            training, validation, [weight], [alpha], order=2, learning_rate=rate
        )
        alpha -= 0.3 * gradient
    assert float(alpha) == pytest.approx(2 / (1 + 2 * rate), abs=1e-6)


@pytest.fixture
def quadratic(rng):
    """Ltr = ½wᵀHw − wᵀBα and Lval = ½ρ|α|² + ½|w − c|²: numbers and losses."""
    half = rng.normal(size=(4, 4))
    parts = {
        "H": half + half.T,
        "B": rng.normal(size=(4, 3)),
        "c": rng.normal(size=4),
        "w": rng.normal(size=4),
        "a": rng.normal(size=3),
        "v": rng.normal(size=4),
    }

    def training(weights, alphas):
        w, a = weights[0][:, None], alphas[0][:, None]
        form = 0.5 * tf.transpose(w) @ parts["H"] @ w - tf.transpose(w) @ parts["B"] @ a
        return tf.squeeze(form)

    def validation(weights, alphas):
        distance = tf.reduce_sum((weights[0] - parts["c"]) ** 2)
        return 0.5 * 0.7 * tf.reduce_sum(alphas[0] ** 2) + 0.5 * distance

    return parts, training, validation


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_the_quadratic_has_its_closed_form(quadratic, momentum, nesterov):
    """dLval/dα = ρα + κ·ξ·Bᵀ(w' − c); κ = 1, or 1 + μ with Nesterov's momentum."""
    parts, training, validation = quadratic
    rate, l2, rho = 0.3, 0.05, 0.7
    push = rate * (parts["H"] @ parts["w"] - parts["B"] @ parts["a"] + l2 * parts["w"])
    velocity = momentum * parts["v"] - push
    stepped = parts["w"] + (momentum * velocity - push if nesterov else velocity)
    reach = rate * (1 + momentum if nesterov else 1)
    wanted = rho * parts["a"] + reach * parts["B"].T @ (stepped - parts["c"])
    (found,) = hypergradient(
        training,
        validation,
        [constant(parts["w"])],
        [constant(parts["a"])],
        order=2,
        learning_rate=rate,
        momentum=momentum,
        nesterov=nesterov,
        velocities=[constant(parts["v"])],
        l2=l2,
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_first_order_is_the_partial_derivative(quadratic):
    parts, _, validation = quadratic

    def training(weights, alphas):
        raise AssertionError("first order has no use for the training loss")

    (found,) = hypergradient(
        training, validation, [constant(parts["w"])], [constant(parts["a"])], order=1
    )
    np.testing.assert_allclose(found, 0.7 * parts["a"], rtol=1e-12)


def test_average_stands_in_for_the_training_gradient(quadratic):
    """Twice the gradient is twice the learning rate."""
    parts, training, validation = quadratic
    tensors = [constant(parts["w"])], [constant(parts["a"])]
    (doubled,) = hypergradient(
        training,
        validation,
        *tensors,
        order=2,
        learning_rate=0.1,
        average=lambda gradients: [2 * gradient for gradient in gradients],
    )
    (wanted,) = hypergradient(
        training, validation, *tensors, order=2, learning_rate=0.2
    )
    np.testing.assert_allclose(doubled, wanted, rtol=1e-12)


def test_an_alpha_without_effect_has_gradient_zero(quadratic):
    parts, training, validation = quadratic
    alphas = [constant(parts["a"]), constant([1.0, 2.0])]
    _, unused = hypergradient(
        training, validation, [constant(parts["w"])], alphas, order=2, learning_rate=0.1
    )
    np.testing.assert_array_equal(unused, [0, 0])


def test_smooth_network_by_central_differences(rng):
    """Of Lval(w'(α), α) as a number, through convolution, batch norm and tanh."""
    keras.config.set_dtype_policy("float64")
    model = bilevel.network("tanh")
    training, validation = bilevel.batch(rng), bilevel.batch(rng)
    weights = bilevel.values(bilevel.weights_of(model))
    velocities = [constant(rng.normal(size=w.shape, scale=0.1)) for w in weights]
    alphas = [value.numpy() for value in bilevel.values(bilevel.alphas_of(model))]
    options = {"momentum": 0.9, "velocities": velocities}

    def loss(images_and_labels):
        def value(weights, alphas):
            scores = bilevel.logits(weights, alphas, images_and_labels[0], tf.tanh)
            return bilevel.cross_entropy(scores, images_and_labels[1])

        return value

    found = hypergradient(
        loss(training),
        loss(validation),
        weights,
        [constant(alpha) for alpha in alphas],
        order=2,
        learning_rate=0.5,
        l2=0.01,
        **options,
    )

    @tf.function
    def objective(*alphas):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(training)(weights, alphas)
        stepped = [
            w + 0.9 * v - 0.5 * (g + 0.01 * w)
            for w, g, v in zip(
                weights, tape.gradient(value, weights), velocities, strict=True
            )
        ]
        return loss(validation)(stepped, alphas)

    for alpha, gradient in zip(alphas, found, strict=True):
        wanted = central_differences(
            lambda: objective(*map(constant, alphas)).numpy(), alpha, 1.0
        )
        np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("l2", [0.0, 0.05])
def test_the_step_is_the_one_keras_makes(rng, momentum, nesterov, l2):
    """The third step of an optimizer, from its velocities after two."""
    shapes = [(3, 4), (4,)]
    variables = [
        keras.Variable(rng.normal(size=shape).astype("float32"), name="kernel")
        for shape in shapes
    ]
    optimizer = SGDL2(0.1, momentum, nesterov, l2=l2)
    if not l2:
        optimizer = keras.optimizers.SGD(0.1, momentum, nesterov)
    for _ in range(2):
        gradients = [tf.constant(rng.normal(size=s), "float32") for s in shapes]
        optimizer.apply(gradients, variables)
    found = sgd_step(
        bilevel.values(variables),
        gradients,
        learning_rate=optimizer.learning_rate,
        momentum=momentum,
        nesterov=nesterov,
        velocities=bilevel.values(optimizer.momentums) if momentum else None,
        l2=l2,
    )
    optimizer.apply(gradients, variables)
    for stepped, variable in zip(found, variables, strict=True):
        np.testing.assert_allclose(stepped, variable.numpy(), rtol=1e-6, atol=1e-7)


def test_decay_by_weight():
    found = sgd_step(
        [constant([2.0]), constant([2.0])],
        [constant([0.0]), constant([0.0])],
        learning_rate=0.5,
        l2=[0.1, 0.0],
    )
    np.testing.assert_allclose(found, [[1.9], [2.0]], rtol=1e-12)


def test_what_cannot_be_meant_is_refused():
    one = [constant([1.0])]
    arguments = (lambda w, a: 0.0, lambda w, a: 0.0, one, one)
    with pytest.raises(ValueError, match="`order` must be 1 or 2. Received: 3"):
        hypergradient(*arguments, order=3)
    with pytest.raises(ValueError, match="Order 2 needs `learning_rate`"):
        hypergradient(*arguments, order=2)
    with pytest.raises(ValueError, match="momentum 0.9 needs `velocities`"):
        sgd_step(one, one, learning_rate=0.1, momentum=0.9)
    with pytest.raises(ValueError, match=r"as many. Received: \[1, 1, 1, 2\]"):
        sgd_step(one, one, learning_rate=0.1, l2=[0.1, 0.2])
