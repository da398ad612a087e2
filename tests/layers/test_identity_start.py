"""Attentions that change nothing at first, and the plain ones that they fold into."""

import keras
import numpy as np
import pytest
from references.autodiff import gradients, run
from references.weights import by_path, randomize

import keras_attention
from keras_attention.layers import AWConv2D, Conv2D

GATES = sorted(set(keras_attention.names()) - {"aa", "aw"})
AW_FORMS = [{}, {"combine": "product"}, {"norm": "group"}, {"channel_sharing": 4}]
SHAPE = (3, 6, 5, 32)
# Spatial statistics of one shared MLP that grow by different powers with the input.
MIXED_DEGREES = ["mvam", "mvam_parallel", "mvam_reverse"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def images(rng, shape=SHAPE):
    return rng.normal(size=shape).astype("float32")


def gate(name, identity_start=True, **options):
    attention = keras_attention.spec(name)
    if identity_start:
        attention = attention.starting_at_identity()
    layer = attention.make(**options)
    layer.build(SHAPE)
    return layer


def convolution(**options):
    layer = AWConv2D(8, 3, padding="symmetric", strides=2, **options)
    layer.build(SHAPE)
    return layer


def array(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def scales(layer):
    return {p: w for p, w in by_path(layer).items() if p.split("/")[-1] == "scale"}


def randomize_but_scales(layer, rng):
    randomize(layer, rng)
    for weight in scales(layer).values():
        weight.assign(0.0)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", GATES)
def test_a_gate_gives_its_input_at_first(name, dtype, rng):
    layer = gate(name, dtype=dtype)
    randomize_but_scales(layer, rng)
    inputs = keras.ops.cast(images(rng), layer.compute_dtype)
    np.testing.assert_array_equal(array(run(layer, inputs)), array(inputs))


@pytest.mark.parametrize("options", AW_FORMS, ids=str)
def test_an_aw_convolution_is_the_plain_one_at_first(options, rng):
    layer = convolution(identity_start=True, **options)
    randomize_but_scales(layer, rng)
    plain = Conv2D(8, 3, padding="symmetric", strides=2)
    plain.build(SHAPE)
    plain.set_weights([layer.kernel, layer.bias])
    inputs = images(rng)
    np.testing.assert_allclose(
        array(run(layer, inputs)), array(run(plain, inputs)), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ["se", "bam", "aw"])
def test_of_dead_hidden_units_the_scale_has_a_gradient_all_the_same(name, rng):
    """Where ReLU gives zeros alone, logits are the last bias, which is not zero."""
    aw = name == "aw"
    layer = convolution(identity_start=True, norm="frozen") if aw else gate(name)
    last_before_relu = ("reduce/bias", "_norm/beta", "norm3/beta", "norm1/beta")
    for path, weight in by_path(layer).items():
        if path.endswith(last_before_relu):
            weight.assign(weight - 100)
    inputs = images(rng)
    cotangent = rng.normal(size=layer.compute_output_shape(SHAPE)).astype("float32")
    _, _, found = gradients(layer, inputs, cotangent)
    assert all(abs(found[path]) > 1e-3 for path in scales(layer))


@pytest.mark.parametrize("name", ["channel", "spatial", "se", "eca"])
def test_the_scale_multiplies_the_logits(name, rng):
    """y = x ⊙ 2σ(s·l), with l out of the plain layer's map, logit(A)."""
    layer, plain = gate(name), gate(name, identity_start=False)
    randomize(plain, rng)
    layer.set_weights([np.float32(0.7), *plain.get_weights()])
    inputs = images(rng)
    attention = array(plain.attention_map(inputs)).astype("float64")
    logits = np.log(attention) - np.log1p(-attention)
    expected = inputs * 2 / (1 + np.exp(-0.7 * logits))
    np.testing.assert_allclose(array(run(layer, inputs)), expected, rtol=1e-4)


def test_the_scale_of_a_residual_gate(rng):
    """y = x + x ⊙ (σ(s·l) − ½) / 1.5."""
    layer, plain = gate("bam_block"), gate("bam_block", identity_start=False)
    randomize(plain, rng)
    layer.set_weights([np.float32(-0.7), *plain.get_weights()])
    inputs = images(rng)
    attention = array(plain.attention_map(inputs)).astype("float64")
    logits = np.log(attention) - np.log1p(-attention)
    expected = inputs * (1 + (1 / (1 + np.exp(0.7 * logits)) - 0.5) / 1.5)
    np.testing.assert_allclose(array(run(layer, inputs)), expected, rtol=1e-4)


@pytest.mark.parametrize("name", [*GATES, "aw"])
def test_gradients_reach_the_scale_and_then_every_weight(name, rng):
    layer = convolution(identity_start=True) if name == "aw" else gate(name)
    inputs = images(rng)
    cotangent = rng.normal(size=run(layer, inputs).shape).astype("float32")
    own = set(scales(layer))
    assert own
    _, _, first = gradients(layer, inputs, cotangent, training=True)
    assert all(np.abs(first[path]).max() > 0 for path in own)
    for path in own:
        by_path(layer)[path].assign(0.1)
    _, _, then = gradients(layer, inputs, cotangent, training=True)
    # A shift before a batch norm goes with the mean.
    without = {"spatial_reduce/bias", "spatial_dilated1/bias", "spatial_dilated2/bias"}
    reached = set(then) - without - {"channel_reduce/bias"}
    assert all(np.abs(then[path]).max() > 0 for path in reached)


@pytest.mark.parametrize("absorbed", [True, False], ids=["absorbed", "behind"])
@pytest.mark.parametrize("name", GATES)
def test_a_gate_folds_into_the_plain_one(name, absorbed, rng):
    """y(x) = identity_gain / c · plain(c · x), with the gain taken up before or not."""
    layer, plain = gate(name), gate(name, identity_start=False)
    randomize(layer, rng)
    gain = layer.identity_gain if absorbed else 1.0
    if name == "mvam_reverse" or (name in MIXED_DEGREES and absorbed):
        with pytest.raises(ValueError, match="different powers"):
            layer.fold_into(plain, gain)
        return
    layer.fold_into(plain, gain)
    inputs = images(rng)
    expected = layer.identity_gain / gain * array(run(plain, gain * inputs))
    np.testing.assert_allclose(array(run(layer, inputs)), expected, rtol=1e-4)


@pytest.mark.parametrize("options", AW_FORMS, ids=str)
def test_an_aw_convolution_folds_into_the_plain_aw(options, rng):
    layer, plain = convolution(identity_start=True, **options), convolution(**options)
    randomize(layer, rng)
    layer.fold_into(plain)
    assert layer.identity_gain == 1
    inputs = images(rng)
    np.testing.assert_allclose(
        array(run(layer, inputs)), array(run(plain, inputs)), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", [*GATES, "aw"])
def test_the_scale_is_saved(name, rng, tmp_path):
    layer = convolution(identity_start=True) if name == "aw" else gate(name)
    image = keras.Input(SHAPE[1:])
    model = keras.Model(image, layer(image))
    randomize(layer, rng)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    inputs = images(rng)
    np.testing.assert_array_equal(array(run(loaded, inputs)), array(run(model, inputs)))


def test_an_attention_without_the_option_is_named():
    with pytest.raises(ValueError, match="aa cannot start as the identity"):
        keras_attention.spec("aa").starting_at_identity()


def test_the_option_is_true_or_false():
    with pytest.raises(ValueError, match="`identity_start` must be True or False"):
        keras_attention.spec("se", identity_start="yes").make()
