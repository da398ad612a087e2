"""Attached attentions folded into plain ones after training."""

import hand_made
import keras
import numpy as np
import pytest
from hand_made import assert_same, producers

from keras_attention import applications, spec
from keras_attention.attaching import attach, fold, placements

# By the attention: whether the number that is left goes into the batch norm before it.
ABSORBED = {
    "se": True,
    "eca": True,
    "cbam": True,
    "cbam_parallel": True,
    "bam_block": True,
    "mvam": False,
    "aw": None,
}


@pytest.mark.parametrize("attention", ABSORBED)
def test_the_same_numbers_by_plain_layers(attention):
    where = None if attention == "aw" else "before_add"
    model = hand_made.settled(attach(hand_made.small(), attention, where))
    folded = fold(model)
    assert_same(model, folded, rtol=1e-3, atol=1e-4)
    assert not [w.path for w in folded.weights if w.name == "scale"]
    gains = [layer.name for layer in folded.layers if layer.name.endswith("_gain")]
    assert len(gains) == (1 if ABSORBED[attention] is False else 0)
    name = "conv" if attention == "aw" else f"add_{attention}"
    kept, plain = model.get_layer(name), folded.get_layer(name)
    assert type(plain) is type(kept) and not plain.identity_start
    gammas = [float(m.get_layer("norm").gamma[0]) for m in (model, folded)]
    wanted = kept.identity_gain if ABSORBED[attention] else 1
    assert gammas[1] / gammas[0] == pytest.approx(wanted)


def test_a_norm_that_feeds_two_is_left_alone():
    image = keras.Input(hand_made.SHAPE)
    x = hand_made.conv(image, 16, "stem")
    y = keras.layers.BatchNormalization(name="norm")(hand_made.conv(x, 16, "conv"))
    both = keras.layers.Concatenate()([keras.layers.Add(name="add")([y, x]), y])
    model = hand_made.settled(attach(keras.Model(image, both), "se"))
    folded = fold(model)
    assert producers(folded, "add_se_gain") == ["add_se"]
    assert_same(model, folded, rtol=1e-4, atol=1e-5)


def test_a_norm_that_is_an_output_is_left_alone():
    model = hand_made.settled(attach(hand_made.residual(), "se", "b1_norm"))
    wide = keras.Model(model.input, [model.output, model.get_layer("b1_norm").output])
    folded = fold(wide)
    assert producers(folded, "b1_norm_se_gain") == ["b1_norm_se"]
    assert_same(wide, folded, rtol=1e-4, atol=1e-5)


def test_shared_and_nested_ones():
    model = hand_made.settled(attach(hand_made.siamese(), "se"))
    inputs = {side: hand_made.images() for side in ("left", "right")}
    folded = fold(model)
    assert producers(folded, "right_add_se_gain") == ["right_add_se"] * 2
    assert_same(model, folded, inputs, rtol=1e-4, atol=1e-5)
    model = hand_made.settled(attach(hand_made.nested(), "se"))
    assert_same(model, fold(model), rtol=1e-4, atol=1e-5)


def test_networks_that_were_built_with_the_option():
    model = applications.CifarResNet(
        8, attention=spec("se").starting_at_identity(), input_shape=hand_made.SHAPE
    )
    hand_made.settled(model)
    assert_same(model, fold(model), rtol=1e-3, atol=1e-4)


def test_through_files(tmp_path):
    model = hand_made.settled(attach(hand_made.small(), "mvam"))
    model.save(tmp_path / "model.keras")
    folded = fold(keras.saving.load_model(tmp_path / "model.keras"))
    assert_same(model, folded, rtol=1e-3, atol=1e-4)
    folded.save(tmp_path / "folded.keras")
    assert_same(folded, keras.saving.load_model(tmp_path / "folded.keras"))


def test_placements_are_kept_as_plain_specs():
    model = attach(hand_made.residual(), "se")
    found = placements(fold(model))
    assert [one.layer for one in found] == [one.layer for one in placements(model)]
    assert [str(one.spec) for one in found] == ["se"] * 3


def test_the_model_is_left_alone_and_shares_nothing():
    model = hand_made.settled(attach(hand_made.small(), "se"))
    before = model.get_weights()
    folded = fold(model)
    folded.compile("sgd", "mse")
    folded.train_on_batch(hand_made.images(), np.ones((2, 5), "float32"))
    for kept, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, wanted)


def test_errors():
    with pytest.raises(ValueError, match="'residual' has no attention with `identity"):
        fold(hand_made.residual())
    model = attach(hand_made.residual(), "mvam_reverse", "b1_out")
    with pytest.raises(ValueError, match="'b1_out_mvam_reverse'.*has no plain form"):
        fold(model)
