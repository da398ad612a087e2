"""Detections of images, in their own pixels, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_attention.detection.coco_metrics import (
    METRICS,
    evaluate_detections,
    require_coco,
    rescale_detections,
)
from keras_attention.detection.data.decoding import decode_file
from keras_attention.detection.data.pipeline import detection_pipeline
from keras_attention.detection.data.records import BoxedImage, BoxedImages
from keras_attention.detection.data.resizing import Sizing
from keras_attention.detection.stepping import Stepper, reading
from keras_attention.layers.checks import positive_integer
from keras_attention.training.distribution import replicas


def detect(
    model: keras.Model,
    images: BoxedImages | Sequence[str | Path],
    *,
    sizing: Sizing | None = None,
    batch_size: int = 1,
    verbose: int = 0,
) -> list[dict]:
    """What a detector finds in images.

    Args:
        model: a `Detector`.
        images: images, or the paths of image files (JPEG, PNG, BMP, GIF).
        sizing: how large they are fed; by default 800 pixels for the shorter side, up
            to 1333 for the longer, or the `image_size` of a detector that has one.
        batch_size: images at a time.
        verbose: 1 for a progress bar.

    Returns:
        For each image, in the order of `images`, a dictionary:
            id: the image's, or `file`: its path, as it was given.
            boxes: float32 (n, 4), xyxy in pixels of the file.
            scores: float32 (n,), falling.
            labels: int32 (n,), from 1.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is no image, there are none, or an output is not finite.
    """
    if isinstance(images, BoxedImages):
        return find(Stepper(model), images, sizing, batch_size, verbose)
    files = [str(path) for path in images]
    found = find(Stepper(model), read_files(files), sizing, batch_size, verbose)
    return [
        {"file": file, **{k: v for k, v in each.items() if k != "id"}}
        for file, each in zip(files, found, strict=True)
    ]


def evaluate(
    model: keras.Model,
    images: BoxedImages,
    *,
    sizing: Sizing | None = None,
    batch_size: int = 1,
    verbose: int = 0,
) -> dict[str, float]:
    """COCO's numbers of a detector on images; arguments as of `detect`.

    Returns:
        As `keras_attention.detection.coco_metrics.evaluate_detections` does.

    Raises:
        ValueError: the detector has other classes, or as `detect` does.
    """
    check_classes(model, images)
    require_coco()
    found = detect(model, images, sizing=sizing, batch_size=batch_size, verbose=verbose)
    return evaluate_detections(images, found)


def listed(found: dict) -> str:
    """COCO's numbers, then AP50 by class, for people.

    Args:
        found: as `evaluate` returns, with `split` and `images` or not.
    """
    lines = []
    if "split" in found:
        lines.append(f"{found['split']}: {found['images']:,} images")
    lines += [f"{name:<10} {shown(found[name])}" for name in METRICS]
    classes = found["AP50_per_class"]
    width = max(map(len, classes))
    lines.append("AP50 by class")
    lines += [f"  {name:<{width}}  {shown(value)}" for name, value in classes.items()]
    return "\n".join(lines)


def shown(value: float | None) -> str:
    """A COCO number; there is none where there is no object to find."""
    return "–" if value is None else f"{value:.3f}"


def check_classes(model: keras.Model, images: BoxedImages) -> None:
    """Raise ValueError unless a detector has as many classes as the images."""
    if model.num_classes != images.num_classes:
        raise ValueError(
            f"The images have {len(images.class_names)} classes, so that a detector "
            f"has num_classes={images.num_classes} with the background. Received: "
            f"{model.name!r} with num_classes={model.num_classes}."
        )


def default_sizing(model: keras.Model) -> Sizing:
    """How large a detector's images are where nobody says so."""
    return Sizing(size=getattr(model, "image_size", None))


def read_files(files: Sequence[str]) -> BoxedImages:
    """Image files without boxes; they have the ids 1, 2, ….

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is no image, or there is none.
    """
    if not files:
        raise ValueError("At least one image file is needed")
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)}
    images = []
    for key, file in enumerate(files, start=1):
        path = Path(file)
        if not path.is_file():
            raise FileNotFoundError(f"There is no image file {path}")
        height, width, _ = decode_file(path).shape
        images.append(BoxedImage(key, height, width, path=path, **nothing))
    return BoxedImages(tuple(images), ())


def find(
    stepper: Stepper,
    images: BoxedImages,
    sizing: Sizing | None,
    batch_size: int,
    verbose: int,
    between: Callable[[], None] = lambda: None,
) -> list[dict]:
    """As `detect`, by a stepper, which compiles once however often it is used.

    `between` is called after each batch.
    """
    sizing = sizing or default_sizing(stepper.model)
    batch_size = min(positive_integer("batch_size", batch_size), len(images))
    batches = detection_pipeline(
        images,
        batch_size=max(batch_size, 1),
        training=False,
        short_side=sizing.short_side,
        long_side=sizing.long_side,
        multiple=sizing.multiple,
        size=sizing.size,
        orientations=True,
    )
    bar = keras.utils.Progbar(len(images), unit_name="image") if verbose else None
    found = {}
    size = -(-batch_size // replicas()) * replicas()
    for batch in reading(batches):
        outputs = stepper.predict(_filled(batch, size))
        for place, key in enumerate(batch["ids"].tolist()):
            found[key] = _of_image(stepper.model, batch, outputs, place)
        if bar:
            bar.update(len(found))
        between()
    return [{"id": image.id, **found[image.id]} for image in images.images]


def _filled(batch: dict, size: int) -> dict:
    """A last batch at the size of the others, for which there is a function."""
    missing = size - len(batch["images"])
    if not missing:
        return batch
    return {k: np.concatenate([v, v[:1].repeat(missing, 0)]) for k, v in batch.items()}


def _of_image(model, batch, outputs, place) -> dict:
    boxes, scores, labels = (outputs[k][place] for k in ("boxes", "scores", "labels"))
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(
            f"The outputs of {model.name!r} are not finite: its weights are damaged"
        )
    there = labels > 0
    size, original = batch["sizes"][place], batch["originals"][place]
    return {
        "boxes": rescale_detections(boxes[there], size, original),
        "scores": scores[there].astype(np.float32),
        "labels": labels[there].astype(np.int32),
    }
