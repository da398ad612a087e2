"""Steps of Keras networks against nested tapes written by hand, and what they touch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from references import bilevel

from keras_attention.training import SGDL2
from keras_attention.tuning.steps import BilevelSteps

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the search runs on TensorFlow"
)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
DECAYED = ("kernel", "scale")
UNDECAYED = ("gamma", "beta", "bias")


@pytest.fixture
def float64():
    keras.config.set_dtype_policy("float64")


@pytest.fixture
def batches(rng):
    return [*bilevel.batch(rng), *bilevel.batch(rng)]


def steps_of(model, weight_optimizer, **options):
    """Steps whose architecture optimizer subtracts its gradient from α."""
    options = {"l2": 0.0, "loss": LOSS} | options
    return BilevelSteps(
        model,
        weight_optimizer,
        keras.optimizers.SGD(1.0),
        architecture=bilevel.alphas_of(model),
        **options,
    )


def arrays(variables):
    return [variable.numpy() for variable in variables]


def architecture_gradient(steps, batches):
    """The gradient that a step took, and its metrics."""
    before = arrays(steps.architecture)
    metrics = steps.architecture_step(*batches)
    after = arrays(steps.architecture)
    return [b - a for b, a in zip(before, after, strict=True)], metrics


def by_hand(steps, batches, **options):
    """`bilevel.unrolled` at the values of now."""
    return bilevel.unrolled(
        batches[:2],
        batches[2:],
        bilevel.values(steps.weights),
        bilevel.values(steps.architecture),
        **options,
    )


# -- the architecture's gradient ---------------------------------------------------


@tensorflow_only
@pytest.mark.parametrize(
    ("momentum", "nesterov", "jit_compile"),
    [(0.0, False, False), (0.9, False, False), (0.9, True, False), (0.9, True, True)],
)
def test_second_order_is_nested_autodiffs(
    float64, batches, rng, momentum, nesterov, jit_compile
):
    """After two steps of the weights, with velocities, decay and a falling rate."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.7, 0.3])
    optimizer = SGDL2(schedule, momentum, nesterov, l2=0.05, l2_exclude=UNDECAYED)
    model = bilevel.network()
    steps = steps_of(model, optimizer, order=2, jit_compile=jit_compile)
    for _ in range(2):
        steps.weight_step(*bilevel.batch(rng))
    names = [variable.path.rsplit("/", 1)[-1] for variable in steps.weights]
    assert set(names) == {*DECAYED, *UNDECAYED}
    loss, wanted = by_hand(
        steps,
        batches,
        rate=0.3,
        momentum=momentum,
        nesterov=nesterov,
        velocities=bilevel.values(optimizer.momentums) if momentum else None,
        decays=[0.05 if name in DECAYED else 0.0 for name in names],
    )
    found, metrics = architecture_gradient(steps, batches)
    assert bilevel.relative_error(found, wanted) < 1e-6
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)


@tensorflow_only
def test_first_order_is_the_validation_gradient(float64, batches):
    steps = steps_of(bilevel.network(), keras.optimizers.Adam(0.1), order=1)
    loss, wanted = by_hand(steps, batches, rate=0.0)
    found, metrics = architecture_gradient(steps, batches)
    assert bilevel.relative_error(found, wanted) < 1e-9
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-9)


@tensorflow_only
def test_penalty_and_decay_join_the_gradient(float64, batches):
    """g = dLval/dα + dP/dα + λα, with P's gradient by its formula."""
    model = bilevel.network()
    plain = steps_of(model, keras.optimizers.SGD(0.1))
    start = arrays(plain.architecture)
    of_loss, _ = architecture_gradient(plain, batches)
    for variable, value in zip(plain.architecture, start, strict=True):
        variable.assign(value)

    def penalty(alphas):
        return sum(tf.reduce_sum(alpha**3) for alpha in alphas)

    both = steps_of(model, keras.optimizers.SGD(0.1), penalty=penalty, l2=0.25)
    found, metrics = architecture_gradient(both, batches)
    wanted = [
        g + 3 * alpha**2 + 0.25 * alpha for g, alpha in zip(of_loss, start, strict=True)
    ]
    assert bilevel.relative_error(found, wanted) < 1e-9
    np.testing.assert_allclose(
        metrics["penalty"], sum((alpha**3).sum() for alpha in start), rtol=1e-6
    )


@tensorflow_only
def test_adam_scales_the_decay_too(float64, batches):
    """Coupled: the first step of Adam is its rate, whatever λ is; decoupled is not."""
    model = bilevel.network()
    start = arrays(bilevel.alphas_of(model))
    steps = BilevelSteps(
        model,
        keras.optimizers.SGD(0.1),
        keras.optimizers.Adam(0.1, epsilon=1e-12),
        architecture=bilevel.alphas_of(model),
        loss=LOSS,
        l2=1e6,
    )
    steps.architecture_step(*batches)
    for before, after in zip(start, arrays(steps.architecture), strict=True):
        np.testing.assert_allclose(before - after, 0.1 * np.sign(before), rtol=1e-5)


@tensorflow_only
def test_a_float32_penalty_joins_a_float64_loss(float64, batches):
    """As α in float32 gives it, which the mixed layers keep."""
    steps = steps_of(bilevel.network(), SGDL2(0.1), penalty=lambda a: tf.constant(0.5))
    _, metrics = architecture_gradient(steps, batches)
    assert metrics["penalty"].numpy() == 0.5


@tensorflow_only
def test_dropout_goes_on_from_the_training_to_the_validation_pass(float64, batches):
    """Masks by Keras' own generator, handed to the network written by hand."""
    model = bilevel.network(dropout=0.4)
    steps = steps_of(model, keras.optimizers.SGD(0.5), order=2)
    seeds = keras.random.SeedGenerator(bilevel.DROPOUT_SEED)
    ones = tf.ones((len(batches[0]), 3), "float64")
    masks = [keras.random.dropout(ones, 0.4, seed=seeds) for _ in range(2)]
    assert not np.array_equal(*masks)
    loss, wanted = by_hand(steps, batches, rate=0.5, masks=masks)
    found, metrics = architecture_gradient(steps, batches)
    assert bilevel.relative_error(found, wanted) < 1e-9
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-9)


@tensorflow_only
def test_bfloat16_is_near_float32(rng):
    """Gradients of the same network: half precision keeps 8 bits of each factor."""
    found = {}
    images = bilevel.batch(rng, size=32, dtype="float32")
    other = bilevel.batch(rng, size=32, dtype="float32")
    start = None
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        model = bilevel.network("tanh")
        start = start or model.get_weights()
        model.set_weights(start)
        steps = steps_of(model, keras.optimizers.SGD(0.1), order=2)
        found[policy], _ = architecture_gradient(steps, [*images, *other])
        assert all(variable.dtype == "float32" for variable in steps.weights)
    assert bilevel.relative_error(found["mixed_bfloat16"], found["float32"]) < 0.1


# -- the weights' step ------------------------------------------------------------


@tensorflow_only
def test_the_weights_take_keras_own_step(float64, batches):
    """As `train_on_batch` of the network, which moves α as well, but only after."""
    model, twin = bilevel.network(), bilevel.network()
    twin.set_weights(model.get_weights())
    twin.compile(SGDL2(0.3, 0.9, l2=0.05), LOSS, metrics=["accuracy"])
    logs = twin.train_on_batch(*batches[:2], return_dict=True)
    steps = steps_of(model, SGDL2(0.3, 0.9, l2=0.05))
    metrics = steps.weight_step(*batches[:2])
    own = {id(variable) for variable in steps.architecture}
    for variable, wanted in zip(model.weights, twin.weights, strict=True):
        if id(variable) not in own:
            np.testing.assert_allclose(
                variable.numpy(), wanted.numpy(), rtol=1e-6, atol=1e-9
            )
    np.testing.assert_allclose(metrics["loss"], logs["loss"], rtol=1e-6)
    np.testing.assert_allclose(metrics["accuracy"], logs["accuracy"], rtol=1e-6)


@tensorflow_only
@pytest.mark.parametrize("limit", [0.01, 1e3])
def test_the_global_norm_is_clipped(float64, batches, limit):
    model = bilevel.network()
    start = model.get_weights()
    changes = {}
    for clip_norm in (None, limit):
        model.set_weights(start)
        steps = steps_of(model, keras.optimizers.SGD(1.0), clip_norm=clip_norm)
        before = arrays(steps.weights)
        steps.weight_step(*batches[:2])
        after = arrays(steps.weights)
        moved = [b - a for b, a in zip(before, after, strict=True)]
        changes[clip_norm] = np.concatenate([np.ravel(change) for change in moved])
    norm = np.linalg.norm(changes[None])
    assert 0.01 < norm < 1e3
    wanted = changes[None] * min(1, limit / norm)
    np.testing.assert_allclose(changes[limit], wanted, rtol=1e-6)


# -- what a step leaves alone -----------------------------------------------------


def all_variables(steps):
    """{what: arrays}, every variable that a search holds."""
    model = steps.model
    saved = {id(variable) for variable in model.weights}
    own = {id(variable) for variable in [*steps.weights, *steps.architecture]}
    return {
        "architecture": arrays(steps.architecture),
        "weights": arrays(steps.weights),
        "moving statistics": arrays(v for v in model.weights if id(v) not in own),
        "seeds": arrays(v for v in model.variables if id(v) not in saved),
        "weight optimizer": arrays(steps.weight_optimizer.variables),
        "architecture optimizer": arrays(steps.architecture_optimizer.variables),
    }


def changed(before, after):
    return {
        what
        for what in before
        if not all(map(np.array_equal, before[what], after[what]))
    }


@tensorflow_only
@pytest.mark.parametrize("order", [1, 2])
def test_each_step_moves_its_own(batches, order):
    model = bilevel.network(dropout=0.3)
    steps = BilevelSteps(
        model,
        keras.optimizers.SGD(0.1, 0.9),
        keras.optimizers.Adam(0.1),
        architecture=bilevel.alphas_of(model),
        loss=LOSS,
        order=order,
    )
    start = all_variables(steps)
    assert all(start.values())  # nothing is compared with nothing
    steps.architecture_step(*batches)
    middle = all_variables(steps)
    assert changed(start, middle) == {"architecture", "architecture optimizer"}
    steps.weight_step(*batches[:2])
    end = all_variables(steps)
    assert changed(middle, end) == {
        "weights",
        "moving statistics",
        "seeds",
        "weight optimizer",
    }
    for what in ("weights", "moving statistics"):
        for before, after in zip(middle[what], end[what], strict=True):
            assert not np.array_equal(before, after)


@tensorflow_only
def test_weights_may_be_chosen(batches):
    model = bilevel.network()
    chosen = bilevel.weights_of(model)[:2]
    steps = steps_of(model, keras.optimizers.SGD(0.1), weights=chosen)
    before = arrays(model.trainable_variables)
    steps.weight_step(*batches[:2])
    after = arrays(model.trainable_variables)
    moved = [not np.array_equal(b, a) for b, a in zip(before, after, strict=True)]
    own = {id(variable) for variable in chosen}
    assert moved == [id(v) in own for v in model.trainable_variables]


# -- several devices --------------------------------------------------------------


@tensorflow_only
def test_two_replicas_are_one_device_with_both_batches():
    script = Path(__file__).with_name("two_replicas.py")
    folders = [str(script.parents[1]), str(script.parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["replicas"] == 2
    assert "over several replicas" in result["with XLA"]
    assert "Received: 7 images" in result["an odd batch"]
    assert result["moved"] > 1e-3
    assert not result["patched"]
    for what, error in result["errors"].items():
        assert error < 1e-5, (what, error)


# -- errors -----------------------------------------------------------------------


def small():
    inputs = keras.Input((4, 4, 2))
    x = keras.layers.GlobalAveragePooling2D()(bilevel.Mix()(inputs))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def make(model=None, weight_optimizer=None, architecture_optimizer=None, **options):
    model = model or small()
    alphas = [v for v in model.trainable_variables if v.name == "alpha"]
    options = {"architecture": alphas, "loss": LOSS} | options
    return BilevelSteps(
        model,
        weight_optimizer or keras.optimizers.SGD(0.1),
        architecture_optimizer or keras.optimizers.Adam(0.1),
        **options,
    )


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="TensorFlow is supported"
)
def test_another_backend_is_refused():
    with pytest.raises(ValueError, match="on TensorFlow alone. Received .*'jax'"):
        make()


def built():
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build([keras.Variable([1.0])])
    return optimizer


@tensorflow_only
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"order": 3}, "`order` must be 1 or 2. Received: 3"),
        ({"l2": -1.0}, "`l2` .* Received: -1.0"),
        ({"clip_norm": 0.0}, "`clip_norm` .* Received: 0.0"),
        ({"loss": None}, "`loss` is needed"),
        ({"jit_compile": "yes"}, "`jit_compile` .* Received: 'yes'"),
        ({"architecture": []}, "`architecture` must list trainable"),
        ({"architecture": [keras.Variable([1.0])]}, "`architecture` must list"),
        ({"weights": []}, "`weights` must list trainable"),
        ({"weight_optimizer": "sgd"}, "`weight_optimizer` must be .* 'sgd'"),
        (
            {"weight_optimizer": keras.optimizers.SGD(0.1, global_clipnorm=1.0)},
            "`weight_optimizer` must not be clipping: use `clip_norm`",
        ),
        (
            {
                "architecture_optimizer": keras.optimizers.Adam(
                    0.1, gradient_accumulation_steps=2
                )
            },
            "`architecture_optimizer` must not be accumulating",
        ),
        (
            {
                "weight_optimizer": keras.optimizers.LossScaleOptimizer(
                    keras.optimizers.SGD(0.1)
                )
            },
            "must not be scaling the loss",
        ),
        (
            {"weight_optimizer": keras.optimizers.Adam(0.1), "order": 2},
            "must be keras.optimizers.SGD .* Received: Adam",
        ),
        (
            {
                "weight_optimizer": keras.optimizers.SGD(0.1, weight_decay=0.1),
                "order": 2,
            },
            "Received: SGD with weight_decay=0.1",
        ),
    ],
)
def test_what_is_out_of_range_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        make(**options)


@tensorflow_only
def test_a_built_optimizer_is_refused():
    with pytest.raises(ValueError, match="must not be built already"):
        make(weight_optimizer=built())


@tensorflow_only
def test_an_alpha_among_the_weights_is_refused():
    model = small()
    with pytest.raises(ValueError, match="not in `architecture`.*alpha"):
        make(model, weights=model.trainable_variables)


@tensorflow_only
def test_losses_inside_the_model_are_refused():
    inputs = keras.Input((4, 4, 2))
    dense = keras.layers.Dense(3, kernel_regularizer="l2")
    x = keras.layers.GlobalAveragePooling2D()(bilevel.Mix()(inputs))
    with pytest.raises(ValueError, match="SGDL2. Received 1 losses"):
        make(keras.Model(inputs, dense(x)))
    active = keras.layers.Dense(3, activity_regularizer="l2", name="active")
    with pytest.raises(ValueError, match=r"activity regularizers of \['active'\]"):
        make(keras.Model(inputs, active(x)))


@tensorflow_only
def test_constraints_are_refused_where_they_would_be_left_out():
    inputs = keras.Input((4, 4, 2))
    dense = keras.layers.Dense(3, kernel_constraint="non_neg", name="held")
    x = keras.layers.GlobalAveragePooling2D()(bilevel.Mix()(inputs))
    model = keras.Model(inputs, dense(x))
    with pytest.raises(ValueError, match="held/kernel"):
        make(model, order=2)


@tensorflow_only
def test_float16_is_refused():
    keras.config.set_dtype_policy("mixed_float16")
    with pytest.raises(ValueError, match="use mixed_bfloat16"):
        make()
