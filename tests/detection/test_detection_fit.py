"""Detectors' training: what is in the folder, resuming, what is refused."""

import csv
import dataclasses
import json
import os
import shutil
import signal

import keras
import numpy as np
import pytest
from references.rectangles import write_rectangles
from references.small_detector import small_faster_rcnn
from references.toy_detector import ToyDetector, noise_images

from keras_attention.detection import (
    detect,
    detection_recipe,
    evaluate,
    fit,
    logs,
    prediction,
)
from keras_attention.detection.coco_metrics import METRICS
from keras_attention.detection.data import BoxedImages, read_coco_folder
from keras_attention.detection.data.resizing import Sizing
from keras_attention.training.interruption import Interrupted

SMALL = detection_recipe("quick", epochs=4, short_side=32, long_side=64)
SIZING = Sizing(32, 64)
BOTH = ((40, 64), (64, 48))  # landscape and portrait


def values(model):
    """Arrays of a model's weights, and of its random states."""
    return [keras.ops.convert_to_numpy(variable) for variable in model.variables]


def weights_of(model):
    """Arrays of what Keras saves."""
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def check_equal(first, second, tolerance=1e-6):
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


def train(out, model=None, images=None, validation=None, recipe=SMALL, **options):
    if model is None:
        keras.utils.set_random_seed(7)
        model = ToyDetector()
    images = images or noise_images(6)
    rows = fit(model, images, validation, recipe, out=out, verbose=0, **options)
    return model, rows


# -- Faster R-CNN ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def rectangles(tmp_path_factory):
    folder = write_rectangles(tmp_path_factory.mktemp("rectangles") / "data")
    return read_coco_folder(folder, "train2017")


class Copy(keras.callbacks.Callback):
    """Copies the run's folder as a run that stopped would have left it."""

    def __init__(self, folder, *epochs):
        super().__init__()
        self.folder = folder
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        if epoch in self.epochs:
            shutil.copytree(self.folder, self.folder.with_name(f"after{epoch}"))


def test_a_resumed_faster_rcnn_is_one_that_did_not_stop(rectangles, tmp_path):
    recipe = detection_recipe("quick", epochs=3, short_side=64, long_side=64)
    keras.utils.set_random_seed(3)
    whole = small_faster_rcnn(num_classes=4)
    copy = Copy(tmp_path / "whole", 1)
    _, rows = train(copy.folder, whole, rectangles, recipe=recipe, callbacks=[copy])
    parts = ("objectness_loss", "proposal_loss", "class_loss", "box_loss")
    for row in rows:
        assert row["loss"] == pytest.approx(sum(row[name] for name in parts), rel=1e-5)
    assert rows[-1]["loss"] < rows[0]["loss"]
    out = tmp_path / "after1"
    assert json.loads((out / "state.json").read_text())["epoch"] == 1
    keras.utils.set_random_seed(99)  # what is drawn now must not matter
    resumed = small_faster_rcnn(num_classes=4)
    _, again = train(out, resumed, rectangles, recipe=recipe, resume=True)
    check_equal(values(whole), values(resumed))
    assert [row["epoch"] for row in again] == [0, 1, 2]
    loaded = keras.saving.load_model(out / "last.keras", compile=False)
    check_equal(weights_of(whole), weights_of(loaded))


# -- The run, by a detector that is compiled at once -----------------------------------


def test_resuming_after_any_epoch(tmp_path):
    copy = Copy(tmp_path / "whole", 1, 3)
    whole, _ = train(copy.folder, callbacks=[copy])
    train(tmp_path / "after2", stop_after=2)
    for done in (1, 2, 3):
        out = tmp_path / f"after{done}"
        assert len((out / "history.csv").read_text().splitlines()) == 1 + done
        keras.utils.set_random_seed(99)
        resumed, rows = train(out, ToyDetector(), resume=True)
        check_equal(values(whole), values(resumed))
        assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    other, _ = train(tmp_path / "other", seed=1)
    assert any(
        abs(a - b).max() > 1e-4
        for a, b in zip(values(whole), values(other), strict=True)
    )


@pytest.mark.parametrize("moment", ["in an epoch", "after all steps", "measuring"])
def test_asked_to_stop_it_saves_and_goes_on(moment, tmp_path, monkeypatch):
    """Of four steps an epoch, within the second."""

    def ask():
        os.kill(os.getpid(), signal.SIGTERM)

    class Ask(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            last = {"in an epoch": 1, "after all steps": 3}.get(moment)
            if (self.epoch, batch) == (1, last):
                ask()

    options = {"images": noise_images(6, BOTH), "validation": noise_images(4)}
    options["evaluate_every"] = 2
    whole, rows = train(tmp_path / "whole", **options)
    with monkeypatch.context() as patch:
        if moment == "measuring":
            filled = prediction._filled
            patch.setattr(
                prediction, "_filled", lambda *given: [filled(*given), ask()][0]
            )
        with pytest.raises(Interrupted, match="after step [24] of 4 of epoch 2"):
            train(tmp_path / "half", callbacks=[Ask()], **options)
    keras.utils.set_random_seed(99)
    resumed, again = train(tmp_path / "half", ToyDetector(), resume=True, **options)
    check_equal(values(whole), values(resumed))
    for one, other in zip(rows, again, strict=True):
        for name in set(one) - {"seconds"}:
            assert one[name] == pytest.approx(other[name], abs=1e-5), name


def test_each_shape_is_traced_once(tmp_path):
    """Landscape and portrait images have a shape each; epochs and evaluations many."""
    images = noise_images(6, BOTH)
    model, _ = train(tmp_path / "x", images=images, validation=noise_images(4, BOTH))
    assert model.traces == {"training": 2, "prediction": 2}


def test_the_folder(tmp_path, monkeypatch):
    """Measured every second epoch and after the last; the best has the highest AP."""
    found = iter((0.2, 0.5, 0.3))

    def measured(images, detections):
        assert [each["id"] for each in detections] == [1, 2]
        ap = next(found)
        return {**dict.fromkeys(METRICS, ap), "AP_large": None, "AP50_per_class": {}}

    monkeypatch.setattr(logs, "evaluate_detections", measured)
    recipe = dataclasses.replace(SMALL, epochs=5)
    out = tmp_path / "x"
    model, rows = train(
        out,
        validation=noise_images(2),
        recipe=recipe,
        evaluate_every=2,
        command="keras-attention detect train",
    )
    names = {
        "run.json",
        "history.csv",
        "state.json",
        "last.keras",
        "last-1.keras",
        "best.keras",
    }
    assert {path.name for path in out.iterdir()} == names
    assert [row.get("AP") for row in rows] == [None, 0.2, None, 0.5, 0.3]
    with (out / "history.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    first = ["epoch", "loss", "noise_loss", *METRICS, "learning_rate", "seconds"]
    assert list(table[0]) == first
    assert table[0]["AP50"] == "" and table[1]["AP_large"] == ""
    state = json.loads((out / "state.json").read_text())
    wanted = {"epoch": 5, "step": 0, "best": 0.5, "best_epoch": 4, "monitor": "AP"}
    assert state == wanted | {"seconds": 0.0}
    best = keras.saving.load_model(out / "best.keras", compile=False)
    last = keras.saving.load_model(out / "last.keras", compile=False)
    check_equal(weights_of(model), weights_of(last))
    pairs = zip(weights_of(model), weights_of(best), strict=True)
    moved = [abs(a - b).max() for a, b in pairs]
    assert max(moved) > 1e-6
    record = json.loads((out / "run.json").read_text())
    assert record["kind"] == "detection"
    assert record["classes"] == {
        "names": ["red", "green", "blue"],
        "category_ids": [3, 7, 8],
    }
    assert record["data"]["train"]["images"] == 6
    assert record["sessions"][0]["command"] == "keras-attention detect train"


def test_without_validation_the_best_has_the_least_loss(tmp_path):
    _, rows = train(tmp_path / "x")
    losses = [row["loss"] for row in rows]
    state = json.loads((tmp_path / "x/state.json").read_text())
    assert state["monitor"] == "loss"
    assert state["best_epoch"] == 1 + int(np.argmin(losses))
    assert "AP" not in (tmp_path / "x/history.csv").read_text()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    out = tmp_path / "x"
    train(out, stop_after=1)
    before = (out / "last.keras").read_bytes()

    class Break(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                kernel = self.model.score.kernel
                kernel.assign(kernel * float("nan"))

    with pytest.raises(FloatingPointError, match="nan after step 3 of 3 of epoch 2"):
        train(out, resume=True, callbacks=[Break()])
    assert (out / "last.keras").read_bytes() == before
    assert len((out / "history.csv").read_text().splitlines()) == 2


def test_a_callback_may_end_the_run(tmp_path):
    class Enough(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    _, rows = train(tmp_path / "x", callbacks=[Enough()])
    assert [row["epoch"] for row in rows] == [0, 1]


@pytest.mark.parametrize("freeze", [True, False])
def test_frozen_norms_keep_statistics_and_weights(tmp_path, freeze):
    model = ToyDetector()
    norm = model.feature_extractor.get_layer("norm")
    before = weights_of(norm)
    recipe = dataclasses.replace(SMALL, freeze_norms=freeze, learning_rate=1.0)
    train(tmp_path / "x", model, recipe=recipe)
    pairs = zip(weights_of(norm), before, strict=True)
    moved = [abs(after - value).max() for after, value in pairs]
    if freeze:
        assert max(moved) == 0
    else:
        assert min(moved) > 1e-4


def test_the_norm_of_all_gradients_is_clipped(tmp_path):
    """A step of lr 1 without momentum and decay moves the weights by that norm."""
    clip = 1e-3
    recipe = detection_recipe(
        "quick",
        epochs=1,
        batch_size=6,
        short_side=32,
        long_side=64,
        learning_rate=1.0,
        momentum=0.0,
        weight_decay=0.0,
        schedule="step",
        clip_norm=clip,
    )
    model = ToyDetector()
    before = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    train(tmp_path / "x", model, noise_images(6), recipe=recipe)
    moved = [
        np.square(keras.ops.convert_to_numpy(w) - value).sum()
        for w, value in zip(model.trainable_weights, before, strict=True)
    ]
    assert np.sqrt(sum(moved)) == pytest.approx(clip, rel=1e-2)


def other_classes():
    return dataclasses.replace(noise_images(4), class_names=("a", "b", "c"))


def without_boxes():
    images = [
        dataclasses.replace(each, boxes=[], labels=[], crowd=[], areas=[])
        for each in noise_images(4).images
    ]
    return BoxedImages(images, ("red", "green", "blue"))


def only_crowds():
    images = noise_images(4)
    crowds = [
        dataclasses.replace(each, crowd=np.ones(len(each.boxes), bool))
        for each in images.images
    ]
    return dataclasses.replace(images, images=tuple(crowds))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": lambda: ToyDetector(5)}, "num_classes=4 with the background"),
        ({"images": without_boxes}, "training images.*nothing to learn"),
        ({"images": only_crowds}, "training images.*no crowd"),
        ({"validation": without_boxes}, "validation images.*no crowd"),
        ({"seed": lambda: -1}, "seed.*-1"),
        ({"validation": other_classes}, "same classes in the same order"),
        ({"evaluate_every": lambda: 0}, "`evaluate_every`"),
        ({"stop_after": lambda: 0}, "`stop_after`"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(tmp_path, options, message):
    made = {name: make() for name, make in options.items()}
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "x", **made)
    assert not (tmp_path / "x").exists()


def test_a_run_goes_on_with_its_own_data_only(tmp_path):
    train(tmp_path / "x", stop_after=1)
    with pytest.raises(ValueError, match=r"data\.train\.images: 6 then, 4 now"):
        train(tmp_path / "x", images=noise_images(4), resume=True)
    moved = noise_images(6, boxes=[[5, 4, 30, 20]])
    with pytest.raises(ValueError, match=r"data\.train\.fingerprint"):
        train(tmp_path / "x", images=moved, resume=True)
    with pytest.raises(FileExistsError, match="already holds a run"):
        train(tmp_path / "x")


def test_a_damaged_image_is_named(tmp_path, rectangles):
    broken = tmp_path / "broken.png"
    broken.write_bytes(rectangles.images[0].path.read_bytes()[:200])
    first = dataclasses.replace(rectangles.images[0], path=broken)
    images = dataclasses.replace(rectangles, images=(first, *rectangles.images[1:]))
    with pytest.raises(ValueError, match=r"broken\.png"):
        train(tmp_path / "x", images=images)


# -- Detections ------------------------------------------------------------------------


def test_detections_are_in_the_order_and_the_pixels_of_the_images():
    """The toy finds the whole image, whatever its size and that of its batch."""
    images = noise_images(5, BOTH)
    model = ToyDetector()
    found = detect(model, images, sizing=SIZING, batch_size=2)
    assert [each["id"] for each in found] == [1, 2, 3, 4, 5]
    for image, each in zip(images.images, found, strict=True):
        box = [[0, 0, image.width, image.height]]
        np.testing.assert_allclose(each["boxes"], box, atol=1e-4)
        assert each["labels"].tolist() == [1] and each["scores"].shape == (1,)
    # A batch that is not full is filled up, and not traced anew.
    assert model.traces["prediction"] == 2


def test_detections_of_files(rectangles):
    files = [image.path for image in rectangles.images[:2]]
    found = detect(ToyDetector(), files, sizing=SIZING)
    assert [each["file"] for each in found] == [str(file) for file in files]
    np.testing.assert_allclose(found[1]["boxes"], [[0, 0, 64, 64]], atol=1e-4)


def test_average_precision_of_what_is_found():
    """Whole images are found: all of them right, or with boxes of their left half."""
    sizes = ((64, 64),)
    right = noise_images(4, sizes, boxes=[[0, 0, 64, 64]])
    assert evaluate(ToyDetector(), right, sizing=SIZING)["AP"] == pytest.approx(1)
    half = noise_images(4, sizes, boxes=[[0, 0, 38.4, 64]])  # IoU 0.6
    found = evaluate(ToyDetector(), half, sizing=SIZING)
    assert found["AP50"] == pytest.approx(1) and found["AP75"] == pytest.approx(0)
    assert found["AP50_per_class"] == {
        "red": pytest.approx(1),
        "green": None,
        "blue": None,
    }


def test_what_cannot_be_evaluated():
    with pytest.raises(ValueError, match="num_classes=4 with the background"):
        evaluate(ToyDetector(7), noise_images(2))
    model = ToyDetector()
    model.score.kernel.assign(model.score.kernel * float("nan"))
    with pytest.raises(ValueError, match="'toy' are not finite"):
        detect(model, noise_images(2), sizing=SIZING)
    with pytest.raises(FileNotFoundError, match="no image file none.png"):
        detect(model, ["none.png"])
