"""Average precision as COCO counts it, by pycocotools; and COCO's result files."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from keras_attention.detection.data.records import BoxedImages
from keras_attention.detection.data.resizing import scale_boxes
from keras_attention.extras import require
from keras_attention.training.files import write_text

__all__ = [
    "METRICS",
    "evaluate_detections",
    "rescale_detections",
    "to_coco_json",
    "write_detections",
]

# In the order of pycocotools' `stats`.
METRICS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR_1",
    "AR_10",
    "AR_100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
PIXEL_DIGITS, SCORE_DIGITS = 2, 5  # decimals in result files
AT_50, ALL_AREAS, AT_100 = 0, 0, -1  # places in pycocotools' `precision`


def require_coco():
    """pycocotools' `COCO` and `COCOeval`; asked for before hours of work, too.

    Raises:
        ImportError: it is not installed.
    """
    purpose = "COCO's average precision"
    return (
        require("pycocotools.coco", extra="coco", purpose=purpose).COCO,
        require("pycocotools.cocoeval", extra="coco", purpose=purpose).COCOeval,
    )


def evaluate_detections(images: BoxedImages, detections: Iterable[dict]) -> dict:
    """COCO's twelve numbers, and AP50 of each class.

    AP is the mean over IoU thresholds 0.50, 0.55 … 0.95 and classes of the area under
    precision over recall; AR the mean of the recall with at most so many detections of
    an image. Small is under 32² square pixels, large over 96². Crowd boxes count
    neither for nor against a detector.

    Args:
        images: the ground truth.
        detections: one dictionary per image: `id`; `boxes` (n, 4), xyxy in pixels of
            the FILE (see `rescale_detections`); `scores` (n,); `labels` (n,), where
            those below 1 fill up and are left out. An image without one has no
            detections.

    Returns:
        METRICS → 0 to 1, or None where there is no object to find, and
        `"AP50_per_class"` → {class name: the same}.

    Raises:
        ImportError: pycocotools is not installed.
        ValueError: detections of an unknown image, twice of one image, of an unknown
            class, or not finite.
    """
    coco, evaluation = require_coco()
    found = _results(images, detections)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints
        # Not `loadRes`, which raises where there are no detections.
        truth = _indexed(coco, images, _truth(images))
        given = _indexed(coco, images, _with_areas(found))
        measured = evaluation(truth, given, "bbox")
        measured.evaluate()
        measured.accumulate()
        measured.summarize()
    values = {
        name: _or_none(value)
        for name, value in zip(METRICS, measured.stats, strict=True)
    }
    precision = measured.eval[
        "precision"
    ]  # (thresholds, recalls, classes, areas, most)
    per_class = {
        name: _or_none(precision[AT_50, :, number, ALL_AREAS, AT_100].mean())
        for number, name in enumerate(images.class_names)
    }
    return {**values, "AP50_per_class": per_class}


def to_coco_json(images: BoxedImages, detections: Iterable[dict]) -> list[dict]:
    """COCO's result format: what its evaluation server takes.

    Args:
        images: the set.
        detections: as in `evaluate_detections`.

    Returns:
        `{"image_id", "category_id", "bbox", "score"}` of each detection: the set's
        category ids, boxes [x, y, width, height] to 0.01 pixel, scores to 0.00001.

    Raises:
        ValueError: as `evaluate_detections`.
    """
    return [
        {
            **result,
            "bbox": [round(side, PIXEL_DIGITS) for side in result["bbox"]],
            "score": round(result["score"], SCORE_DIGITS),
        }
        for result in _results(images, detections)
    ]


def write_detections(
    path: str | Path, images: BoxedImages, detections: Iterable[dict]
) -> None:
    """Write COCO's result file, whole or not at all; arguments as of `to_coco_json`."""
    write_text(Path(path), json.dumps(to_coco_json(images, detections)) + "\n")


def rescale_detections(boxes, sizes, originals) -> np.ndarray:
    """Boxes in the image as it was fed, in pixels of its file, cut at its edges.

    Args:
        boxes: (batch, n, 4) or (n, 4), xyxy.
        sizes: (batch, 2) or (2,), height and width of the image's own part, as fed.
        originals: the same of its file.

    Returns:
        float32, the shape of `boxes`.
    """
    return scale_boxes(boxes, sizes, originals)


def _truth(images: BoxedImages) -> list[dict]:
    """COCO's annotations, numbered from 1: pycocotools takes 0 for no match."""
    annotations = []
    for image in images.images:
        rows = zip(image.boxes, image.labels, image.crowd, image.areas, strict=True)
        for box, label, crowd, area in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.id,
                    "category_id": images.category_ids[label - 1],
                    "bbox": _xywh(box),
                    "iscrowd": int(crowd),
                    "area": float(area),
                }
            )
    return annotations


def _results(images: BoxedImages, detections: Iterable[dict]) -> list[dict]:
    """Results in COCO's format, not rounded."""
    left = {image.id for image in images.images}
    results = []
    for detection in detections:
        key = int(detection["id"])
        if key not in left:
            known = any(image.id == key for image in images.images)
            raise ValueError(
                f"There are detections of image {key} "
                + ("twice." if known else "that is not in the set.")
            )
        left.remove(key)
        for box, score, label in _rows(key, detection, len(images.class_names)):
            results.append(
                {
                    "image_id": key,
                    "category_id": images.category_ids[label - 1],
                    "bbox": _xywh(box),
                    "score": float(score),
                }
            )
    return results


def _rows(key: int, detection: dict, classes: int) -> Iterator[tuple]:
    """(box, score, label) of the detections of an image."""
    boxes = np.reshape(np.asarray(detection["boxes"], np.float64), (-1, 4))
    scores = np.asarray(detection["scores"], np.float64)
    labels = np.asarray(detection["labels"], np.int64)
    if not len(boxes) == len(scores) == len(labels):
        raise ValueError(
            f"Image {key} has {len(boxes)} boxes, {len(scores)} scores and "
            f"{len(labels)} labels."
        )
    there = labels >= 1
    boxes, scores, labels = boxes[there], scores[there], labels[there]
    if len(labels) and labels.max() > classes:
        raise ValueError(
            f"Image {key} has a detection of class {labels.max()}; there are {classes}."
        )
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        raise ValueError(f"Image {key} has a detection that is not finite.")
    return zip(boxes, scores, labels, strict=True)


def _with_areas(results: list[dict]) -> list[dict]:
    return [
        {
            **result,
            "id": number,
            "iscrowd": 0,
            "area": result["bbox"][2] * result["bbox"][3],
        }
        for number, result in enumerate(results, start=1)
    ]


def _indexed(coco, images: BoxedImages, annotations: list[dict]):
    """pycocotools' `COCO` of annotations in memory."""
    made = coco()
    made.dataset = {
        "images": [{"id": image.id} for image in images.images],
        "categories": [
            {"id": key, "name": name}
            for key, name in zip(images.category_ids, images.class_names, strict=True)
        ],
        "annotations": annotations,
    }
    made.createIndex()
    return made


def _xywh(box) -> list[float]:
    x1, y1, x2, y2 = (float(side) for side in box)
    return [x1, y1, x2 - x1, y2 - y1]


def _or_none(value: float) -> float | None:
    """pycocotools' −1 stands for: no object to find.

    It adds 2e-16 to each denominator, so that all found is a little below 1.
    """
    return None if value < 0 else round(float(value), 12)
