"""A new attention is one class and one spec: this file writes one and uses it."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from keras import ops

import keras_attention
from keras_attention.applications import MobileNet, ResNet
from keras_attention.attention import parse, unregister
from keras_attention.layers import AW, AWConv2D, Gate


@keras.saving.register_keras_serializable("tests")
class Half(Gate):
    """y = x ⊙ σ(w_c), w starting at 0."""

    def __init__(self, start=0.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build_gate(self, channels, input_shape):
        initializer = keras.initializers.Constant(self.start)
        self.logits = self.add_weight(shape=(channels,), initializer=initializer)

    def attention_map(self, inputs):
        return self.per_channel(ops.sigmoid(self.logits)[None])

    def get_config(self):
        return {**super().get_config(), "start": self.start}


@dataclass(frozen=True)
class HalfSpec(keras_attention.AttentionSpec):
    start: float = 0.0


@pytest.fixture
def half():
    """Registers the spec, and leaves the registry as it was."""
    before = keras_attention.names()
    variants = {"half_open": {"start": 9.0}}
    register = keras_attention.register(
        "half", site="block", layer=Half, variants=variants
    )
    register(HalfSpec)
    yield
    unregister("half")
    assert keras_attention.names() == before


def small(attention):
    return ResNet(
        (1, 1), (4, 8), "basic", stem="cifar", stem_width=4, classes=3,
        input_shape=(8, 8, 3), attention=attention,
    )  # fmt: skip


def test_it_has_a_name_everywhere(half):
    assert {"half", "half_open"} <= set(keras_attention.names("block"))
    assert parse("aw_half_open") == (AW(), HalfSpec(start=9.0))
    assert str(HalfSpec(start=9.0)) == "half_open"
    with pytest.raises(ValueError, match=r"registered already.*HalfSpec"):
        keras_attention.register("half", site="block", layer=Half)
    with pytest.raises(ValueError, match=r"'halv'.*Choose from: 'half'"):
        parse("halv")


def test_it_stands_in_networks_by_name_and_composed(half, tmp_path):
    model = small("half")
    attentions = [layer for layer in model.layers if isinstance(layer, Half)]
    assert [layer.name for layer in attentions] == [
        "stage1_block1_attention",
        "stage2_block1_attention",
    ]
    composed = small("aw_half_open")
    assert sum(isinstance(layer, AWConv2D) for layer in composed.layers) == 4
    assert composed.get_layer("stage2_block1_attention").start == 9.0
    with keras.StatelessScope(initialize_variables=False):
        mobile = MobileNet((32, 32, 3), alpha=0.25, attention="half")
    assert sum(isinstance(layer, Half) for layer in mobile.layers) == 1 + 2 * 13
    image = np.ones((1, 8, 8, 3), "float32")
    composed.save(tmp_path / "half.keras")
    copy = keras.saving.load_model(tmp_path / "half.keras")
    np.testing.assert_allclose(
        copy.predict_on_batch(image), composed.predict_on_batch(image), atol=1e-6
    )


def test_its_name_is_gone_after_unregistering():
    with pytest.raises(ValueError, match=r"Unknown attention.*'half'"):
        small("half")
