"""Image files explained by a run's network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_attention.choices import check_choice
from keras_attention.data.corruption import read_image
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.training import (
    Prediction,
    load_trained,
    predict,
    read_preprocessing,
)
from keras_attention.training.files import replace_file
from keras_attention.training.prediction import read_input
from keras_attention.visualization.explaining import KINDS, Explanation, explain
from keras_attention.visualization.panels import draw_explanation

__all__ = ["explain_run"]

SHOWN = 256  # pixels of the longer side, at least


def explain_run(
    path: str | Path,
    files: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    kinds: Sequence[str] = KINDS,
    about: str | None = None,
    layers: Sequence[str | None] = (None,),
    patch: int | None = None,
    stride: int | None = None,
    verbose: int = 1,
) -> list[Path]:
    """A picture for each image file: attention maps, Grad-CAM and occlusion.

    Args:
        path: a run's folder (its best network is taken) or a `.keras` file in it.
        files: JPEG, PNG, BMP or GIF files.
        out: folder of the pictures, which replace older ones; by default `explain` in
            the run's folder.
        kinds, layers, patch, stride, verbose: see `explain`.
        about: name of the class that Grad-CAM and occlusion are about; by default each
            image's own answer.

    Returns:
        The pictures, `NAME.explained.png` for each image.

    Raises:
        FileNotFoundError: no run, no network or no image there.
        ValueError: a damaged run, a file that is no image, an unknown class, a network
            without attention (where that is asked for); the message names the file.
        ImportError: matplotlib is not installed.
    """
    model, folder = load_trained(path)
    preprocessing = read_preprocessing(folder)
    answers = predict(model, preprocessing, files, top=3)
    images = np.stack([read_input(str(file), preprocessing) for file in files])
    options = {"kinds": kinds, "layers": layers, "patch": patch, "stride": stride}
    options["classes"] = _class_index(preprocessing, about)
    try:
        found = explain(model, images, verbose=verbose, **options)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    out = folder / "explain" if out is None else Path(out)
    out.mkdir(parents=True, exist_ok=True)
    pictures = []
    for answer, each in zip(answers, found, strict=True):
        figure = draw_explanation(
            each,
            _shown(answer.path, preprocessing),
            _title(answer, each, preprocessing.class_names),
        )
        pictures.append(_place(out, Path(answer.path).stem, pictures))
        replace_file(pictures[-1], lambda aside, f=figure: f.savefig(aside, dpi=120))
    return pictures


def _class_index(preprocessing: Preprocessing, name: str | None) -> int | None:
    if name is None:
        return None
    names = preprocessing.class_names
    return names.index(check_choice("class", name, names))


def _title(answer: Prediction, found: Explanation, names: Sequence[str]) -> str:
    title = str(dataclasses.replace(answer, path=Path(answer.path).name))
    if found.explained < 0:
        return title
    return f"{title}\nGrad-CAM and occlusion of {names[found.explained]!r}"


def _shown(path: str, preprocessing: Preprocessing) -> np.ndarray:
    """The same part of the image, with more pixels than the network gets."""
    times = math.ceil(SHOWN / max(preprocessing.size))
    height, width = preprocessing.size
    larger = dataclasses.replace(preprocessing, size=(times * height, times * width))
    return larger.fit_size(read_image(path, preprocessing.channels)).numpy()


def _place(out: Path, stem: str, taken: list[Path]) -> Path:
    place, number = out / f"{stem}.explained.png", 2
    while place in taken:  # images of one name in different folders
        place, number = out / f"{stem}-{number}.explained.png", number + 1
    return place
