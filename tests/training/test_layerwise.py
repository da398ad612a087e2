"""Stages from the graph, what freezing keeps, and rates by layer."""

import keras
import numpy as np
import pytest

from keras_attention import applications
from keras_attention.training import SGDL2, FinetuneRecipe
from keras_attention.training.layerwise import set_up_layers
from keras_attention.training.stages import stages_of
from tests.training.conftest import values

SHAPE = (16, 16, 3)
LOSS = "sparse_categorical_crossentropy"


def recipe(**changes):
    options = {"name": "x", "epochs": 1, "batch_size": 4, "learning_rate": 0.1}
    return FinetuneRecipe(**options, **changes)


def resnet(**options):
    """With a stem at half the size, and two stages of one block."""
    options = {"stem": "imagenet", "stem_width": 8, "classes": 3} | options
    options = {"input_shape": SHAPE} | options
    return applications.ResNet((1, 1), (16, 16), "basic", **options)


def test_stages_of_a_resnet_are_the_papers():
    """A stem by itself, and a stage from its first block's shortcut on."""
    stages, head = stages_of(applications.ResNet50(weights=None))
    assert [stage.size[0] for stage in stages] == [112, 56, 28, 14, 7]
    begin = ["stem", "stage1", "stage2", "stage3", "stage4"]
    for name, stage in zip(begin, stages, strict=True):
        assert {layer.name.split("_")[0] for layer in stage.layers} == {name}
    assert [layer.name for layer in head.layers] == ["predictions"]


def test_every_layer_with_weights_is_in_one_stage():
    model = applications.build("mobilenetv3small", input_shape=(64, 64, 3), classes=3)
    stages, head = stages_of(model)
    found = [layer.name for stage in (*stages, head) for layer in stage.layers]
    assert sorted(found) == sorted(x.name for x in model.layers if x.weights)
    assert [stage.size for stage in stages] == [(s, s) for s in (32, 16, 8, 4, 2)]


def test_a_model_in_a_model_is_cut_as_if_it_stood_in_the_outer_one():
    inner = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(64, 64, 3), alpha=0.35
    )
    image = keras.Input((64, 64, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.GlobalAveragePooling2D()(inner(x))
    outer = keras.Model(image, keras.layers.Dense(3, name="top")(x))
    stages, head = stages_of(outer)
    assert [stage.size[0] for stage in stages] == [32, 16, 8, 4, 2]
    assert stages[0].layers[0].name == "Conv1"
    assert [layer.name for layer in head.layers] == ["top"]


def test_a_model_in_a_model_takes_its_size_from_the_outer_one():
    """It may be for images of any size."""
    inner = resnet(input_shape=(None, None, 3), include_top=False)
    image = keras.Input(SHAPE)
    x = keras.layers.GlobalAveragePooling2D()(inner(image))
    outer = keras.Model(image, keras.layers.Dense(3, name="top")(x))
    found, wanted = stages_of(outer)[0], stages_of(resnet())[0]
    assert [str(stage) for stage in found] == [str(stage) for stage in wanted]


def test_an_image_of_no_known_size_is_named():
    image = keras.Input(SHAPE)
    x = keras.layers.Lambda(lambda x: x, (None, None, 3), name="open")(image)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3, name="c")(x))
    with pytest.raises(ValueError, match=r"what comes out of 'c' has none: \(None, No"):
        stages_of(keras.Model(image, keras.layers.Dense(2)(x)))


def test_convolutions_without_padding_begin_no_stage():
    layers = [keras.layers.Conv2D(2, 3, name=f"conv{i}") for i in range(3)]
    model = keras.Sequential(
        [
            keras.Input((20, 20, 1)),
            *layers,
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(2, 1, name="deep"),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    stages, _ = stages_of(model)
    assert [[x.name for x in stage.layers] for stage in stages] == [
        ["conv0", "conv1", "conv2"],
        ["deep"],
    ]


def test_networks_without_a_graph_or_a_size_are_refused():
    class Subclassed(keras.Model):
        input_shape = (None, 8, 8, 1)

    model = Subclassed()
    model.built = True
    with pytest.raises(ValueError, match="must be functional or sequential"):
        stages_of(model)
    model = applications.build("mobilenet", input_shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"any size: \(None, None, None, 3\)"):
        stages_of(model)


def train_a_step(model, factors):
    model.compile(SGDL2(0.5, learning_rate_factors=factors), LOSS)
    images = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype("float32")
    before = {layer.name: layer.get_weights() for layer in model.layers}
    model.fit(images, np.arange(4) % 3, verbose=0, batch_size=4)
    return {
        layer.name: [
            np.array_equal(a, b)
            for a, b in zip(before[layer.name], layer.get_weights(), strict=True)
        ]
        for layer in model.layers
        if layer.weights
    }


def test_frozen_stages_stay_bit_for_bit_and_new_layers_in_them_train():
    model = resnet(attention="cbam")
    new = {layer.name for layer in model.layers if "attention" in layer.name}
    stays = train_a_step(model, set_up_layers(model, recipe(freeze=2), new))
    for name, same in stays.items():
        if name in new:
            assert not all(same), name
        elif name.startswith(("stem", "stage1")):
            assert all(same), name
        elif "norm" in name:
            # frozen by themselves: weights and statistics
            assert all(same), name
        else:
            assert not any(same), name


def test_batch_norm_that_is_not_frozen_trains_and_counts():
    model = resnet()
    settings = recipe(freeze=("stem*",), freeze_batch_norm=False)
    stays = train_a_step(model, set_up_layers(model, settings, {"predictions"}))
    assert all(stays["stem_norm"])
    assert not any(stays["stage1_block1_norm1"])


def test_batch_norms_inside_old_attentions_are_frozen_those_in_new_ones_train():
    model = resnet(attention="bam")
    attention = model.get_layer("stage1_attention")
    inner = [
        x
        for x in attention._flatten_layers()
        if isinstance(x, keras.layers.BatchNormalization)
    ]
    set_up_layers(model, recipe(), ())
    assert inner and not any(x.trainable for x in inner)
    set_up_layers(model, recipe(freeze=2), {"stage1_attention"})
    assert all(x.trainable for x in inner)


def test_rates_fall_towards_the_input():
    model = resnet(attention="se")
    new = {layer.name for layer in model.layers if "attention" in layer.name}
    settings = recipe(layer_decay=0.5, new_learning_rate_factor=3.0)
    factors = set_up_layers(model, settings, new)
    assert factors["stem_conv"] == 0.5**3
    assert factors["stage1_block1_conv1"] == 0.5**2
    assert factors["stage2_block1_conv2"] == 0.5
    assert "predictions" not in factors  # an old head has the full rate
    assert {factors[name] for name in new} == {3.0}
    assert not any("norm" in name for name in factors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"freeze": 9}, r"has 3 stages to freeze: 8×8 \(stem_conv … stem_norm\)"),
        ({"freeze": ("stmm*",)}, r"Unknown layer to freeze: received 'stmm\*'"),
        ({"freeze": ("*",)}, "leaves nothing that trains"),
    ],
)
def test_what_cannot_be_frozen_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        set_up_layers(resnet(), recipe(**change), ())


def test_two_layers_of_one_name_that_would_learn_at_different_rates_are_refused():
    inner = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, name="twin")]
    )
    image = keras.Input((8, 8, 1))
    x = keras.layers.GlobalAveragePooling2D()(inner(image))
    model = keras.Model(image, keras.layers.Dense(2, name="twin")(x))
    with pytest.raises(ValueError, match="'twin'.*rename one"):
        set_up_layers(model, recipe(layer_decay=0.5), ())
    assert set_up_layers(model, recipe(), ()) == {}


def twins():
    """Two models in one, each with a layer "twin"."""
    image = x = keras.Input((8, 8, 1))
    for name in ("one", "other"):
        layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1, name="twin")]
        x = keras.Sequential(layers, name=name)(x)
    x = keras.layers.Dense(2, name="top")(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


@pytest.mark.parametrize(
    ("new", "trains"),
    [("one/twin", {"one"}), ("other/twin", {"other"}), ("twin", {"one", "other"})],
)
def test_new_layers_are_told_by_their_paths(new, trains):
    """By a name, as in records of earlier runs, all of that name are new."""
    model = twins()
    set_up_layers(model, recipe(freeze=("*",)), {new})
    found = {x for x in ("one", "other") if model.get_layer(x).trainable_variables}
    assert found == trains
    assert not model.get_layer("top").trainable


def after(optimizer, gradients, start=1.0):
    variable = keras.Variable(np.full(3, start, "float32"), name="kernel")
    variable._path = "model/conv/kernel"
    for gradient in gradients:
        tensor = keras.ops.full((3,), gradient)
        optimizer.apply([tensor], [variable])
    return values(variable)[0]


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("nesterov", [False, True])
def test_a_factor_scales_the_step_with_its_decay(factor, nesterov):
    """Every step, also through the momentum: as with that much of the rate."""
    gradients = [0.3, -0.2, 0.5]
    scaled = SGDL2(0.1, 0.9, nesterov, l2=0.2, learning_rate_factors={"conv": factor})
    plain = SGDL2(0.1 * factor, 0.9, nesterov, l2=0.2)
    found = after(scaled, gradients)
    assert found == pytest.approx(after(plain, gradients), rel=1e-6)
    assert (found == 1) == (factor == 0)


def test_half_a_factor_is_half_a_step():
    whole = after(SGDL2(0.1, l2=0.2), [0.3])
    half = after(SGDL2(0.1, l2=0.2, learning_rate_factors={"conv": 0.5}), [0.3])
    assert 1 - whole == pytest.approx(0.1 * (0.3 + 0.2), rel=1e-5)
    assert 1 - half == pytest.approx((1 - whole) / 2, rel=1e-5)


def test_the_outermost_named_layer_decides():
    factors = {"model": 0.0, "conv": 1.0}
    with pytest.raises(ValueError, match="These are none: conv$"):
        after(SGDL2(0.1, learning_rate_factors=factors), [1.0])


def test_factors_are_in_the_config_and_in_a_file(make_model, tmp_path):
    model = make_model()
    name = model.layers[0].name
    sgd = SGDL2(0.1, 0.9, learning_rate_factors={name: 0.25})
    assert SGDL2.from_config(sgd.get_config()).learning_rate_factors == {name: 0.25}
    model.compile(sgd, LOSS)
    model.train_on_batch(np.ones((2, 8, 8, 1), "float32"), np.zeros(2))
    model.save(tmp_path / "x.keras")
    loaded = keras.saving.load_model(tmp_path / "x.keras").optimizer
    assert loaded.learning_rate_factors == {name: 0.25}
    assert loaded.factor_by_variable == sgd.factor_by_variable == [0.25, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"conv": -1.0}, r"at least 0. Received: \{'conv': -1"),
        ({"cnv": 1}, "none: cnv"),
    ],
)
def test_wrong_factors_are_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        after(SGDL2(0.1, learning_rate_factors=factors), [1.0])
