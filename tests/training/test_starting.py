"""What a network brings along when fine-tuning starts, and what is said of it."""

import json
import re

import keras
import numpy as np
import pytest

from keras_attention import cli
from keras_attention.attaching import attach
from keras_attention.data import load
from keras_attention.training.finetuning import finetune
from keras_attention.training.pixels import PIXELS, by_name, wanted_by
from keras_attention.training.starting import Start, load_network, with_size

ASKED = {"data": "digits", "limit": 40, "recipe": "quick", "epochs": 1}


def classifier(*first, size=8, classes=10):
    """A network that begins with these layers."""
    image = x = keras.Input((size, size, 1), name="image")
    for layer in first:
        x = layer(x)
    x = keras.layers.Conv2D(3, 3, name="conv")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(classes, name="top")(x), name="net")


def adapted(scale):
    """A `Normalization` of pixels up to this number."""
    layer = keras.layers.Normalization(name="adapted")
    layer.adapt(np.random.default_rng(0).uniform(0, scale, (8, 8, 8, 1)))
    return layer


FIRST = {
    "rescaling": (lambda: [keras.layers.Rescaling(1 / 255)], "byte"),
    "to -1..1": (lambda: [keras.layers.Rescaling(1 / 127.5, offset=-1)], "byte"),
    "of units": (lambda: [keras.layers.Rescaling(2.0, offset=-1)], "unit"),
    "normalization": (lambda: [adapted(255)], "byte"),
    "normalization of units": (lambda: [adapted(1)], "unit"),
    "behind others": (
        lambda: [keras.layers.Resizing(8, 8), keras.layers.Rescaling(1 / 255)],
        "byte",
    ),
    "in a model": (
        lambda: [
            keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(0.01)])
        ],
        "byte",
    ),
    "none": (list, None),
    "not adapted": (lambda: [keras.layers.Normalization()], None),
    "behind features": (
        lambda: [keras.layers.Conv2D(3, 1), keras.layers.Rescaling(1 / 255)],
        None,
    ),
}


@pytest.mark.parametrize("case", FIRST)
def test_the_first_layers_tell_what_pixels_they_want(case):
    make, name = FIRST[case]
    expects, words = wanted_by(classifier(*make()))
    if name is None:
        assert expects == {} and "`pixels` does, by one of byte, unit" in words
    else:
        assert expects == by_name(name, 1)
        assert words.startswith(f"pixels {PIXELS[name][-1]}, as it scales them by")


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("byte", 0, 255),
        ("unit", 0, 1),
        ("signed", -1, 1),
        ("imagenet", [-2.118, -2.036, -1.804], [2.249, 2.429, 2.640]),  # torchvision's
    ],
)
def test_pixels_by_name(name, black, white):
    channels = 3 if name == "imagenet" else 1
    found = by_name(name, channels)
    for pixel, wanted in ((0, black), (1, white)):
        numbers = (pixel - np.array(found["mean"])) / found["std"]
        np.testing.assert_allclose(
            numbers, np.broadcast_to(wanted, channels), atol=1e-3
        )


def test_pixels_of_other_channels_are_refused():
    with pytest.raises(ValueError, match="'imagenet' is for images of 3 channels"):
        Start(classifier()).with_pixels("imagenet")


@pytest.fixture(scope="module")
def scaling(tmp_path_factory):
    """A file of a network for ten classes that takes bytes."""
    path = tmp_path_factory.mktemp("weights") / "net.keras"
    classifier(keras.layers.Rescaling(1 / 255, name="scaled")).save(path)
    return path


@pytest.mark.parametrize("pixels", [None, "signed"])
def test_it_is_said_and_recorded(pixels, scaling, tmp_path, capsys):
    out = tmp_path / "run"
    finetune(weights=str(scaling), out=out, pixels=pixels, verbose=2, **ASKED)
    printed = capsys.readouterr().out
    words = f"{PIXELS['signed'][-1]}, as asked for" if pixels else "0 to 255, as it sca"
    assert words in printed
    assert "classifier: drawn anew, as nothing tells that its 10 classes" in printed
    record = json.loads((out / "run.json").read_text())
    assert record["model"]["pixels"] == pixels
    assert record["model"]["new_layers"] == ["top"]
    assert record["preprocessing"]["mean"] == ([0.5] if pixels else [0.0])
    if pixels is None:  # a record of before there was the choice
        del record["model"]["pixels"]
        (out / "run.json").write_text(json.dumps(record))
        assert finetune(out=out, resume=True, verbose=0)[-1]["epoch"] == 0


def test_a_network_that_takes_bytes_gets_them(scaling):
    data = load("digits", limit=40)
    start = load_network(str(scaling))
    given, _ = next(iter(start.prepare(data).evaluation("train", batch_size=40)))
    assert np.asarray(given).max() == 255 and np.asarray(given).min() == 0


def test_a_classifier_of_unknown_classes_is_drawn_anew():
    names = tuple("0123456789")
    start = Start(classifier()).with_classes(names)
    assert start.new == {"top"}
    assert "its 10 classes are these" in start.classifier
    known = Start(classifier(), class_names=names)
    assert known.with_classes(names) is known
    assert known.with_classes(names[::-1]).new == {"top"}


def test_attentions_in_a_model_in_the_model_are_new_by_their_paths():
    """Also where the outer model has a layer of that name already."""
    inner = classifier()
    inner = keras.Model(inner.input, inner.get_layer("conv").output, name="body")
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(1, 1, name="conv_se")(image)
    x = keras.layers.GlobalAveragePooling2D()(inner(x))
    start = Start(keras.Model(image, keras.layers.Dense(2, name="top")(x)))
    found = start.with_attention({"name": "se", "reduction_ratio": 1}, "body/conv")
    assert found.new == {"body/conv_se"}
    assert found.drawn == {"body/conv_se", "top"}


def test_a_network_of_another_size_keeps_all_that_it_knows():
    model = classifier(adapted(255), keras.layers.Dropout(0.5, seed=7), size=None)
    images = np.random.default_rng(1).uniform(0, 255, (2, 9, 7, 1)).astype("float32")
    sized = with_size(model, (9, 7))
    assert sized.input_shape == (None, 9, 7, 1)
    np.testing.assert_array_equal(
        sized.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    for kept, wanted in zip(sized.variables, model.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(kept), keras.ops.convert_to_numpy(wanted)
        )
    attach(sized, {"name": "se", "reduction_ratio": 1}, "conv")


def test_the_command_line_has_every_name(capsys):
    with pytest.raises(SystemExit):
        cli.main(["finetune", "--pixels", "bytes"])
    (listed,) = re.findall(r"choose from ([^)]*)", capsys.readouterr().err)
    assert re.findall(r"\w+", listed) == list(PIXELS)
