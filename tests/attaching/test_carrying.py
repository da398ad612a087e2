"""What a copied network knows beside its weights: vocabularies, bins, reports."""

import hand_made
import keras
import numpy as np
import pytest
from keras import layers

from keras_attention.attaching import attach, fold
from keras_attention.attaching.copying import remade
from keras_attention.weights.report import Report


def lookup(**options):
    layer = layers.IntegerLookup(name="known", **options)
    layer.adapt(np.array([[30, 10], [20, 30]]))
    return layer


def bins():
    layer = layers.Discretization(num_bins=4, name="known")
    layer.adapt(np.arange(100.0))
    return layer


def with_second_input(preprocessing, dtype):
    """A network of an image and of a column that is preprocessed."""
    image = keras.Input(hand_made.SHAPE, name="image")
    column = keras.Input((1,), dtype=dtype, name="column")
    pooled = layers.GlobalAveragePooling2D()(hand_made.conv(image, 16, "c"))
    embedded = layers.Flatten()(layers.Embedding(8, 4)(preprocessing(column)))
    outputs = layers.Dense(3)(layers.Concatenate()([pooled, embedded]))
    return keras.Model([image, column], outputs)


@pytest.mark.parametrize(
    ("make", "column", "dtype"),
    [
        (bins, [[3.0], [80.0]], "float32"),
        (lookup, [[10], [30]], "int32"),
        (lambda: inner(lookup()), [[10], [30]], "int32"),
    ],
    ids=["bins", "vocabulary", "vocabulary in a model"],
)
def test_what_adapt_found_is_kept(make, column, dtype):
    model = with_second_input(make(), dtype)
    column = keras.ops.convert_to_tensor(column, dtype)
    given = [keras.ops.convert_to_tensor(hand_made.images()), column]
    other = [given[0], keras.ops.flip(column, 0)]
    found = hand_made.outputs(model, given), hand_made.outputs(model, other)
    assert np.abs(found[0] - found[1]).max() > 1e-3  # the column matters
    attached = attach(model, "se", "c")
    hand_made.assert_same(model, attached, given)
    hand_made.assert_same(model, fold(attached), given, rtol=1e-5, atol=1e-6)


def inner(layer):
    column = keras.Input((1,), dtype="int32")
    return keras.Model(column, layer(column), name="inner")


def test_words_are_kept():
    words = layers.StringLookup(name="words")
    words.adapt(np.array(["b", "a", "b"]))
    assert remade(words).get_vocabulary() == ["[UNK]", "b", "a"]


def test_a_vocabulary_that_cannot_be_carried_is_an_error():
    with pytest.raises(ValueError, match="vocabulary of 'known'.*IntegerLookup"):
        remade(lookup(output_mode="tf_idf"))


def test_the_report_of_the_weights_stays_with_the_network():
    model = hand_made.small()
    assert not hasattr(attach(model, "se"), "weights_report")
    model.weights_report = Report(source="there", layout="its own")
    attached = attach(model, "se")
    assert attached.weights_report == model.weights_report
    assert fold(attached).weights_report == model.weights_report


@pytest.mark.parametrize("attention", ["se", "aw"])
def test_a_gate_shares_no_array_with_its_plain_form(attention):
    """On JAX training gives arrays away."""
    model = hand_made.settled(attach(hand_made.small(), attention))
    gate = model.get_layer("conv" if attention == "aw" else "add_se")
    plain = remade(gate, identity_start=False)
    plain.build_from_config(gate.get_build_config())
    gate.fold_into(plain)
    kept = {id(weight.value) for weight in gate.weights}
    assert not kept & {id(weight.value) for weight in plain.weights}
