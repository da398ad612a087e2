"""Errors and probabilities against NumPy."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attention.data import Preprocessing, from_arrays
from keras_attention.training import (
    Evaluation,
    evaluate,
    evaluate_run,
    predict,
    train,
)


def test_evaluation_counts_as_numpy_does(make_model, digits):
    model = make_model()
    found = evaluate(model, digits, batch_size=48)
    images = digits.preprocessing.normalize(digits.test.images).numpy()
    scores, labels = np.asarray(model.predict(images, verbose=0)), digits.test.labels
    answers = scores.argmax(1)
    assert found.images == 160
    assert found.top1_error == pytest.approx(100 * (answers != labels).mean())
    ranks = (scores > scores[np.arange(160), labels][:, None]).sum(1)
    assert found.top5_error == pytest.approx(100 * (ranks >= 5).mean())
    for name, accuracy in found.class_accuracy.items():
        of_class = labels == int(name)
        assert accuracy == pytest.approx(100 * (answers[of_class] == int(name)).mean())


def test_it_prints_all_of_it():
    confusion = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    found = Evaluation("test", ("cat", "dog", "emu"), confusion)
    assert str(found).splitlines() == [
        "test: 8 images",
        "top-1 error  12.50 %",
        "accuracy by class",
        "  cat   75.00 %  of 4",
        "  dog  100.00 %  of 4",
        "  emu  no images  of 0",
    ]
    assert found.to_dict()["class_accuracy"] == {"cat": 75.0, "dog": 100.0, "emu": None}


def test_outputs_that_are_no_numbers_are_refused(make_model, digits):
    model = make_model()
    model.set_weights([np.full_like(value, np.nan) for value in model.get_weights()])
    with pytest.raises(ValueError, match="not finite"):
        evaluate(model, digits)


def test_data_that_changed_since_the_run_is_refused(tmp_path):
    """Another image moves the split: training images would count as test images."""
    pixels = tf.io.encode_png(np.zeros((8, 8, 1), "uint8")).numpy()
    for name in ("cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png"):
        for copy in range(4):
            path = tmp_path / "images" / name.replace(".", f"{copy}.")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pixels)
    train(
        out=tmp_path / "run",
        model="cifarresnet-8",
        data="folder",
        data_dir=str(tmp_path / "images"),
        recipe="quick",
        batch_size=4,
        image_size=(8, 8),
        epochs=1,
        verbose=0,
    )
    assert evaluate_run(tmp_path / "run").images > 0
    (tmp_path / "images" / "cat" / "new.png").write_bytes(pixels)
    with pytest.raises(ValueError, match="not what the run .* was trained with"):
        evaluate_run(tmp_path / "run")


@pytest.fixture
def brightness():
    """Logits (−x, x) of the mean: sure of "dark" below 1/2, of "bright" above."""
    inputs = keras.Input((4, 4, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = keras.layers.Dense(2, use_bias=False)(mean)
    model = keras.Model(inputs, outputs)
    model.set_weights([np.array([[-1, 1]] * 3, "float32")])
    return model


def test_predictions_of_files(brightness, tmp_path):
    preprocessing = Preprocessing((4, 4), 3, (0.5,) * 3, (0.5,) * 3, ("dark", "bright"))
    paths = []
    for name, value, shape in (("a", 0, (4, 4)), ("b", 255, (9, 13))):
        image = np.full((*shape, 3), value, np.uint8)
        paths.append(tmp_path / f"{name}.png")
        paths[-1].write_bytes(tf.io.encode_png(image).numpy())
    dark, bright = predict(brightness, preprocessing, paths, top=9)
    assert (dark.path, dark.classes) == (str(paths[0]), ("dark", "bright"))
    assert bright.classes == ("bright", "dark")
    # Mean −1 in three channels: logits (3, −3).
    assert dark.probabilities[0] == pytest.approx(1 / (1 + np.exp(-6)), rel=1e-5)
    assert sum(bright.probabilities) == pytest.approx(1)
    assert str(dark) == f"{paths[0]}: dark 99.8 %, bright 0.2 %"
    (tmp_path / "c.png").write_text("no image")
    with pytest.raises(ValueError, match=r"c\.png cannot be decoded"):
        predict(brightness, preprocessing, [tmp_path / "c.png"])
    with pytest.raises(FileNotFoundError, match=r"d\.png"):
        predict(brightness, preprocessing, [tmp_path / "d.png"])
    with pytest.raises(ValueError, match="`top`"):
        predict(brightness, preprocessing, paths, top=0)
    with pytest.raises(ValueError, match="At least one"):
        predict(brightness, preprocessing, [])


def test_files_and_evaluation_prepare_alike(tmp_path, rng):
    """The same image from a file and from an array is the same input."""
    from keras_attention.training.prediction import read_input

    image = rng.integers(0, 256, (11, 17, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(tf.io.encode_png(image).numpy())
    data = from_arrays(
        (np.stack([image] * 4), np.arange(4) % 2),
        class_names="ab",
        validation=0.0,
        image_size=(8, 6),
    )
    ((batch, _),) = data.evaluation("train", batch_size=4)
    found = read_input(str(tmp_path / "a.png"), data.preprocessing)
    np.testing.assert_allclose(found, batch[0], atol=1e-6)


@pytest.mark.parametrize("hits", [None, 57])
def test_errors_come_back_from_a_json_file(hits):
    names = tuple("abcdef")
    confusion = np.arange(36).reshape(6, 6)
    tested = Evaluation("test", names, confusion, hits)
    read = Evaluation.from_dict(json.loads(json.dumps(tested.to_dict())))
    assert (read.split, read.class_names, read.top5_hits) == ("test", names, hits)
    np.testing.assert_array_equal(read.confusion, confusion)
