"""The export form: the same numbers from fewer operations, the network left alone."""

import keras
import numpy as np
import pytest
from references.autodiff import run
from references.weights import randomize

from keras_attention import applications, spec
from keras_attention.layers import AttentionAugmentedConv2D, AWConv2D
from keras_attention.ops.exporting import exporting, is_exporting
from keras_attention.ops.pooling import adaptive_average_pool2d
from keras_attention.ops.sample_conv.cost import machine
from keras_attention.saved_models.folding import scale_and_shift, scale_outputs
from keras_attention.saved_models.logits import ends_in_softmax, without_softmax
from keras_attention.saved_models.rewriting import export_form, float32_form

SHAPE = (9, 8, 16)


def norms(model):
    return [
        layer.name
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def outputs(model, images):
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)))


def compare(model, images, tolerance=1e-5):
    """The export form, after holding its outputs against the network's."""
    expected = outputs(model, images)
    form = export_form(model)
    with exporting():
        found = outputs(form, images)
    difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert np.isfinite(expected).all()
    assert difference < tolerance
    return form


def chain(rng, *layers, shape=SHAPE):
    """A network of these layers, with random weights and statistics."""
    image = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    model = keras.Model(image, x)
    randomize(model, rng)
    return model, rng.normal(size=(3, *shape)).astype("float32")


def norm(**options):
    return keras.layers.BatchNormalization(name="norm", **options)


BEFORE = {
    "conv": lambda: keras.layers.Conv2D(6, 3, name="before"),
    "conv_without_bias": lambda: keras.layers.Conv2D(6, 3, use_bias=False),
    "grouped": lambda: keras.layers.Conv2D(8, 3, groups=4, use_bias=False),
    "depthwise": lambda: keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
    "dense": lambda: keras.layers.Dense(5, use_bias=False),
    "aw": lambda: AWConv2D(6, 3, strides=2, padding="symmetric", use_bias=False),
    "aw_product": lambda: AWConv2D(6, 3, padding="same", combine="product"),
    "aw_1x1": lambda: AWConv2D(6, 1, use_bias=False),
    "aw_groups": lambda: AWConv2D(8, 3, groups=2, padding="same", use_bias=False),
    "aw_four_maps": lambda: AWConv2D(8, 3, channel_sharing=4, use_bias=False),
    "aa": lambda: AttentionAugmentedConv2D(
        12, 3, padding="same", key_depth=8, value_depth=4, num_heads=2, use_bias=False
    ),
}


@pytest.mark.parametrize("kind", BEFORE)
def test_a_norm_is_folded_into_the_layer_before_it(kind, rng):
    model, images = chain(rng, BEFORE[kind](), norm(), keras.layers.ReLU())
    assert "norm" in norms(model)
    assert "norm" not in norms(compare(model, images))


@pytest.mark.parametrize("options", [{"center": False}, {"scale": False}])
def test_a_norm_without_beta_or_gamma_is_folded(options, rng):
    model, images = chain(rng, keras.layers.Conv2D(6, 3), norm(**options))
    assert norms(compare(model, images)) == []


def test_folded_weights_in_numpy(rng):
    """s K and s b + t, s = γ / √(σ² + ε), t = β − s μ."""
    conv, layer = keras.layers.Conv2D(4, 3, name="conv"), norm(epsilon=0.5)
    chain(rng, conv, layer)
    gamma, beta, mean, variance = (
        np.asarray(w, "float64") for w in layer.get_weights()
    )
    s = gamma / np.sqrt(variance + 0.5)
    scale, shift = scale_and_shift(layer)
    np.testing.assert_allclose(scale, s, rtol=1e-12)
    np.testing.assert_allclose(shift, beta - s * mean, rtol=1e-12)
    kernel, bias = conv.get_weights()
    scale_outputs(conv, scale, shift)
    np.testing.assert_allclose(conv.get_weights()[0], kernel * s, rtol=1e-5)
    np.testing.assert_allclose(
        conv.get_weights()[1], bias * s + beta - s * mean, rtol=1e-5, atol=1e-6
    )


def branched(rng, build):
    image = keras.Input(SHAPE)
    model = keras.Model(image, build(image))
    randomize(model, rng)
    return model, rng.normal(size=(3, *SHAPE)).astype("float32")


def used_twice(image):
    """The convolution's own output is used beside its norm's."""
    x = keras.layers.Conv2D(6, 3)(image)
    return keras.layers.Add()([x, norm()(x)])


def called_twice(image):
    """One convolution at two places, with a norm after one of them."""
    conv = keras.layers.Conv2D(6, 3)
    left, right = conv(image), conv(keras.layers.ReLU()(image))
    return keras.layers.Add()([norm()(left), right])


def an_output_too(image):
    x = keras.layers.Conv2D(6, 3)(image)
    both = [keras.layers.GlobalAveragePooling2D()(x), norm()(x)]
    return keras.layers.Concatenate()(
        [both[0], keras.layers.GlobalAveragePooling2D()(both[1])]
    )


def after_an_activation(image):
    return norm()(keras.layers.Conv2D(6, 3, activation="relu")(image))


def after_an_addition(image):
    conv = keras.layers.Conv2D(16, 3, padding="same")
    return norm()(keras.layers.Add()([conv(image), image]))


def along_another_axis(image):
    return norm(axis=1)(keras.layers.Conv2D(6, 3)(image))


@pytest.mark.parametrize(
    "build",
    [
        used_twice,
        called_twice,
        an_output_too,
        after_an_activation,
        after_an_addition,
        along_another_axis,
    ],
)
def test_a_norm_that_cannot_be_folded_stays(build, rng):
    model, images = branched(rng, build)
    assert norms(compare(model, images)) == ["norm"]


class OwnNorm(keras.layers.BatchNormalization):
    def call(self, inputs, **kwargs):
        return keras.ops.tanh(super().call(inputs, **kwargs))


class OwnConv(keras.layers.Conv2D):
    def call(self, inputs):
        return keras.ops.tanh(super().call(inputs))


class OwnAugmented(AttentionAugmentedConv2D):
    def call(self, inputs):
        return keras.ops.tanh(super().call(inputs))


OWN = {
    "norm": lambda: (keras.layers.Conv2D(6, 3), OwnNorm(name="norm")),
    "conv": lambda: (OwnConv(6, 3), norm()),
    "aa": lambda: (
        OwnAugmented(
            12, 3, padding="same", key_depth=8, value_depth=4, num_heads=2, name="aa"
        ),
        norm(),
    ),
}


@pytest.mark.parametrize("kind", OWN)
def test_a_users_subclass_is_not_folded(kind, rng):
    """It computes more than the layer whose weights it has."""
    model, images = chain(rng, *OWN[kind]())
    assert norms(compare(model, images)) == ["norm"]


def test_a_users_layer_that_can_scale_its_outputs_is_folded(rng):
    class Shift(keras.layers.Layer):
        data_format = "channels_last"

        def __init__(self, use_bias=False, **kwargs):
            super().__init__(**kwargs)

        def build(self, shape):
            self.scale, self.shift = (
                self.add_weight(shape=shape[-1:], initializer=initial, name=initial)
                for initial in ("ones", "zeros")
            )

        def call(self, inputs):
            return inputs * self.scale + self.shift

        def scale_outputs(self, scale, shift):
            self.shift.assign(self.shift * scale + shift)
            self.scale.assign(self.scale * scale)

    model, images = chain(rng, Shift(), norm())
    assert norms(compare(model, images)) == []


def test_a_users_subclass_of_dropout_stays(rng):
    class Halving(keras.layers.Dropout):
        def call(self, inputs, training=False):
            return 0.5 * super().call(inputs, training=training)

    compare(*chain(rng, Halving(0.3)))


def test_operations_that_are_no_layers(rng):
    """Before a norm, behind a convolution with one, and as the output."""

    def build(image):
        x = norm()(keras.ops.relu(image + 1))
        folded = keras.layers.BatchNormalization(name="folded")
        return folded(keras.layers.Conv2D(16, 1)(x)) * 2 + image

    model, images = branched(rng, build)
    assert norms(compare(model, images)) == ["norm"]


def dense(*layers):
    """A network of vectors."""
    image = x = keras.Input((4,))
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x, name="own")


def test_a_last_operation_that_is_no_layer_is_no_softmax_layer():
    model = dense(keras.layers.Dense(3), lambda x: x + 1)
    assert not ends_in_softmax(model)


def test_a_softmax_in_a_users_subclass_is_not_taken_apart():
    """Its logits are not those of the class above."""

    class Tempered(keras.layers.Softmax):
        def call(self, inputs):
            return super().call(inputs / 2)

    class Cosine(keras.layers.Dense):
        def call(self, inputs):
            return super().call(keras.ops.normalize(inputs))

    class Doubled(keras.layers.Activation):
        def call(self, inputs):
            return super().call(2 * inputs)

    assert not ends_in_softmax(dense(keras.layers.Dense(3), Tempered()))
    for last in (Cosine(3, activation="softmax"), Doubled("softmax")):
        with pytest.raises(ValueError, match=f"inside '{last.name}', of the class"):
            without_softmax(dense(last))


def test_whole_networks(rng):
    """By the logits; every norm of a MobileNet but those inside attentions is gone."""
    model = applications.MobileNet(
        input_shape=(32, 32, 3),
        alpha=0.25,
        attention=[None, spec("se", reduction_ratio=4), ["aw", "eca"]] + [None] * 10,
        classes=10,
        classifier_activation=None,
    )
    settle(model, rng)
    images = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    form = compare(model, images)
    assert len(norms(model)) == 29
    assert sorted(norms(form)) == ["norm1", "norm2"]


def settle(model, rng):
    """Random norms around 1 and 0: large ones would grow from layer to layer."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                around = 1 if weight.name in ("gamma", "moving_variance") else 0
                weight.assign(rng.normal(around, 0.1, weight.shape))


def test_a_preactivation_network_with_dropout(rng):
    model = applications.WideResNet(
        10,
        1,
        input_shape=(16, 16, 3),
        attention="aw_bam_block",
        dropout=0.5,
        classifier_activation=None,
    )
    settle(model, rng)
    images = rng.normal(size=(2, 16, 16, 3)).astype("float32")
    form = compare(model, images)
    kinds = {type(layer).__name__ for layer in form._flatten_layers()}
    assert "Dropout" not in kinds
    assert "head_norm" in norms(form)


def test_the_network_is_left_as_it_was(rng):
    model = applications.CifarResNet(8, attention="aw_se", input_shape=(16, 16, 3))
    settle(model, rng)
    before = [w.copy() for w in model.get_weights()]
    config = model.get_config()
    form = export_form(model)
    for weight in form.weights:
        weight.assign(np.zeros(weight.shape, "float32"))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert str(model.get_config()) == str(config)
    assert not {id(w) for w in form.weights} & {id(w) for w in model.weights}


def test_a_network_of_mixed_precision_computes_in_float32(rng):
    keras.config.set_dtype_policy("mixed_float16")
    model = applications.CifarResNet(8, attention="aw_cbam", input_shape=(16, 16, 3))
    settle(model, rng)
    keras.config.set_dtype_policy("float32")
    exact = applications.CifarResNet(8, attention="aw_cbam", input_shape=(16, 16, 3))
    exact.set_weights(model.get_weights())
    images = rng.normal(size=(2, 16, 16, 3)).astype("float32")
    for form in (export_form(model), float32_form(model)):
        assert {layer.compute_dtype for layer in form._flatten_layers()} == {"float32"}
        np.testing.assert_allclose(
            outputs(form, images), outputs(exact, images), rtol=1e-4, atol=1e-6
        )


def test_nested_and_sequential_models(rng):
    inner = keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Conv2D(6, 3), norm()], name="inner"
    )
    model, images = chain(rng, inner, keras.layers.ReLU())
    assert norms(compare(model, images)) == []
    randomize(inner, rng)
    assert norms(compare(inner, images)) == []


def test_an_adapted_normalization_keeps_its_statistics(rng):
    """It computes with constants that it makes of its weights, once they are there."""
    scaled = keras.layers.Normalization()
    scaled.adapt(rng.normal(100, 40, size=(8, *SHAPE)).astype("float32"))
    image = keras.Input(SHAPE)
    model = keras.Model(image, keras.layers.Conv2D(3, 1)(scaled(image)))
    images = rng.normal(100, 40, size=(2, *SHAPE)).astype("float32")
    compare(model, images)
    found = outputs(float32_form(model), images)
    np.testing.assert_allclose(found, outputs(model, images), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_copied_is_an_error():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    own = Own(name="own")
    own.build((None, 4))
    with pytest.raises(ValueError, match="'own' is of the class Own"):
        export_form(own)
    with pytest.raises(ValueError, match="not built"):
        export_form(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match=r"must be a `keras.Model`. Received: 3"):
        export_form(3)


def test_a_layer_without_a_configuration_is_named(rng):
    class Odd(keras.layers.Layer):
        def __init__(self, thing, **kwargs):
            super().__init__(**kwargs)

        def call(self, inputs):
            return inputs

    class Forgetful(Odd):
        def get_config(self):
            return {"name": self.name}

    model, _ = chain(rng, Odd(object(), name="odd"))
    with pytest.raises(ValueError, match="no configuration to copy it by: .*Odd"):
        export_form(model)
    model, _ = chain(rng, Forgetful(object(), name="odd"))
    with pytest.raises(ValueError, match="'odd' of the class Forgetful cannot be made"):
        export_form(model)


class Scaled(keras.layers.Layer):
    """Weights without names: Keras counts them through, a copy's too."""

    def build(self, shape):
        self.factor = self.add_weight(shape=shape[-1:], initializer="zeros")
        self.offset = self.add_weight(shape=shape[-1:], initializer="zeros")

    def call(self, inputs):
        return inputs * self.factor + self.offset


def test_weights_without_names_are_carried_in_order(rng):
    compare(*chain(rng, Scaled(name="scaled")))


def test_a_layer_whose_configuration_has_no_name_keeps_it(rng):
    """The class forgot that of the class above."""

    class Plain(Scaled):
        def get_config(self):
            return {}

    model, images = chain(rng, Plain(), keras.layers.ReLU(), Plain(name="last"))
    form = compare(model, images)
    assert [layer.name for layer in form.layers[1:]] == ["plain", "re_lu", "last"]


@pytest.mark.parametrize(
    ("size", "bins"),
    [((7, 7), (3, 3)), ((8, 6), (4, 3)), ((5, 9), (1, 5)), ((2, 3), (5, 7))],
)
def test_pooling_for_export_is_the_mean_over_bins(size, bins, rng):
    """⌊i·n/o⌋ … ⌈(i+1)·n/o⌉ − 1, in a loop."""
    inputs = rng.normal(size=(2, *size, 3)).astype("float32")
    expected = np.empty((2, *bins, 3))
    for i, j in np.ndindex(bins):
        rows, columns = (
            slice(k * n // o, -(-(k + 1) * n // o))
            for k, n, o in zip((i, j), size, bins, strict=True)
        )
        expected[:, i, j] = inputs[:, rows, columns].mean(axis=(1, 2))
    with exporting():
        found = keras.ops.convert_to_numpy(adaptive_average_pool2d(inputs, bins))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_form_for_export_ends_with_its_block(rng):
    assert not is_exporting()
    with pytest.raises(RuntimeError), exporting():
        assert machine() == "export"
        raise RuntimeError
    assert not is_exporting()
    assert machine() != "export"


def test_an_aw_layer_in_export_has_one_convolution_per_tap_and_no_loop():
    """By TensorFlow's graph: what the file is made from."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("reads TensorFlow's graphs")
    import tensorflow as tf

    layer = AWConv2D(8, 3, strides=2, padding="symmetric")
    layer.build((None, *SHAPE))

    def graph():
        with exporting():
            function = tf.function(lambda x: run(layer, x), autograph=False)
            found = function.get_concrete_function(tf.TensorSpec((1, *SHAPE)))
        return [node.op for node in found.graph.as_graph_def().node]

    operations = graph()
    # Nine taps and the branch's two.
    assert operations.count("Conv2D") == 11
    assert not {"While", "StatelessWhile", "BatchMatMulV2"} & set(operations)
