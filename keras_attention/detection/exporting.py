"""A detector as a SavedModel that is proven equal to it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_attention.detection.stepping import Stepper
from keras_attention.layers.checks import positive_integer
from keras_attention.saved_models.placing import check_place, folder_in, put

SIGNATURE = "serving_default"
OUTPUTS = ("boxes", "scores", "labels")
CLASSES = "classes.json"  # in the folder's assets.extra
# Of pixels and of probability: what another order of additions makes of float32.
PIXELS, PROBABILITY = 0.05, 1e-3


@dataclass(frozen=True)
class ExportCheck:
    """How far a SavedModel's detections are from the detector's.

    Args:
        path: the folder.
        images: that both have seen.
        detections: of the detector in them.
        box_error: the largest difference of a side, in pixels.
        score_error: the largest difference of a score.
    """

    path: str
    images: int
    detections: int
    box_error: float
    score_error: float

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.detections} detections in {self.images} images, boxes "
            f"within {self.box_error:.2g} pixels, scores within {self.score_error:.2g}"
        )


def export_saved_model(
    model: keras.Model,
    path: str | Path,
    image_size: tuple[int, int],
    batch_size: int | None = None,
    *,
    images: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> ExportCheck:
    """Write a detector as a SavedModel, suppression included, and compare it.

    Its signature `serving_default` takes `images` (batch, H, W, 3) float32, RGB from 0
    to 255, and gives `boxes` (batch, D, 4) float32, xyxy in pixels of the image as it
    is fed, `scores` (batch, D) and `labels` (batch, D) int32, −1 where there are fewer.

    Args:
        model: a `Detector`; on the TensorFlow backend.
        path: of the folder, which appears when all is done, or not at all.
        image_size: (H, W) of the images.
        batch_size: images at a time; None leaves it open.
        images: (n, H, W, 3), 0 to 255, to compare on; by default noise, in which a
            trained detector finds little.
        class_names: of the labels 1, 2, …; kept in `assets.extra/classes.json`.
        overwrite: whether to replace a SavedModel at `path`.

    Returns:
        The comparison.

    Raises:
        ValueError: another backend, an argument that does not fit, or a SavedModel
            that detects something else, which is then not left behind.
        FileExistsError: there is something at `path`, and `overwrite` is False or it
            is no SavedModel.
        OSError: `path` cannot be written.
    """
    path, size = Path(path), _image_size(model, image_size)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "SavedModels of detectors are written on the TensorFlow backend "
            f"(KERAS_BACKEND=tensorflow). This is {keras.backend.backend()}"
        )
    if batch_size is not None:
        positive_integer("batch_size", batch_size)
    images = _images(images, size, batch_size)
    check_place(path, folder=True, overwrite=overwrite)
    with folder_in(path.parent) as folder:
        aside = Path(folder) / path.name
        _write(aside, model, (batch_size, *size, 3), class_names)
        found = _compared(aside, path, model, images, batch_size or len(images))
        put(aside, path)
    return found


def _image_size(model, image_size) -> tuple[int, int]:
    if not isinstance(image_size, tuple | list) or len(image_size) != 2:
        raise ValueError(
            f"`image_size` must be (height, width). Received: {image_size!r}."
        )
    size = tuple(positive_integer("image_size", side) for side in image_size)
    own = getattr(model, "image_size", size)
    if size != own:
        raise ValueError(
            f"{model.name!r} takes images of {own[0]}×{own[1]}. Received: "
            f"image_size={size}."
        )
    return size


def _images(images, size, batch_size) -> np.ndarray:
    """Whole batches of them."""
    if images is None:
        rng = np.random.default_rng(0)
        images = rng.uniform(0, 255, (batch_size or 2, *size, 3))
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or images.shape[1:] != (*size, 3) or not len(images):
        raise ValueError(
            f"`images` must be (n, {size[0]}, {size[1]}, 3), n at least 1. Received: "
            f"{images.shape}."
        )
    missing = -len(images) % (batch_size or len(images))
    return np.concatenate([images, images[:1].repeat(missing, 0)])


def _write(folder: Path, model, shape, class_names) -> None:
    def serve(images):
        return model({"images": images}, training=False)

    module = tf.Module()
    module.weights = [variable.value for variable in model.variables]
    spec = tf.TensorSpec(shape, tf.float32, name="images")
    serve = tf.function(serve, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: serve})
    extra = folder / "assets.extra"
    extra.mkdir()
    content = {"class_names": None if class_names is None else list(class_names)}
    (extra / CLASSES).write_text(json.dumps(content), encoding="utf-8")


def _compared(aside: Path, path: Path, model, images, batch_size) -> ExportCheck:
    run = tf.saved_model.load(str(aside)).signatures[SIGNATURE]
    stepper = Stepper(model)
    count, errors = 0, [(0.0, 0.0)]
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        theirs = {k: v.numpy() for k, v in run(images=tf.constant(batch)).items()}
        ours = stepper.predict({"images": batch})
        for i in range(len(batch)):
            one = [{k: each[k][i] for k in OUTPUTS} for each in (ours, theirs)]
            count += int((one[0]["labels"] > 0).sum())
            errors.append(_difference(*one))
    boxes, scores = np.max(errors, axis=0)
    if not (boxes <= PIXELS and scores <= PROBABILITY):  # NaN is not
        raise ValueError(
            f"{path.name} was not kept, since it does not detect what {model.name!r} "
            f"does: boxes are {boxes:.2g} pixels apart (bound {PIXELS}), scores "
            f"{scores:.2g} ({PROBABILITY})"
        )
    return ExportCheck(str(path), len(images), count, float(boxes), float(scores))


def _difference(ours: dict, theirs: dict) -> tuple[float, float]:
    """The largest distances of boxes and of scores, each to the nearest of its class.

    Nearest, because neighbours with scores alike may change places.
    """
    pairs = []
    for a, b in ((ours, theirs), (theirs, ours)):
        for box, score, label in zip(*(a[k] for k in OUTPUTS), strict=True):
            same = b["labels"] == label
            if label < 1:
                continue
            if not same.any():
                return np.inf, np.inf
            boxes = abs(b["boxes"][same] - box).max(axis=1)
            scores = abs(b["scores"][same] - score)
            best = np.argmin(boxes / PIXELS + scores / PROBABILITY)
            pairs.append((boxes[best], scores[best]))
    return tuple(np.max(pairs, axis=0)) if pairs else (0.0, 0.0)
