"""The ablation study's CNN of three convolutions."""

import keras
import numpy as np
import pytest
from references.backend import need_channels_first

from keras_attention.applications import CNN3
from keras_attention.attention import spec


def trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(
    ("attention", "count"),
    [
        (None, 2_202_122),  # the study's figures
        (spec("cbam", spatial_norm=False), 2_205_342),
        ("cbam", 2_205_342 + 6),  # γ and β of three norms of one channel
    ],
)
def test_published_parameters(attention, count):
    assert trainable(CNN3(attention=attention)) == count


def test_attention_stands_between_relu_and_pool():
    """By its input and by who takes its output."""
    model = CNN3(attention={"stage2_block1": "cbam"})
    layer = model.get_layer("stage2_block1_attention")
    assert layer.input is model.get_layer("stage2_block1_relu").output
    assert model.get_layer("stage2_block1_pool").input is layer.output
    assert [n for n in model.operations if "attention" in n.name] == [layer]


def test_a_stage_attention_stands_behind_the_pools():
    model = CNN3(attention="bam")
    shapes = [model.get_layer(f"stage{s}_attention").output.shape for s in (1, 2)]
    assert shapes == [(None, 16, 16, 32), (None, 8, 8, 64)]


def test_the_flattened_places_are_told_apart(rng):
    """A global pool in its place would give one answer for both images."""
    model = CNN3(input_shape=(8, 16, 1), classes=3)
    images = rng.normal(size=(1, 8, 16, 1)).astype("float32")
    halves = [images[:, :, 8:], images[:, :, :8]]
    first, second = (
        keras.ops.convert_to_numpy(model(x))
        for x in (images, np.concatenate(halves, 2))
    )
    assert np.abs(first - second).max() > 1e-3


def test_weights_are_one_in_both_layouts(rng):
    need_channels_first()
    last = CNN3(attention="cbam")
    first = CNN3(
        attention="cbam", data_format="channels_first", input_shape=(3, 32, 32)
    )
    first.set_weights(last.get_weights())
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(first(images.transpose(0, 3, 1, 2))),
        keras.ops.convert_to_numpy(last(images)),
        atol=1e-5,
    )


@pytest.mark.parametrize("shape", [(7, 32, 3), (None, None, 3)])
def test_a_size_that_cannot_be_flattened_is_an_error(shape):
    with pytest.raises(ValueError, match=r"at least 8×8.*Received: height and width"):
        CNN3(input_shape=shape)


def test_without_a_top_the_size_may_be_unknown():
    model = CNN3(input_shape=(None, None, 3), pyramid=True)
    assert {k: v.shape[-1] for k, v in model.output.items()} == {
        "P1": 32,
        "P2": 64,
        "P3": 128,
    }
