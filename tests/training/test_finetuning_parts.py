"""Averaged weights, mixup and smoothed labels against their formulas."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attention import training
from keras_attention.data.mixing import MIXING_DRAWS, draw, mixed, one_hot
from keras_attention.data.order import draw_seed
from keras_attention.training import FINETUNE_RECIPES, FinetuneRecipe, finetune_recipe
from keras_attention.training.averaging import AveragedEvaluation, averaged, swap
from tests.training.conftest import values

QUICK = finetune_recipe("quick", epochs=2, batch_size=32)


class Weights(keras.callbacks.Callback):
    """The kernel of the first layer behind every step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.seen.append(values(self.model.trainable_variables[0]))


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_averages_are_the_recursion(make_model, digits, tmp_path, policy):
    """a₁ = w₁, then a ← m·a + (1 − m)·w."""
    keras.config.set_dtype_policy(policy)
    model, weights = make_model(), Weights()
    start = values(model.trainable_variables[0])
    settings = dataclasses.replace(QUICK, ema=0.6, epochs=1)
    training.fit(model, digits, settings, out=tmp_path, callbacks=[weights], verbose=0)
    average, before = None, start
    for weight in weights.seen:
        # Loss scaling skips the steps whose gradients are beyond float16.
        if not np.array_equal(weight, before):
            average = weight if average is None else 0.6 * average + 0.4 * weight
        before = weight
    assert len(weights.seen) == 5
    # At the end Keras gives the model its averages.
    found = values(model.trainable_variables[0])
    np.testing.assert_allclose(found, average, rtol=1e-5, atol=1e-7)
    assert np.abs(found - weights.seen[-1]).max() > 1e-5


def test_averages_are_measured_and_kept_as_the_best(make_model, digits, tmp_path):
    model = make_model()
    settings = dataclasses.replace(QUICK, ema=0.9, learning_rate=0.1)
    history = training.fit(model, digits, settings, out=tmp_path, verbose=0)
    state = json.loads((tmp_path / "state.json").read_text())
    best, _ = training.load_trained(tmp_path)
    found = training.evaluate(best, digits, split="validation").top1_error
    assert found == pytest.approx(state["best"], abs=1e-3)
    assert state["best"] == pytest.approx(min(x["val_top1_error"] for x in history))
    last = keras.saving.load_model(tmp_path / "last.keras")
    kernel, average = values(last.layers[0].kernel), None
    with averaged(last):
        average = values(last.layers[0].kernel)
    np.testing.assert_array_equal(values(last.layers[0].kernel), kernel)
    assert np.abs(average - kernel).max() > 1e-4
    if state["best_epoch"] == 2:
        np.testing.assert_array_equal(values(best.layers[0].kernel), average)


def test_measuring_averages_leaves_the_weights_bit_for_bit(make_model):
    model = make_model()
    optimizer = training.SGDL2(0.1, 0.9, use_ema=True, ema_momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    labels = np.arange(8)
    model.train_on_batch(images, labels)
    model.train_on_batch(images, labels)
    before = model.get_weights()
    with averaged(model):
        wanted = model.evaluate(images, labels, verbose=0)
    plain = model.evaluate(images, labels, verbose=0)
    found = model.evaluate(images, labels, verbose=0, callbacks=[AveragedEvaluation()])
    assert found == pytest.approx(wanted, rel=1e-6)
    assert found != pytest.approx(plain, rel=1e-6)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_averages_begin_at_the_weights(make_model):
    """Not at zeros, which a skipped first step would leave."""
    model = make_model()
    model.compile(training.SGDL2(0.1, use_ema=True, ema_momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    before = model.get_weights()
    with averaged(model):
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_without_averages_nothing_is_swapped(make_model):
    model = make_model()
    model.compile(training.SGDL2(0.1), "mse")
    before = model.get_weights()
    with averaged(model):
        np.testing.assert_array_equal(before[0], model.get_weights()[0])
    model.optimizer.build(model.trainable_variables)
    with pytest.raises(AttributeError):
        swap(model)


def batches(count=3, size=16):
    rng = np.random.default_rng(1)
    images = rng.normal(size=(count, size, 4, 4, 1)).astype("float32")
    labels = rng.integers(0, 5, (count, size))
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return one_hot(data, 5), images, labels


def test_mixup_is_the_formula_with_its_draws():
    data, images, labels = batches()
    found = list(mixed(data, alpha=0.4, seed=7, first_step=20).as_numpy_iterator())
    for step, (mixed_images, mixed_labels) in enumerate(found):
        number = tf.constant(20 + step, tf.int64)
        draws = draw(16, 0.4, draw_seed(7, MIXING_DRAWS, number))
        share, order = draws["mix_weight"].numpy(), draws["permutation_order"].numpy()
        assert sorted(order) == list(range(16))
        for i in range(16):
            one, other = images[step, i], images[step, order[i]]
            wanted = share[i] * one + (1 - share[i]) * other
            np.testing.assert_allclose(mixed_images[i], wanted, rtol=1e-5, atol=1e-6)
            wanted = np.zeros(5)
            wanted[labels[step, i]] += share[i]
            wanted[labels[step, order[i]]] += 1 - share[i]
            np.testing.assert_allclose(mixed_labels[i], wanted, atol=1e-6)


def test_mixup_of_a_step_is_the_same_wherever_a_run_begins():
    data, _, _ = batches()
    whole = list(mixed(data, alpha=1.0, seed=7, first_step=0).as_numpy_iterator())
    rest = mixed(data.skip(2), alpha=1.0, seed=7, first_step=2).as_numpy_iterator()
    np.testing.assert_array_equal(whole[2][0], next(rest)[0])
    other = mixed(data, alpha=1.0, seed=8, first_step=0).as_numpy_iterator()
    assert np.abs(whole[0][0] - next(other)[0]).max() > 0.1
    assert (
        data.cardinality() == mixed(data, alpha=1.0, seed=7, first_step=0).cardinality()
    )


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0])
def test_shares_are_drawn_from_beta(alpha):
    """Mean ½ and variance 1/(4(2α + 1)) of Beta(α, α)."""
    shares = draw(40_000, alpha, tf.constant([3, 4], tf.int64))["mix_weight"].numpy()
    assert np.isfinite(shares).all() and shares.min() >= 0 and shares.max() <= 1
    assert shares.mean() == pytest.approx(0.5, abs=0.01)
    assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_the_loss_with_smoothed_labels_is_the_closed_form(make_model, activation):
    """−Σ qₖ log pₖ with q = (1 − ε)·onehot + ε/K."""
    model = make_model(activation)
    settings = dataclasses.replace(QUICK, label_smoothing=0.2)
    training.compile(model, settings, 10)
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    labels = np.arange(8)
    found = model.evaluate(images, np.eye(10)[labels], verbose=0, return_dict=True)
    scores = np.asarray(model.predict(images, verbose=0), np.float64)
    if activation is None:
        scores = np.exp(scores)
    logs = np.log(scores / scores.sum(axis=1, keepdims=True))
    shares = 0.8 * np.eye(10)[labels] + 0.2 / 10
    assert found["loss"] == pytest.approx(-(shares * logs).sum(axis=1).mean(), rel=1e-5)
    hits = logs.argmax(axis=1) == labels
    assert found["top1_error"] == pytest.approx(100 * (1 - hits.mean()))


@pytest.mark.parametrize("k", [1, 2])
def test_errors_of_mixed_labels_count_the_larger_share(k):
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], "float32")
    shares = np.array([[0.4, 0.6, 0.0], [0.0, 0.3, 0.7]], "float32")
    metric = training.TopKError(k)
    metric.update_state(shares, scores)
    assert float(metric.result()) == (50 if k == 1 else 0)


@pytest.mark.parametrize("name", FINETUNE_RECIPES)
def test_a_recipe_of_fine_tuning_prints_every_field(name):
    text = str(FINETUNE_RECIPES[name])
    for field in dataclasses.fields(FinetuneRecipe)[1:]:
        value = getattr(FINETUNE_RECIPES[name], field.name)
        assert re.search(rf"  {field.name} +{re.escape(str(value))}", text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"freeze": -1}, "freeze ≥ 0, or names of layers"),
        ({"freeze": True}, "freeze ≥ 0, or names of layers"),
        ({"freeze": (1,)}, "freeze ≥ 0, or names of layers"),
        ({"layer_decay": 0.0}, "0 < layer_decay ≤ 1"),
        ({"new_learning_rate_factor": 0.0}, "new_learning_rate_factor > 0"),
        ({"ema": 1.0}, "0 ≤ ema < 1"),
        ({"mixup": -0.1}, "mixup ≥ 0"),
        ({"label_smoothing": 1.0}, "0 ≤ label_smoothing < 1"),
        ({"epochs": 0}, "epochs ≥ 1"),
    ],
)
def test_wrong_values_of_a_recipe_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        finetune_recipe("finetune", **change)


def test_a_plain_recipe_records_nothing_new():
    """So that runs from before fine-tuning can go on."""
    fields = training.recipe("quick").to_dict()
    assert not {"ema", "mixup", "label_smoothing"} & set(fields)
