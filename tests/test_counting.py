"""`complexity` against counts by hand and against published ones."""

import json

import keras
import numpy as np
import pytest

from keras_attention import applications, layers
from keras_attention.counting import complexity


def _model(*stack, shape=(8, 8, 16)):
    return keras.Sequential([keras.Input(shape), *stack])


# (layer, multiply-adds) on a map of 8×8×16
ON_A_MAP = {
    "conv": (keras.layers.Conv2D(8, 3, padding="same"), 9 * 16 * 8 * 64),
    "valid": (keras.layers.Conv2D(8, 3), 9 * 16 * 8 * 36),
    "strided": (keras.layers.Conv2D(8, 3, strides=2, padding="same"), 9 * 16 * 8 * 16),
    "grouped": (keras.layers.Conv2D(8, 1, groups=4), 4 * 8 * 64),
    "symmetric": (
        layers.Conv2D(8, (3, 5), strides=2, padding="symmetric"),
        15 * 16 * 8 * 16,
    ),
    "dilated": (keras.layers.Conv2D(8, 3, dilation_rate=2), 9 * 16 * 8 * 16),
    "transposed": (
        keras.layers.Conv2DTranspose(8, 2, strides=2),
        4 * 16 * 8 * 64,
    ),
    "depthwise": (
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        9 * 32 * 64,
    ),
    "separable": (
        keras.layers.SeparableConv2D(8, 3, padding="same"),
        (9 * 16 + 16 * 8) * 64,
    ),
    "dense_on_map": (keras.layers.Dense(5), 16 * 5 * 64),
    "einsum": (
        keras.layers.EinsumDense("bhwc,cnd->bhwnd", (8, 8, 2, 3)),
        16 * 6 * 64,
    ),
    "einsum_open": (keras.layers.EinsumDense("...c,cd->...d", 3), 16 * 3 * 64),
    "pooling": (keras.layers.MaxPooling2D(), 0),
    "norm": (keras.layers.BatchNormalization(), 0),
    "se": (layers.SqueezeExcitation(4), 2 * 16 * 4),
    "eca": (layers.EfficientChannelAttention(3), 3 * 16),
    "cbam": (layers.CBAM(4), 2 * 2 * 16 * 4 + 49 * 2 * 64),
    "channel_avg": (layers.ChannelAttention(4, pooling=("avg",)), 2 * 16 * 4),
    "bam": (
        layers.BAM(4),
        2 * 16 * 4 + 64 * (16 * 4 + 2 * 9 * 4 * 4 + 4),
    ),
    "aw": (
        layers.AWConv2D(32, 3, padding="same"),
        9 * 16 * 32 * 64 + 9 * (16 * 2 + 2 * 32),
    ),
    "aw_grouped": (
        layers.AWConv2D(32, 3, strides=2, padding="same", groups=4),
        9 * 4 * 32 * 16 + 9 * (16 * 2 + 2 * 32),
    ),
}


@pytest.mark.parametrize("case", ON_A_MAP)
def test_multiply_adds_on_a_map(case):
    layer, expected = ON_A_MAP[case]
    model = _model(layer.from_config(layer.get_config()))
    result = complexity(model)
    assert result.multiply_adds == expected
    assert result.parameters == model.count_params()
    trainable = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert result.trainable_parameters == trainable


def test_one_and_three_dimensions_and_vectors():
    assert complexity(_model(keras.layers.Dense(7), shape=(5,))).multiply_adds == 35
    conv1d = _model(keras.layers.Conv1D(4, 3, padding="same"), shape=(10, 2))
    assert complexity(conv1d).multiply_adds == 3 * 2 * 4 * 10
    conv3d = _model(keras.layers.Conv3D(4, 3, padding="same"), shape=(4, 4, 4, 2))
    assert complexity(conv3d).multiply_adds == 27 * 2 * 4 * 64


def test_augmented_convolution_counts_its_three_convolutions_only():
    layer = layers.AttentionAugmentedConv2D(
        32, 3, padding="same", key_depth=16, value_depth=8, num_heads=4
    )
    convs = 9 * 16 * 24 + 16 * (2 * 16 + 8) + 8 * 8
    assert complexity(_model(layer)).multiply_adds == convs * 64


def test_a_shared_layer_counts_at_every_call():
    shared = keras.layers.Dense(4, name="shared")
    inputs = keras.Input((4,))
    result = complexity(keras.Model(inputs, shared(shared(inputs))))
    assert result.multiply_adds == 2 * 16
    assert result.parameters == 4 * 4 + 4
    (row,) = (row for row in result.layers if row.path == "shared")
    assert (row.calls, row.multiply_adds, row.output_shape) == (2, 32, (4,))


def test_layers_are_named_by_path_and_sum_to_the_totals():
    inputs = keras.Input((8, 8, 16))
    x = layers.CBAM(4, name="cbam")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1, name="conv")(x))
    result = complexity(model)
    by_path = {row.path: row for row in result.layers}
    reduce = by_path["cbam/channel_attention/reduce"]
    assert (reduce.calls, reduce.multiply_adds, reduce.group) == (2, 2 * 16 * 4, "cbam")
    assert by_path["conv"].parameters == 16 * 2 + 2
    assert sum(row.parameters for row in result.layers) == model.count_params()


def test_nested_models_count_as_flat_ones():
    inner = _model(keras.layers.Conv2D(4, 3), layers.SqueezeExcitation(2))
    outer = _model(inner, keras.layers.Flatten(), keras.layers.Dense(3))
    result = complexity(outer)
    assert result.multiply_adds == 9 * 16 * 4 * 36 + 2 * 4 * 2 + 144 * 3
    assert result.parameters == outer.count_params()


def test_activation_memory_counts_each_output_once():
    model = _model(
        keras.layers.Conv2D(4, 1),  # 8·8·4
        keras.layers.Dropout(0.5),  # hands on what it gets
        layers.CBAM(2),  # channel part's output and the spatial part's, see below
    )
    result = complexity(model)
    maps = 3 * 8 * 8 * 4  # conv, x ⊙ Mc, and that ⊙ Ms, which is CBAM's output too
    mlp = 2 * (2 + 4)
    spatial = 2 * 8 * 8  # convolution and norm
    assert result.activation_bytes == 4 * (maps + mlp + spatial)
    assert result.parameter_bytes == 4 * model.count_params()


def test_mixed_precision_halves_activations_and_keeps_counts():
    full = complexity(_model(keras.layers.Conv2D(4, 3), layers.SqueezeExcitation(2)))
    keras.config.set_dtype_policy("mixed_float16")
    try:
        stack = (keras.layers.Conv2D(4, 3), layers.SqueezeExcitation(2))
        half = complexity(_model(*stack))
    finally:
        keras.config.set_dtype_policy("float32")
    assert half.multiply_adds == full.multiply_adds
    assert half.parameter_bytes == full.parameter_bytes
    assert 2 * half.activation_bytes == full.activation_bytes


def test_channels_first_counts_as_channels_last():
    kwargs = {"data_format": "channels_first"}
    stack = [layers.AWConv2D(32, 3, padding="same", **kwargs), layers.CBAM(4, **kwargs)]
    first = complexity(_model(*stack, shape=(16, 8, 8)))
    last = complexity(_model(layers.AWConv2D(32, 3, padding="same"), layers.CBAM(4)))
    assert first.multiply_adds == last.multiply_adds


# (network, 10⁶ multiply-adds as published, decimals in 10⁶): MobileNet's paper, table
# 4; He's ResNet-50 is 3.8 there and 3.858 in CBAM's table 4; MobileNetV2 300 M.
PUBLISHED = {"MobileNet": 569, "ResNet50": 3858, "MobileNetV2": 301}


@pytest.mark.parametrize("network", PUBLISHED)
def test_networks_of_keras_applications(network):
    with keras.StatelessScope(initialize_variables=False):
        result = complexity(getattr(keras.applications, network)(weights=None))
    assert round(result.multiply_adds / 1e6) == PUBLISHED[network]


def test_unknown_size_asks_for_input_shape():
    model = _model(keras.layers.Conv2D(4, 3, padding="same"), shape=(None, None, 3))
    with pytest.raises(ValueError, match="input_shape="):
        complexity(model)
    result = complexity(model, input_shape=(10, 6, 3))
    assert result.multiply_adds == 9 * 3 * 4 * 60
    assert result.input_shapes == ((10, 6, 3),)


class Subclass(keras.Model):
    def __init__(self):
        super().__init__(name="subclass")
        self.conv = keras.layers.Conv2D(2, 1)

    def call(self, inputs):
        return self.conv(inputs) * 2


def test_a_subclassed_model_needs_to_be_built_and_an_input_shape():
    model = Subclass()
    with pytest.raises(ValueError, match="not built"):
        complexity(model)
    model(np.zeros((2, 4, 4, 3), "float32"))
    with pytest.raises(ValueError, match="input_shape="):
        complexity(model)
    result = complexity(model, input_shape=(4, 4, 3))
    assert result.multiply_adds == 3 * 2 * 16
    assert result.activation_bytes == 2 * 4 * 4 * 2 * 4  # the conv's and the product


def test_several_inputs():
    images, vector = keras.Input((4, 4, 3), name="images"), keras.Input((5,), name="v")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 1)(images))
    outputs = keras.layers.Concatenate()([pooled, keras.layers.Dense(7)(vector)])
    model = keras.Model({"images": images, "v": vector}, outputs)
    assert complexity(model).multiply_adds == 3 * 2 * 16 + 35
    with pytest.raises(ValueError, match="2 inputs"):
        complexity(model, input_shape=[(4, 4, 3)])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (keras.layers.Dense(3), "keras.Model"),
        (keras.Sequential([keras.layers.Dense(3)]), "not built"),
        (_model(keras.layers.LSTM(3), shape=(5, 2)), "LSTM"),
        (
            _model(keras.layers.TimeDistributed(keras.layers.Dense(2)), shape=(5, 2)),
            "TimeDistributed",
        ),
    ],
    ids=["layer", "unbuilt", "recurrent", "time_distributed"],
)
def test_what_cannot_be_counted_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        complexity(model)


def test_a_wrong_input_shape_is_refused():
    model = _model(keras.layers.Conv2D(4, 3))
    with pytest.raises(ValueError, match="known size"):
        complexity(model, input_shape=(None, 8, 16))
    with pytest.raises(ValueError, match="known size"):
        complexity(model, input_shape=224)


def test_frozen_layers_are_not_trainable():
    model = _model(keras.layers.Conv2D(4, 1), keras.layers.BatchNormalization())
    assert complexity(model).trainable_parameters == 68 + 8
    assert complexity(model).parameters == 68 + 16
    model.layers[0].trainable = False
    assert complexity(model).trainable_parameters == 8


def test_the_model_is_left_as_it_was(tmp_path):
    model = applications.ResNet(
        (1,), (16,), "basic", stem="cifar", attention="aw_cbam", input_shape=(8, 8, 3)
    )
    before = model.get_weights()
    attributes = [set(vars(layer)) for layer in model._flatten_layers()]
    complexity(model)
    assert attributes == [set(vars(layer)) for layer in model._flatten_layers()]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    outputs = model.predict(x, verbose=0)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), outputs, rtol=1e-5)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, np.array([0, 1]), verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_the_model_is_restored_after_an_error():
    class Failing(keras.layers.Layer):
        def call(self, inputs):
            if inputs.shape[1] == 4:
                raise ZeroDivisionError
            return inputs

        def compute_output_shape(self, input_shape):
            return input_shape

    model = _model(Failing(), keras.layers.Conv2D(2, 1), shape=(None, None, 3))
    with pytest.raises(ZeroDivisionError):
        complexity(model, input_shape=(4, 4, 3))
    assert "call" not in vars(model.layers[-1])
    assert complexity(model, input_shape=(5, 5, 3)).multiply_adds == 3 * 2 * 25


def test_text_and_json():
    model = _model(
        keras.layers.Conv2D(4, 1, name="conv"),
        keras.layers.BatchNormalization(),
        layers.SqueezeExcitation(2, name="se"),
    )
    result = complexity(model)
    lines = str(result).splitlines()
    assert lines[0].endswith("one input of 8×8×16")
    assert lines[2].split() == ["conv", "8×8×4", "68", "68", "4,096", "99.6"]
    assert lines[3].split() == ["se", "8×8×4", "22", "22", "16", "0.4"]
    assert lines[4].split() == ["(all", "others)", "16", "8", "0"]
    assert lines[5].split() == ["total", "106", "98", "4,112"]
    as_dict = json.loads(result.to_json())
    assert as_dict["multiply_adds"] == 4112
    assert [row["multiply_adds"] for row in as_dict["layers"] if row["multiply_adds"]]
    assert as_dict["input_shapes"] == [[8, 8, 16]]
