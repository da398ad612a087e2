"""Fine-tuning from weights to a network, and going on with it."""

import json
import re
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attention import applications, training
from keras_attention.data import load
from keras_attention.layers import SE
from keras_attention.training.checkpoint import STATE_MEMBER, Checkpoint
from keras_attention.training.classifier import replace_classifier
from keras_attention.training.finetuning import finetune
from keras_attention.training.starting import Start, load_named, load_network, with_size
from keras_attention.weights import save_weights
from tests.training.conftest import values

SMALL = {"data": "digits", "limit": 96, "recipe": "quick", "epochs": 2, "seed": 4}
SMALL_SE = {"name": "se", "reduction_ratio": 2}
EVERYTHING = {
    "attach": SMALL_SE,
    "where": "second_norm",
    "freeze": ["first*"],
    "layer_decay": 0.5,
    "new_learning_rate_factor": 2.0,
    "freeze_batch_norm": False,
    "ema": 0.8,
    "mixup": 0.4,
    "label_smoothing": 0.1,
}


def network(classes=4, activation="softmax"):
    """Two stages, with batch norm and dropout."""
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(image)
    x = keras.layers.BatchNormalization(name="first_norm")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(6, 3, strides=2, name="second")(x)
    x = keras.layers.BatchNormalization(name="second_norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.3)(x)
    x = keras.layers.Dense(classes, name="top")(x)
    if activation:
        x = keras.layers.Activation(activation, name="end")(x)
    return keras.Model(image, x, name="small")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of a network in mixed precision: loss scaling has a state, too."""
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("weights") / "small.keras"
    keras.config.set_dtype_policy("mixed_float16")
    network().save(path)
    keras.config.set_dtype_policy("float32")
    return path


def run(weights, out, **changes):
    return finetune(weights=str(weights), out=out, verbose=0, **SMALL | changes)


def load_run(folder, name="last"):
    return keras.saving.load_model(folder / f"{name}.keras")


def assert_same_run(a, b):
    """All that training goes on with: weights, the optimizer's state, random seeds."""
    first, second = load_run(a), load_run(b)
    pairs = zip(first.weights, second.weights, strict=True)
    states = zip(first.optimizer.variables, second.optimizer.variables, strict=True)
    for one, other in (*pairs, *states):
        np.testing.assert_allclose(
            values(one), values(other), atol=1e-6, err_msg=one.path
        )
    seeds = []
    for folder in (a, b):
        with zipfile.ZipFile(folder / "last.keras") as archive:
            seeds.append(json.loads(archive.read(STATE_MEMBER)))
    assert seeds[0]["random"] == seeds[1]["random"]
    assert seeds[0]["epoch"] == seeds[1]["epoch"]


@pytest.fixture(scope="module")
def straight(weights, tmp_path_factory):
    """A run with every part of the recipe, that did not stop."""
    out = tmp_path_factory.mktemp("straight") / "a"
    keras.utils.set_random_seed(2)
    run(weights, out, **EVERYTHING)
    return out


def test_one_and_one_epochs_are_two_and_the_folder_is_enough(
    weights, straight, tmp_path
):
    moved = tmp_path / "moved.keras"
    shutil.copy(weights, moved)
    run(moved, tmp_path / "b", stop_after=1, **EVERYTHING)
    moved.unlink()
    history = finetune(out=tmp_path / "b", resume=True, verbose=0)
    assert [row["epoch"] for row in history] == [0, 1]
    assert_same_run(straight, tmp_path / "b")


def test_a_run_that_died_in_its_first_epoch_goes_on_without_the_weights(
    weights, straight, tmp_path, monkeypatch
):
    class Crash(Checkpoint):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    moved = tmp_path / "moved.keras"
    shutil.copy(weights, moved)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("keras_attention.training.fitting.Checkpoint", Crash)
        run(moved, tmp_path / "b", **EVERYTHING)
    moved.unlink()
    finetune(out=tmp_path / "b", resume=True, verbose=0)
    assert_same_run(straight, tmp_path / "b")


def test_what_is_frozen_is_as_in_the_weights(weights, straight):
    start, end = keras.saving.load_model(weights), load_run(straight)
    for name, frozen in (("first", True), ("first_norm", True), ("second", False)):
        before = start.get_layer(name).get_weights()
        after = end.get_layer(name).get_weights()
        for a, b in zip(before, after, strict=True):
            assert np.array_equal(a, b) == frozen, name


def test_model_keras_is_the_best_network_and_all_of_it_may_train(straight):
    best, model = load_run(straight, "best"), load_run(straight, "model")
    for a, b in zip(best.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(best.trainable_variables) == len(model.trainable_variables) - 4
    assert all(layer.trainable for layer in model.layers)
    assert not hasattr(model, "optimizer")


def test_the_classifier_is_new_and_keeps_its_name_and_what_stands_behind(straight):
    model = load_run(straight, "model")
    assert [layer.name for layer in model.layers[-2:]] == ["top", "end"]
    assert model.output_shape == (None, 10)
    record = json.loads((straight / "run.json").read_text())
    assert record["model"]["new_layers"] == ["second_norm_se", "top"]


def test_evaluate_predict_and_the_images_normalisation(straight, tmp_path):
    found = training.evaluate_run(straight, split="validation")
    state = json.loads((straight / "state.json").read_text())
    assert found.top1_error == pytest.approx(state["best"], abs=1e-3)
    image = tmp_path / "digit.png"
    image.write_bytes(tf.io.encode_png(np.zeros((9, 9, 1), np.uint8)).numpy())
    (prediction,) = training.predict_run(straight, [image], top=10)
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-2)  # in float16
    found = training.read_preprocessing(straight)
    assert found.mean == load("digits", limit=96, seed=4).preprocessing.mean


def test_a_finetuned_network_is_fine_tuned_with_its_classifier(straight, tmp_path):
    """Its classes are these, so that nothing is new; the preprocessing is its own."""
    record = json.loads((straight / "run.json").read_text())
    record["preprocessing"] |= {"mean": [0.25], "crop_fraction": 0.5}
    folder = tmp_path / "from"
    shutil.copytree(straight, folder)
    (folder / "run.json").write_text(json.dumps(record))
    run(folder / "model.keras", tmp_path / "b", epochs=1)
    found = json.loads((tmp_path / "b/run.json").read_text())
    assert found["model"]["new_layers"] == []
    assert found["preprocessing"]["mean"] == [0.25]
    assert found["preprocessing"]["crop_fraction"] == 0.5
    assert found["recipe"]["crop_fraction"] == 0.5
    start = load_network(str(folder))
    assert start.with_classes(start.class_names) is start
    others = tuple(f"class {i}" for i in range(10))
    assert start.with_classes(others).new == {"top"}


def test_attention_changes_nothing_at_first_and_is_new(rng):
    """Also where it stands in place of a convolution."""
    start = Start(network())
    images = rng.normal(size=(2, 8, 8, 1)).astype("float32")
    before = start.model.predict(images, verbose=0)
    for attention, where, new in (
        (SMALL_SE, "second_norm", {"second_norm_se"}),
        ("aw", "second", {"second"}),
    ):
        attached = start.with_attention(attention, where)
        assert attached.new == new
        found = attached.model.predict(images, verbose=0)
        np.testing.assert_allclose(found, before, atol=1e-6)
        assert attached.drawn == new | {"top"}


def test_a_place_that_no_record_can_hold_is_refused(weights, tmp_path):
    with pytest.raises(ValueError, match="kept in the run's record"):
        run(weights, tmp_path / "b", attach="se", where=re.compile("second"))


def photos(folder, classes="xyz", count=12):
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (40, 36, 3), np.uint8)
            path = folder / name / f"{i}.png"
            path.write_bytes(tf.io.encode_png(pixels).numpy())
    return folder


def small_resnet(**options):
    options = {"stem": "imagenet", "stem_width": 4, "classes": 9} | options
    shape = options.pop("input_shape", (32, 32, 3))
    return applications.ResNet((1, 1), (4, 8), "basic", input_shape=shape, **options)


def build_resnet(size):
    return small_resnet(input_shape=(*(size or (64, 64)), 3))


def test_weights_of_another_library_come_with_their_size_and_normalisation(tmp_path):
    theirs = small_resnet()
    save_weights(theirs, tmp_path / "model.safetensors")
    config = {"input_size": [3, 48, 48], "mean": [0.1, 0.2, 0.3], "std": [0.5] * 3}
    config |= {"interpolation": "bicubic", "crop_pct": 0.9}
    description = {"architecture": "resnet18", "pretrained_cfg": config}
    (tmp_path / "config.json").write_text(json.dumps(description))
    path = str(tmp_path / "model.safetensors")
    start = load_named(build_resnet, path)
    assert start.model.input_shape == (None, 48, 48, 3)
    assert start.new == frozenset()
    for a, b in zip(theirs.get_weights(), start.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert load_named(build_resnet, path, (32, 32)).model.input_shape[1] == 32
    data = start.prepare(load("folder", data_dir=photos(tmp_path / "data")))
    how = data.preprocessing
    assert how.mean == (0.1, 0.2, 0.3) and how.interpolation == "bicubic"
    assert how.crop_fraction == 0.9
    assert start.with_classes(how.class_names).new == {"predictions"}


def test_weights_of_another_network_are_refused_those_of_another_head_are_not(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(small_resnet(classes=5), path)
    start = load_named(build_resnet, str(path))
    assert start.new == {"predictions"}

    def attentive(size):
        return small_resnet(attention=SE(2), input_shape=(*(size or (32, 32)), 3))

    new = load_named(attentive, str(path)).new
    assert new == {"predictions", "stage1_block1_attention", "stage2_block1_attention"}
    save_weights(small_resnet(stem_width=6), path)
    with pytest.raises(ValueError, match=r"stem_conv|conv1.weight"):
        load_named(build_resnet, str(path))


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_another_classifier_leaves_the_rest_as_it_is(activation, rng):
    model = network(activation=activation)
    features = keras.Model(model.input, model.get_layer("top").input)
    made = replace_classifier(model, 7)
    assert made.output_shape == (None, 7)
    top = made.get_layer("top")
    images = rng.normal(size=(2, 8, 8, 1)).astype("float32")
    scores = features.predict(images, verbose=0) @ values(top.kernel)
    found = made.predict(images, verbose=0)
    if activation:
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, scores, rtol=1e-4, atol=1e-6)
    assert model.output_shape == (None, 4)


def test_a_sequential_network_gets_another_classifier(make_model):
    model = make_model()
    made = replace_classifier(model, 3)
    assert made.output_shape == (None, 3)
    assert made.layers[-1].name == model.layers[-1].name


def test_a_network_for_images_of_any_size_gets_one(rng):
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(3, 3)(image)
    x = keras.layers.BatchNormalization(epsilon=0.1)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(2)(x))
    sized = with_size(model, (8, 6))
    assert sized.input_shape == (None, 8, 6, 1)
    images = rng.normal(size=(2, 8, 6, 1)).astype("float32")
    np.testing.assert_allclose(
        sized.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-6
    )
    with pytest.raises(ValueError, match="any size: give `image_size`"):
        with_size(model, None)
    with pytest.raises(ValueError, match=r"takes images of 8×6 pixels only"):
        with_size(sized, (8, 8))
