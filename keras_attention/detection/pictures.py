"""What was found in image files, as files."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_attention.detection.coco_metrics import to_coco_json
from keras_attention.detection.data.decoding import decode_file
from keras_attention.detection.drawing import draw_detections
from keras_attention.detection.prediction import read_files
from keras_attention.training.files import replace_file, write_json


def write_found(
    out: Path, found: list[dict], names, category_ids, min_score: float
) -> list[Path]:
    """Write detections of files as COCO's result JSON, and pictures of them.

    Args:
        out: folder, made if it is not there.
        found: as `detect` gives them of files.
        names, category_ids: of the labels 1, 2, ….
        min_score: least score of what pictures show.

    Returns:
        `detections.json`, and `NAME.detected.png` of each file; none is a file that
        was looked at.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = [each["file"] for each in found]
    images = dataclasses.replace(
        read_files(files), class_names=names, category_ids=category_ids
    )
    numbered = [{**each, "id": key} for key, each in enumerate(found, start=1)]
    results = [
        {**result, "file_name": files[result["image_id"] - 1]}
        for result in to_coco_json(images, numbered)
    ]
    written = [out / "detections.json"]
    write_json(written[0], results)
    taken = {Path(file).resolve() for file in files}
    for each in found:
        path = _free(out, Path(each["file"]).stem, taken)
        taken.add(path.resolve())
        picture = tf.io.encode_png(_drawn(each, names, min_score)).numpy()
        replace_file(path, lambda aside, png=picture: aside.write_bytes(png))
        written.append(path)
    return written


def _free(out: Path, stem: str, taken: set[Path]) -> Path:
    """A picture's place, which is no other picture's and no input's."""
    for number in itertools.count(1):
        tail = f"-{number}" if number > 1 else ""
        path = out / f"{stem}{tail}.detected.png"
        if path.resolve() not in taken:
            return path


def _drawn(each: dict, names, min_score: float) -> np.ndarray:
    file = each["file"]
    return draw_detections(
        decode_file(file),
        each["boxes"],
        each["labels"],
        each["scores"],
        class_names=names,
        min_score=min_score,
    )
