"""What every registered attention owes: a new file is tested by being there."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from references.autodiff import gradients, run
from references.backend import need_channels_first
from references.weights import by_path, randomize

import keras_attention
from keras_attention.attention import as_spec
from keras_attention.layers import BAM
from keras_attention.layers.gate import Gate

NAMES = keras_attention.names()
CHANNELS = 32


def make(name, filters=CHANNELS, **options):
    """The layer that a network would put at the attention's site."""
    attention = keras_attention.spec(name, **options)
    if attention.site == "conv":
        return attention.make(filters=filters, kernel_size=3, padding="symmetric")
    return attention.make()


def low_ratio(name):
    """Options that let the attention take any number of channels."""
    fields = {field.name for field in dataclasses.fields(keras_attention.spec(name))}
    return {"reduction_ratio": 1} if "reduction_ratio" in fields else {}


def built(name, rng, shape=(2, 6, 5, CHANNELS), **options):
    layer = make(name, **options)
    inputs = rng.normal(size=shape).astype("float32")
    layer.build(inputs.shape)
    randomize(layer, rng)
    return layer, inputs


def as_array(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def model_of(layer, shape):
    image = keras.Input(shape)
    return keras.Model(image, layer(image))


@pytest.mark.parametrize("name", NAMES)
def test_spec_and_its_dict_make_the_same_layer(name):
    """Through JSON, as files hold it."""
    attention = keras_attention.spec(name)
    copy = as_spec(json.loads(json.dumps(attention.to_dict())), attention.site)
    assert copy == attention
    assert str(copy) == str(attention)


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip(name, rng):
    layer, inputs = built(name, rng)
    config = layer.get_config()
    copy = type(layer).from_config(json.loads(json.dumps(config)))
    assert json.dumps(copy.get_config()) == json.dumps(config)
    copy.build(inputs.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        as_array(run(copy, inputs)), as_array(run(layer, inputs))
    )


@pytest.mark.parametrize("name", NAMES)
def test_file_round_trip_without_custom_objects(name, rng, tmp_path):
    """Outputs, not configs alone: a weight that is not saved shows here."""
    model = model_of(make(name), (6, 5, CHANNELS))
    randomize(model, rng)
    inputs = rng.normal(size=(2, 6, 5, CHANNELS)).astype("float32")
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    assert len(copy.weights) == len(model.weights)
    np.testing.assert_allclose(
        as_array(run(copy, inputs)), as_array(run(model, inputs))
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_weight(name, rng):
    layer, inputs = built(name, rng)
    cotangent = rng.normal(size=layer.compute_output_shape(inputs.shape))
    outputs, by_input, by_weight = gradients(layer, inputs, cotangent.astype("float32"))
    assert np.isfinite(outputs).all()
    assert np.abs(by_input).max() > 1e-3
    for path, gradient in by_weight.items():
        assert gradient is not None, f"no path to {path}"
        assert np.isfinite(gradient).all(), path
        assert np.abs(gradient).max() > 1e-6, f"{path} gets no gradient"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("policy", "dtype", "tolerance"),
    # Eight roundings' worth of each format: 2⁻¹¹ and 2⁻⁸.
    [("mixed_float16", "float16", 2**-8), ("mixed_bfloat16", "bfloat16", 2**-5)],
)
def test_mixed_precision(name, policy, dtype, tolerance, rng):
    exact, inputs = built(name, rng)
    keras.config.set_dtype_policy(policy)
    layer = make(name)
    layer.build(inputs.shape)
    layer.set_weights(exact.get_weights())
    assert {w.dtype for w in layer.trainable_weights} == {"float32"}
    outputs = run(layer, inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    expected = as_array(run(exact, inputs))
    scale = np.abs(expected).max()
    assert np.abs(as_array(outputs) - expected).max() < tolerance * scale


@pytest.mark.parametrize("name", NAMES)
def test_training_moves_only_the_batch_norm_statistics(name, rng):
    layer, inputs = built(name, rng)

    def moved(training):
        before = {path: as_array(weight) for path, weight in by_path(layer).items()}
        layer(inputs, training=training)
        after = by_path(layer)
        return {p for p in before if not np.array_equal(before[p], as_array(after[p]))}

    assert moved(False) == set()
    statistics = {
        path
        for path in by_path(layer)
        if path.rpartition("/")[2] in ("moving_mean", "moving_variance")
    }
    assert moved(True) == statistics
    assert {id(w) for w in layer.non_trainable_weights} == {
        id(by_path(layer)[path]) for path in statistics
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 7)], ids=str)
def test_sizes(name, size, rng):
    """Finite, of the promised shape, and the same in a model of unknown batch."""
    layer, inputs = built(name, rng, (3, *size, CHANNELS))
    outputs = as_array(run(layer, inputs))
    assert outputs.shape == tuple(layer.compute_output_shape(inputs.shape))
    assert np.isfinite(outputs).all()
    model = model_of(layer, inputs.shape[1:])
    assert model.output_shape == (None, *outputs.shape[1:])
    # A batch is no more than its samples, in inference.
    first = model.predict_on_batch(inputs[:1])
    np.testing.assert_allclose(first, outputs[:1], atol=1e-4)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "aa"])
def test_unknown_height_and_width(name, rng):
    """AA's relative positions need them; its own tests check the error."""
    layer = make(name)
    model = model_of(layer, (None, None, CHANNELS))
    randomize(layer, rng)
    assert model.output_shape == (None, None, None, CHANNELS)
    assert tuple(layer.compute_output_shape((None, None, 4, CHANNELS))) == (
        *(None, None, 4),
        CHANNELS,
    )
    for size in ((4, 7), (5, 3)):
        inputs = rng.normal(size=(2, *size, CHANNELS)).astype("float32")
        outputs = model.predict_on_batch(inputs)
        np.testing.assert_allclose(outputs, as_array(run(layer, inputs)), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_any_number_of_input_channels(name, channels, rng):
    layer, inputs = built(name, rng, (2, 4, 4, channels), **low_ratio(name))
    outputs = as_array(run(layer, inputs))
    assert outputs.shape == tuple(layer.compute_output_shape(inputs.shape))
    assert np.isfinite(outputs).all()


GATES = [n for n in NAMES if issubclass(keras_attention.spec(n).layer, Gate)]


@pytest.mark.parametrize("name", GATES)
def test_output_is_the_input_times_the_map(name, rng):
    """BAM, by its paper, and CBAM's sum in its way add the input to that product."""
    layer, inputs = built(name, rng)
    attention = as_array(layer.attention_map(inputs))
    assert ((attention > 0) & (attention < 1)).all()
    expected = inputs * attention
    if isinstance(layer, BAM) or getattr(layer, "order", None) == "sum":
        expected = inputs + expected
    np.testing.assert_allclose(as_array(run(layer, inputs)), expected, atol=1e-6)


@pytest.mark.parametrize("name", GATES)
def test_channels_first_is_channels_last_transposed(name, rng):
    layer, inputs = built(name, rng)
    if any(isinstance(part, keras.layers.Conv2D) for part in layer._flatten_layers()):
        need_channels_first()
    config = {**layer.get_config(), "data_format": "channels_first"}
    first = type(layer).from_config(config)
    moved = np.moveaxis(inputs, -1, 1)
    first.build(moved.shape)
    first.set_weights(layer.get_weights())
    outputs = as_array(run(first, moved))
    np.testing.assert_allclose(
        outputs, np.moveaxis(as_array(run(layer, inputs)), -1, 1), atol=1e-5
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_half_precision(name, policy, rng):
    """Finite, and in the direction of the ones in float32."""
    layer, inputs = built(name, rng)
    cotangent = rng.normal(size=run(layer, inputs).shape).astype("float32")
    _, by_input, by_weight = gradients(layer, inputs, cotangent)
    with_policy = {**layer.get_config(), "dtype": policy}
    half = type(layer).from_config(with_policy)
    half.build(inputs.shape)
    half.set_weights(layer.get_weights())
    _, half_by_input, half_by_weight = gradients(half, inputs, cotangent)
    pairs = [(by_input, half_by_input)]
    pairs += zip(by_weight.values(), half_by_weight.values(), strict=True)
    for full, low in pairs:
        low = np.asarray(low, "float32")
        assert np.isfinite(low).all()
        cosine = (full * low).sum() / (np.linalg.norm(full) * np.linalg.norm(low))
        assert cosine > 0.98
