"""A detector's SavedModel detects what the detector does, or is not there."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from references.small_detector import call, small_faster_rcnn
from references.toy_detector import ToyDetector

from keras_attention.detection import export_saved_model
from keras_attention.detection.exporting import PIXELS, _difference
from keras_attention.detection.stepping import Stepper

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
tensorflow_only = pytest.mark.skipif(
    not ON_TENSORFLOW, reason="SavedModels of detectors are written on TensorFlow"
)


@tensorflow_only
def test_faster_rcnn_with_its_suppression(tmp_path, rng):
    """With any number of images at a time; boxes, scores and labels of each."""
    model = small_faster_rcnn(attention="aw_se", channels=32)
    path = tmp_path / "saved"
    found = export_saved_model(model, path, (64, 96), class_names=["a", "b", "c", "d"])
    assert found.detections > 0
    saved = tf.saved_model.load(str(path)).signatures["serving_default"]
    ((), inputs), outputs = saved.structured_input_signature, saved.structured_outputs
    assert inputs["images"] == tf.TensorSpec((None, 64, 96, 3), "float32", "images")
    assert {key: value.dtype.name for key, value in outputs.items()} == {
        "boxes": "float32",
        "scores": "float32",
        "labels": "int32",
    }
    images = rng.uniform(0, 255, (3, 64, 96, 3)).astype("float32")
    theirs = saved(images=tf.constant(images))
    ours = call(model, images)
    for key in ("boxes", "scores", "labels"):
        np.testing.assert_allclose(theirs[key].numpy(), ours[key], atol=1e-3)
    classes = json.loads((path / "assets.extra/classes.json").read_text())
    assert classes == {"class_names": ["a", "b", "c", "d"]}


@tensorflow_only
def test_a_fixed_number_of_images(tmp_path):
    images = np.full((3, 32, 40, 3), 100.0)
    found = export_saved_model(
        ToyDetector(), tmp_path / "saved", (32, 40), batch_size=2, images=images
    )
    # Whole batches: the first image comes twice.
    assert (found.images, found.detections, found.box_error) == (4, 4, 0)
    saved = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    boxes = saved(images=tf.zeros((2, 32, 40, 3)))["boxes"]
    np.testing.assert_allclose(boxes[0, 0], [0, 0, 40, 32])


@tensorflow_only
def test_what_detects_something_else_is_not_kept(tmp_path, monkeypatch):
    right = Stepper.predict

    def moved(self, batch):
        found = right(self, batch)
        return {**found, "boxes": found["boxes"] + 2 * PIXELS}

    monkeypatch.setattr(Stepper, "predict", moved)
    with pytest.raises(ValueError, match=r"saved was not kept.*boxes are 0\.1 pixels"):
        export_saved_model(ToyDetector(), tmp_path / "saved", (32, 32))
    assert not list(tmp_path.iterdir())


@tensorflow_only
def test_what_is_there_is_replaced_when_asked_only(tmp_path):
    model, path = ToyDetector(), tmp_path / "saved"
    export_saved_model(model, path, (32, 32))
    with pytest.raises(FileExistsError, match="--overwrite"):
        export_saved_model(model, path, (32, 32))
    export_saved_model(model, path, (32, 40), overwrite=True)
    saved = tf.saved_model.load(str(path)).signatures["serving_default"]
    assert saved.structured_input_signature[1]["images"].shape == (None, 32, 40, 3)
    (tmp_path / "notes").mkdir()
    with pytest.raises(FileExistsError, match="is no SavedModel"):
        export_saved_model(model, tmp_path / "notes", (32, 32), overwrite=True)


@tensorflow_only
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 32}, "`image_size` must be"),
        ({"image_size": (32, 0)}, "`image_size` must be an integer"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"images": np.zeros((1, 32, 33, 3))}, r"must be \(n, 32, 32, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, message):
    options = {"image_size": (32, 32), **options}
    with pytest.raises(ValueError, match=message):
        export_saved_model(ToyDetector(), tmp_path / "saved", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(ON_TENSORFLOW, reason="about another backend")
def test_another_backend_is_refused(tmp_path):
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
        export_saved_model(ToyDetector(), tmp_path / "saved", (32, 32))


def detections(boxes, scores, labels):
    return {
        "boxes": np.array(boxes, "float32"),
        "scores": np.array(scores, "float32"),
        "labels": np.array(labels),
    }


def test_detections_are_compared_with_the_nearest_of_their_class():
    a, b = [0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 20.0, 20.0]
    ours = detections([a, b, [0] * 4], [0.9, 0.9, 0], [1, 1, -1])
    exchanged = detections([b, a, [0] * 4], [0.9, 0.9, 0], [1, 1, -1])
    assert _difference(ours, exchanged) == (0, 0)
    shifted = detections([a, [5, 5, 20, 20.5], [0] * 4], [0.9, 0.8, 0], [1, 1, -1])
    np.testing.assert_allclose(_difference(ours, shifted), (0.5, 0.1), rtol=1e-5)
    # One more, and one of another class.
    more = detections([a, b, b], [0.9, 0.9, 0.1], [1, 1, 2])
    assert _difference(ours, more) == (np.inf, np.inf)
    assert _difference(more, ours) == (np.inf, np.inf)
