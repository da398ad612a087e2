"""What a network keeps when attention is attached, and what it computes then."""

import hand_made
import keras
import numpy as np
import pytest
from hand_made import assert_same, outputs
from keras import layers
from references.autodiff import gradients
from references.backend import need_channels_first

from keras_attention import spec
from keras_attention.attaching import attach, placements

ATTENTIONS = ("se", "eca", "cbam", "mvam", "bam", "bam_block")
MAKERS = {
    "residual": hand_made.residual,
    "pre-activation": hand_made.pre_activation,
    "sequential": hand_made.vgg,
    "nested": hand_made.nested,
    "siamese": hand_made.siamese,
}


def inputs_of(model):
    if model.name == "siamese":
        return {"left": hand_made.images(), "right": 2 * hand_made.images()}
    return hand_made.images()


def weights_by_path(model):
    # A sequential model's name is part of its weights' paths.
    own = f"{model.name}/"
    return {
        w.path.removeprefix(own): keras.ops.convert_to_numpy(w) for w in model.weights
    }


def assert_keeps_weights(model, attached):
    """All of a model's weights are in another, bit for bit, by their paths."""
    there = weights_by_path(attached)
    for path, value in weights_by_path(model).items():
        np.testing.assert_array_equal(there[path], value, err_msg=path)
    assert not {id(w) for w in model.variables} & {id(w) for w in attached.variables}


class TestStart:
    @pytest.mark.parametrize("attention", ATTENTIONS)
    def test_a_gate_changes_no_bit(self, attention):
        model = hand_made.settled(hand_made.small())
        attached = attach(model, attention, "norm")
        assert len(attached.weights) > len(model.weights)
        assert_same(model, attached)

    @pytest.mark.parametrize("name", MAKERS)
    def test_every_structure(self, name):
        model = hand_made.settled(MAKERS[name]())
        attached = attach(model, "se")
        assert_same(model, attached, inputs_of(model))
        assert_keeps_weights(model, attached)

    @pytest.mark.parametrize("name", ["residual", "nested", "sequential"])
    def test_aw_convolutions(self, name):
        model = hand_made.settled(MAKERS[name]())
        attached = attach(model, "aw")
        assert_same(model, attached, rtol=1e-5, atol=1e-5)
        assert_keeps_weights(model, attached)

    def test_the_plain_attention_changes_it(self):
        model = hand_made.settled(hand_made.residual())
        plain = attach(model, "se", identity_start=False)
        assert not np.allclose(outputs(plain), outputs(model), atol=1e-3)

    def test_channels_first(self):
        need_channels_first()
        model = hand_made.settled(hand_made.small("channels_first"))
        images = hand_made.images(shape=(3, 12, 20))
        attached = attach(model, "cbam")
        assert attached.get_layer("add_cbam").data_format == "channels_first"
        assert_same(model, attached, images)
        assert_same(model, attach(model, "aw"), images, rtol=1e-5, atol=1e-5)

    def test_the_model_is_left_alone(self):
        model = hand_made.settled(hand_made.nested(trainable=False))
        config, before = model.get_config(), weights_by_path(model)
        calls = {op.name: len(op._inbound_nodes) for op in model.operations}
        attach(model, "aw_se_bam", identity_start=False)
        assert model.get_config() == config
        assert {o.name: len(o._inbound_nodes) for o in model.operations} == calls
        for path, value in weights_by_path(model).items():
            np.testing.assert_array_equal(value, before[path])

    def test_it_is_not_compiled_and_says_nothing(self, capsys):
        model = hand_made.residual()
        model.compile("sgd", "mse")
        attached = attach(model, "se")
        assert not attached.compiled
        assert capsys.readouterr() == ("", "")


class TestKept:
    def test_names_and_shapes(self):
        model = hand_made.nested()
        attached = attach(model, "se", "body/b2_out")
        assert type(attached) is type(model)
        assert attached.name == "outer"
        names = [layer.name for layer in attached.layers]
        assert names == [layer.name for layer in model.layers]
        inner = {layer.name for layer in attached.get_layer("body").layers}
        assert inner == {x.name for x in model.get_layer("body").layers} | {"b2_out_se"}
        assert attached.input_shape == model.input_shape
        assert attached.get_layer("body").input.name == "image"

    def test_structures_and_batch_shapes(self):
        first = keras.Input(batch_shape=(4, 8, 8, 16), name="first")
        second = keras.Input((3,), dtype="int32", name="second")
        x = layers.Conv2D(16, 3, padding="same", name="conv")(first)
        by_id = layers.Flatten()(layers.Embedding(5, 2, name="by_id")(second))
        out = {"map": x, "list": [by_id, layers.Dense(2, name="top")(by_id)]}
        model = keras.Model([first, second], out, name="several")
        attached = attach(model, "se", "conv")
        assert [t.name for t in attached.inputs] == ["first", "second"]
        assert [t.shape for t in attached.inputs] == [(4, 8, 8, 16), (None, 3)]
        assert attached.inputs[1].dtype == "int32"
        assert set(attached.output) == {"map", "list"}
        assert attached.output_names[1:] == ["top", "conv_se"]
        assert_same(model, attached, [hand_made.images(4, (8, 8, 16)), np.eye(4, 3)])

    def test_dtype_policies(self):
        image = keras.Input(hand_made.SHAPE)
        x = layers.Conv2D(16, 3, dtype="mixed_bfloat16", name="half")(image)
        y = layers.Conv2D(16, 3, padding="same", dtype="mixed_bfloat16", name="b")(x)
        x = layers.Add(dtype="mixed_bfloat16", name="add")([y, x])
        x = layers.Conv2D(16, 3, dtype="float32", name="full")(x)
        attached = attach(keras.Model(image, x), "aw_se")
        policies = {layer.name: layer.dtype_policy.name for layer in attached.layers}
        assert policies["half"] == policies["b"] == "mixed_bfloat16"
        assert policies["add_se"] == "mixed_bfloat16"
        assert policies["full"] == "float32"
        assert attached.get_layer("b").pointconv1.dtype_policy.name == "mixed_bfloat16"

    @pytest.mark.parametrize("padding", ["valid", "same"])
    def test_a_convolutions_options(self, padding):
        options = {
            "strides": 2,
            "padding": padding,
            "groups": 2,
            "activation": "relu",
            "kernel_regularizer": keras.regularizers.L2(0.1),
            "bias_initializer": "ones",
        }
        image = keras.Input((9, 9, 4))
        x = layers.Conv2D(8, 3, name="stem")(image)
        x = layers.ZeroPadding2D()(x)
        x = layers.Conv2D(8, 3, name="conv", **options)(x)
        x = layers.Conv2D(8, 3, dilation_rate=2, padding="same", name="wide")(x)
        x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="no_bias")(x)
        model = hand_made.settled(keras.Model(image, x))
        model.get_layer("wide").trainable = False
        attached = attach(model, "aw")
        images = hand_made.images(shape=(9, 9, 4))
        assert_same(model, attached, images, rtol=1e-5, atol=1e-5)
        conv = attached.get_layer("conv")
        assert conv.kernel_regularizer.l2 == pytest.approx(0.1)
        assert isinstance(conv.bias_initializer, keras.initializers.Ones)
        assert not attached.get_layer("wide").trainable
        assert attached.get_layer("wide").trainable_weights == []
        assert conv.trainable

    def test_what_is_trainable(self):
        model = hand_made.residual()
        model.get_layer("b2_a").trainable = False
        model.get_layer("b2_last").gamma.trainable = False
        attached = attach(model, "cbam")
        frozen = {w.path for w in model.non_trainable_weights}
        there = {w.path for w in attached.non_trainable_weights}
        assert {path for path in there if "cbam" not in path} == frozen
        assert {"b2_a/kernel", "b2_last/gamma"} <= frozen

    def test_parts_of_a_layer_stay_frozen(self):
        model = attach(hand_made.residual(), "cbam")
        model.get_layer("b1_add_cbam").channel_attention.trainable = False
        again = attach(model, "se", "b2_out")
        layer = again.get_layer("b1_add_cbam")
        assert layer.trainable and layer.spatial_attention.trainable
        assert not layer.channel_attention.trainable

    def test_attention_learns_in_a_frozen_model(self):
        attached = attach(hand_made.nested(trainable=False), "se")
        paths = {w.path for w in attached.trainable_weights}
        assert {path for path in paths if "_se/" not in path} == {
            "top/kernel",
            "top/bias",
        }
        assert len(paths) == 2 + 3 * 5
        assert not attached.get_layer("body").get_layer("b1_norm").trainable

    def test_a_layer_that_learns_in_a_frozen_model(self):
        model = hand_made.nested(trainable=False)
        model.get_layer("body").get_layer("b1_a").trainable = True
        attached = attach(model, "se")
        known = {w.path for w in model.trainable_weights}
        assert "b1_a/kernel" in {path.removeprefix("body/") for path in known}
        there = {w.path for w in attached.trainable_weights if "_se/" not in w.path}
        assert there == known
        assert not attached.get_layer("body").trainable

    def test_a_frozen_whole(self):
        model = hand_made.small()
        model.trainable = False
        model.get_layer("conv").trainable = True  # of no effect
        assert not model.trainable_weights
        attached = attach(model, "se")
        assert {w.path.split("/")[0] for w in attached.trainable_weights} == {"add_se"}
        assert not attach(model, "aw").trainable_weights

    def test_a_frozen_model_without_attention_stays_one(self):
        narrow = spec("se", reduction_ratio=1)
        attached = attach(hand_made.nested(trainable=False), narrow, "scaled")
        assert not attached.get_layer("body").trainable


class TestShared:
    def test_layers_and_their_attention(self):
        model = attach(hand_made.siamese(), "se")
        (first, second) = placements(model)
        assert first.layer == second.layer == "right_add_se"
        assert len([x for x in model.layers if x.name == "shared_conv"]) == 1
        assert hand_made.producers(model, "right_add_se") == ["shared_norm"] * 2

    def test_a_replaced_convolution(self):
        model = hand_made.settled(hand_made.siamese())
        attached = attach(model, "aw")
        assert len(placements(attached)) == 1
        assert_same(model, attached, inputs_of(model), rtol=1e-5, atol=1e-5)

    def test_a_shared_model(self):
        body = keras.Sequential(
            [
                keras.Input((8, 8, 16)),
                layers.Conv2D(16, 3, padding="same", name="conv"),
            ],
            name="body",
        )
        image = keras.Input((8, 8, 16))
        model = keras.Model(image, body(layers.ReLU()(body(image))))
        attached = attach(model, "se", "body/conv")
        assert sum(layer.name == "body" for layer in attached.layers) == 1
        assert_same(model, attached, hand_made.images(shape=(8, 8, 16)))

    def test_a_layer_without_weights_has_an_attention_per_call(self):
        relu = layers.ReLU(name="relu")
        image = keras.Input((8, 8, 4))
        x = relu(layers.Conv2D(16, 3, name="a")(image))
        x = relu(layers.Conv2D(32, 3, name="b")(x))
        attached = attach(keras.Model(image, x), "se", "relu")
        assert [p.layer for p in placements(attached)] == ["relu_se", "relu_se_1"]


class TestLayersOfUsers:
    def test_lambdas_constants_and_operations(self):
        image = keras.Input((8, 8, 4))
        x = layers.Conv2D(16, 3, name="conv")(image)
        x = layers.Lambda(lambda x, by: x * by + np.float32(1), arguments={"by": 3})(x)
        x = keras.ops.concatenate([x, 2.0 * x[..., :4]], axis=-1)
        x = keras.ops.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
        x = keras.ops.mean(keras.ops.maximum(x, 0.1), axis=(1, 2))
        model = keras.Model(image, x)
        assert_same(model, attach(model, "se", "conv"), hand_made.images(2, (8, 8, 4)))

    def test_normalization_that_was_adapted(self):
        image = keras.Input((8, 8, 3))
        normalization = layers.Normalization(name="normalization")
        x = layers.Conv2D(16, 3, name="conv")(normalization(image))
        model = keras.Model(image, x)
        normalization.adapt(5 + 3 * hand_made.images(8, (8, 8, 3)))
        assert_same(model, attach(model, "se", "conv"), hand_made.images(2, (8, 8, 3)))

    def test_random_states(self):
        image = keras.Input((8, 8, 16))
        x = layers.Dropout(0.5, name="drop")(layers.Conv2D(16, 3, name="c")(image))
        model = keras.Model(image, x)
        attached = attach(model, "se", "c")
        images = hand_made.images(2, (8, 8, 16))
        found, wanted = (
            keras.ops.convert_to_numpy(m(images, training=True))
            for m in (attached, model)
        )
        assert (wanted == 0).any() and (wanted != 0).any()
        np.testing.assert_array_equal(found, wanted)

    def test_a_class_of_functional_model(self):
        class Backbone(keras.Model):
            def __init__(self, width, **kwargs):
                image = keras.Input((8, 8, 3))
                x = layers.Conv2D(width, 3, name="conv")(image)
                super().__init__(inputs=image, outputs=x, **kwargs)
                self.width = width

            def get_config(self):
                return {"width": self.width, "name": self.name}

        model = Backbone(16, name="backbone")
        attached = attach(model, "se", "conv")
        assert not isinstance(attached, Backbone)
        assert_same(model, attached, hand_made.images(2, (8, 8, 3)))
        image = keras.Input((8, 8, 3))
        outer = keras.Model(image, model(image))
        assert_same(
            outer, attach(outer, "se", "backbone/conv"), hand_made.images(2, (8, 8, 3))
        )

    def test_one_that_cannot_be_made_again_is_named(self):
        class Own(layers.Layer):
            def __init__(self, table, **kwargs):
                super().__init__(**kwargs)
                self.table = table

            def call(self, inputs):
                return inputs

        image = keras.Input((8, 8, 4))
        x = Own(np.ones(3), name="own")(layers.Conv2D(16, 3, name="conv")(image))
        with pytest.raises(ValueError, match="'own' of the class Own cannot be made"):
            attach(keras.Model(image, x), "se", "conv")

    def test_one_with_other_weights_from_its_configuration_is_named(self):
        class Own(layers.Layer):
            def __init__(self, count=1, **kwargs):
                super().__init__(**kwargs)
                self.own = [self.add_weight(name=f"w{i}") for i in range(count)]

            def get_config(self):
                return {"name": self.name}

            def call(self, inputs):
                return inputs

        image = keras.Input((8, 8, 4))
        x = Own(2, name="own")(layers.Conv2D(16, 3, name="conv")(image))
        with pytest.raises(ValueError, match="'own'.*2 variables, and 1 when made"):
            attach(keras.Model(image, x), "se", "conv")


@pytest.mark.parametrize("attention", ["cbam", "bam", "aw"])
def test_a_step_moves_the_scale_and_then_every_weight_has_a_gradient(attention):
    # Of few hidden units all may be dead, and then the kernels have no gradient.
    options = {} if attention == "aw" else {"reduction_ratio": 1}
    where = "conv" if attention == "aw" else "norm"
    model = hand_made.settled(hand_made.small())
    model = attach(model, spec(attention, **options), where)
    scales = [w for w in model.trainable_weights if w.name == "scale"]
    assert scales and all(float(scale) == 0 for scale in scales)
    images, ones = hand_made.images(8), np.ones((8, 5), "float32")
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    model.train_on_batch(images, ones)
    assert all(float(scale) != 0 for scale in scales)
    _, _, found = gradients(model, images, ones, training=True)
    gates = {path for path in found if path.startswith(_layer(attention))}
    # A shift before a batch norm goes with the mean.
    gates -= {path for path in gates if path.endswith("bias") and _is_normed(path)}
    gates -= {"conv/bias"}
    assert all(np.abs(found[path]).max() > 0 for path in gates)
    assert len(gates) > 3


def _layer(attention):
    return "conv/" if attention == "aw" else f"norm_{attention}/"


def _is_normed(path):
    parts = ("reduce", "dilated1", "dilated2")
    return any(f"{part}/bias" in path for part in parts) and "bam" in path


@pytest.mark.parametrize("name", ["residual", "nested", "siamese"])
def test_a_file_has_all_of_it(name, tmp_path):
    model = attach(MAKERS[name](), "aw_se", identity_start=name != "nested")
    hand_made.settled(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(model, loaded, inputs_of(model))
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]


def test_the_same_specs_by_name_and_by_spec():
    model = hand_made.residual()
    (one, *_) = placements(attach(model, "se"))
    assert one.spec == spec("se").starting_at_identity()
    assert (one.layer, one.place) == ("b1_add_se", "before 'b1_add'")
    assert str(placements(attach(model, "se"))).splitlines()[0] == (
        f"b1_add_se: {one.spec}, before 'b1_add'"
    )
