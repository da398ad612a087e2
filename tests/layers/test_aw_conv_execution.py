"""AW-convolutions as Keras runs them: compiled, exported, saved, in half precision."""

import keras
import numpy as np
import pytest
from references.weights import randomize

from keras_attention.layers import AWConv2D
from keras_attention.ops import sample_conv

TENSORFLOW = keras.backend.backend() == "tensorflow"

# Those that `choose` takes for convolutions with one map, besides the gate. These are
# so small that on TensorFlow it would always take the same.
STRATEGIES = ("taps", "per_sample") if TENSORFLOW else ("taps", "im2col")


@pytest.fixture(params=STRATEGIES)
def strategy(request, monkeypatch):
    """Every convolution that is no gate is computed this way."""

    def choose(able, *arguments):
        return "gate" if "gate" in able else request.param

    monkeypatch.setattr(sample_conv, "choose", choose)
    return request.param


def make_model(rng, **compiling):
    """Two convolutions and a gate, compiled, with random weights."""
    model = keras.Sequential(
        [
            keras.Input((12, 12, 8)),
            AWConv2D(8, 3, padding="same", reduction_ratio=2),
            AWConv2D(16, 3, strides=2, padding="symmetric", reduction_ratio=2),
            AWConv2D(8, 1, reduction_ratio=2),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, dtype="float32"),
        ]
    )
    randomize(model, rng)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, **compiling)
    return model


def batch(rng, size=6):
    return rng.normal(size=(size, 12, 12, 8)).astype("float32"), np.arange(size) % 3


@pytest.mark.skipif(not TENSORFLOW, reason="JAX always compiles with XLA")
def test_a_training_step_with_xla_is_the_one_without(rng):
    """By the strategies chosen for each: the first convolution's are not the same."""
    compiled = make_model(rng, jit_compile=True)
    plain = make_model(rng, jit_compile=False)
    before = compiled.get_weights()
    plain.set_weights(before)
    data = batch(rng)
    losses = [model.train_on_batch(*data) for model in (compiled, plain)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for old, a, b, weight in zip(
        before, compiled.get_weights(), plain.get_weights(), plain.weights, strict=True
    ):
        assert not np.array_equal(old, b), f"{weight.path} did not move"
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=weight.path)


def test_predict_is_the_call_also_for_a_partial_batch(strategy, rng):
    model = make_model(rng)
    inputs, _ = batch(rng, 5)
    expected = keras.ops.convert_to_numpy(model(inputs))
    outputs = model.predict(inputs, batch_size=2, verbose=0)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_saved_model_serves_any_batch(strategy, rng, tmp_path):
    import tensorflow as tf

    model = make_model(rng)
    model.export(tmp_path, verbose=False)
    served = tf.saved_model.load(tmp_path)
    for size in (1, 3):
        inputs, _ = batch(rng, size)
        expected = model.predict(inputs, verbose=0)
        np.testing.assert_allclose(served.serve(inputs), expected, atol=1e-5)


def test_file_after_a_training_step(rng, tmp_path):
    """The optimizer too: the copy's next step is the model's."""
    model = make_model(rng)
    data = batch(rng)
    model.train_on_batch(*data)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    predicted = [m.predict(data[0], verbose=0) for m in (model, copy)]
    np.testing.assert_allclose(*predicted, atol=1e-6)
    losses = [m.train_on_batch(*data) for m in (model, copy)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for a, b in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_mixed_precision(rng):
    """Outputs before and after a step, and the step, against the same in float32."""
    exact = make_model(rng)
    start, data = exact.get_weights(), batch(rng)
    expected = outputs_around_a_step(exact, data)
    step = exact.get_weights()[0] - start[0]
    # Eight roundings' worth of each format: 2⁻¹¹ and 2⁻⁸.
    for policy, tolerance in (("mixed_float16", 2**-8), ("mixed_bfloat16", 2**-5)):
        keras.config.set_dtype_policy(policy)
        model = make_model(rng)
        model.set_weights(start)
        if policy == "mixed_float16":  # Keras' first scale overflows: no step
            model.optimizer.initial_scale = 2.0**8
        for outputs, exact in zip(
            outputs_around_a_step(model, data), expected, strict=True
        ):
            scale = np.abs(exact).max()
            assert np.abs(outputs - exact).max() < tolerance * scale, policy
        moved = model.get_weights()[0] - start[0]
        assert np.abs(moved - step).max() < tolerance * np.abs(step).max(), policy
        assert all(np.isfinite(weight).all() for weight in model.get_weights())


def outputs_around_a_step(model, data):
    before = model.predict_on_batch(data[0])
    assert np.isfinite(model.train_on_batch(*data))
    return before, model.predict_on_batch(data[0])


def test_stateless_call_updates_the_batch_statistics(rng):
    """What a training loop in JAX calls; as the ordinary call, but of no effect."""
    layer = make_model(rng).layers[0]
    inputs, before = batch(rng)[0], layer.get_weights()
    outputs, updated = layer.stateless_call(
        layer.trainable_variables,
        layer.non_trainable_variables,
        inputs,
        training=True,
    )
    for old, weight in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, old)
    expected = layer(inputs, training=True)
    np.testing.assert_allclose(
        *(keras.ops.convert_to_numpy(x) for x in (outputs, expected)), atol=1e-5
    )
    assert len(updated) == len(layer.non_trainable_variables) == 4
    for new, variable in zip(updated, layer.non_trainable_variables, strict=True):
        np.testing.assert_allclose(
            *(keras.ops.convert_to_numpy(x) for x in (new, variable)),
            atol=1e-6,
            err_msg=variable.path,
        )


def test_fit_compiled_with_a_dropped_partial_batch(rng):
    """By XLA, whose shapes are fixed: an odd batch, twice an epoch."""
    import tensorflow as tf

    model = make_model(rng, jit_compile=True)
    data = tf.data.Dataset.from_tensor_slices(batch(rng, 17))
    history = model.fit(
        data.batch(7, drop_remainder=True), epochs=2, shuffle=False, verbose=0
    )
    assert int(model.optimizer.iterations) == 4
    first, last = history.history["loss"]
    assert last < first


def test_the_choice_knows_whether_gradients_are_taken(rng, monkeypatch):
    asked = []

    def choose(able, kernel_shape, size, training, machine):
        asked.append(bool(training))
        return able[0]

    monkeypatch.setattr(sample_conv, "choose", choose)
    model = make_model(rng)
    # The last three, for JAX's trainer first calls the model for its shapes alone.
    model.train_on_batch(*batch(rng))
    assert asked[-3:] == [True] * 3
    model.predict_on_batch(batch(rng)[0])
    assert asked[-3:] == [False] * 3
