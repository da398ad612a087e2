"""Detectors by name: train, and use what a run has trained, by its folder alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_attention.detection.data import (
    BoxedImages,
    detection_pipeline,
)
from keras_attention.detection.exporting import ExportCheck, export_saved_model
from keras_attention.detection.fitting import KIND, check_sharing, fit, sizing_of
from keras_attention.detection.pictures import write_found
from keras_attention.detection.prediction import detect, evaluate
from keras_attention.detection.recipes import DetectionRecipe
from keras_attention.detection.request import (
    NO_SPLIT,
    SPLITS,
    TFDS_SPLITS,
    DetectionRequest,
    given,
    make_request,
    placed,
)
from keras_attention.detection.stepping import reading
from keras_attention.extras import require
from keras_attention.training.bad_images import SKIP, read_report
from keras_attention.training.checkpoint import KEPT, STEPS_BETWEEN
from keras_attention.training.files import naming
from keras_attention.training.run_folder import (
    RECORD,
    read_run,
    refuse_differences,
    refuse_existing,
)
from keras_attention.training.runs import load_trained, stored_request, to_record
from keras_attention.training.sharing import shared

COMPARED = 4  # images that a SavedModel is compared on


def train(
    *,
    out: str | Path,
    resume: bool = False,
    stop_after: int | None = None,
    checkpoint_steps: int = STEPS_BETWEEN,
    keep: int = KEPT,
    download: bool = False,
    command: str | None = None,
    verbose: int | str = "auto",
    distribute: str | None = None,
    **asked,
) -> list[dict[str, float]]:
    """Train a detector by name, or go on with a run.

    Args:
        out: the run's folder.
        resume: go on with the run in `out`. What is left out of `asked` is taken
            from there; what is given must agree with it, but for `data_dir`.
        stop_after: epochs to train at most in this call.
        checkpoint_steps, keep: as for `fit`.
        download: let TensorFlow Datasets download a set that is not there.
        command: the command line to record.
        verbose: 0 for silence.
        distribute: on JAX "devices", "cpu:N" or "none". An option of the session, not
            of the run: with `resume` as in the last session where it is None.
        **asked: fields of `DetectionRequest`.

    Returns:
        The history, as `fit` does.

    Raises:
        ValueError, FileExistsError, FileNotFoundError, ImportError,
        FloatingPointError: as `fit`, `build` and the readers of data do.

    Example:

    >>> history = train(out="runs/d", data="coco", recipe="quick", epochs=1,
    ...                 backbone="resnet18")  # doctest: +SKIP
    """
    out = Path(out)
    request = _resumed(out, asked) if resume else _fresh(out, asked)
    recipe = request.load_recipe()
    images, validation = request.load_data(
        download=download, out=out, resume=resume, verbose=verbose
    )
    with shared(out, resume=resume, distribute=distribute, batch_norm=None, kind=KIND):
        check_sharing()
        model = request.build(images.num_classes)
        if verbose:
            print(f"{model.name}, {model.count_params():,} parameters")
            print(f"training: {images}")
            print(f"validation: {validation or 'none'}")
            print(recipe)
        return fit(
            model,
            images,
            validation,
            recipe,
            out=out,
            seed=request.seed,
            resume=resume,
            stop_after=stop_after,
            checkpoint_steps=checkpoint_steps,
            keep=keep,
            evaluate_every=request.evaluate_every,
            verbose=verbose,
            description=to_record(request),
            command=command,
        )


def evaluate_run(
    path: str | Path,
    *,
    split: str | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    limit: int | None = None,
    batch_size: int = 1,
    verbose: int = 0,
) -> dict:
    """COCO's numbers of a run's detector.

    Args:
        path: a run's folder (its best network is taken) or a `.keras` file in it.
        split: of the data; by default the run's validation split.
        data, data_dir: as of `DetectionRequest`; by default the run's.
        limit: most images; by default the run's limit.
        batch_size: images at a time.
        verbose: 1 for a progress bar.

    Returns:
        As `evaluate` does, with `split` and `images`, their number.

    Raises:
        FileNotFoundError: no run, no network, or no data there.
        ValueError: the images have other classes, or as `evaluate` does.
    """
    model, folder = load_trained(path, KIND)
    images, split = _images_of(
        folder, split, given(data=data, data_dir=data_dir, limit=limit)
    )
    found = evaluate(
        model,
        images,
        sizing=sizing_of(_recipe(folder)),
        batch_size=batch_size,
        verbose=verbose,
    )
    return {"split": split, "images": len(images), **found}


def predict_run(
    path: str | Path,
    files: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    min_score: float = 0.5,
    batch_size: int = 1,
    verbose: int = 0,
) -> list[dict]:
    """What a run's detector finds in image files.

    Args:
        path: a run's folder (its best network is taken) or a `.keras` file in it.
        files: JPEG, PNG, BMP or GIF files.
        out: folder for `detections.json`, in COCO's result format (the files are the
            images 1, 2, …, with their names), and for a picture of each,
            `NAME.detected.png`; older ones are replaced. None: nothing is written.
        min_score: least score of what pictures show.
        batch_size: images at a time.
        verbose: 1 for a progress bar.

    Returns:
        As `detect` does, each with `names`, the classes of its detections.

    Raises:
        FileNotFoundError: no run, no network or no image there.
        ValueError: a damaged run, a file that is no image.
        NotADirectoryError: `out` is a file.
        ImportError: a package that draws is not installed.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f"`min_score` must be in [0, 1]. Received: {min_score}")
    if out is not None:  # before it is looked for
        require("matplotlib", extra="viz", purpose="Pictures of detections")
        if Path(out).exists() and not Path(out).is_dir():
            raise NotADirectoryError(f"{out} is a file; `out` must be a folder")
    model, folder = load_trained(path, KIND)
    names, category_ids = _classes(folder)
    found = detect(
        model,
        files,
        sizing=sizing_of(_recipe(folder)),
        batch_size=batch_size,
        verbose=verbose,
    )
    for each in found:
        each["names"] = [names[label - 1] for label in each["labels"]]
    if out is not None:
        write_found(Path(out), found, names, category_ids, min_score)
    return found


def export_run(
    path: str | Path,
    *,
    out: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    batch_size: int | None = 1,
    split: str | None = None,
    data: str | None = None,
    data_dir: str | None = None,
    overwrite: bool = False,
) -> ExportCheck:
    """Write a run's detector as a SavedModel, and compare it on some of its images.

    Args:
        path: a run's folder (its best network is taken) or a `.keras` file in it.
        out: the SavedModel's folder; by default beside the network, as
            `best_saved_model`.
        image_size: (height, width) of its images; by default those of the recipe's
            landscape images.
        batch_size: images at a time; None leaves it open.
        split, data, data_dir: of the images to compare on, as for `evaluate_run`.
        overwrite: whether to replace a SavedModel at `out`.

    Returns:
        The comparison; see `export_saved_model` for it, the signature and the errors.
    """
    model, folder = load_trained(path, KIND)
    path = Path(path)
    network = path if path.suffix == ".keras" else folder / "best.keras"
    if image_size is None:
        image_size = _landscape(_recipe(folder))
    changes = given(data=data, data_dir=data_dir, limit=COMPARED)
    images, _ = _images_of(folder, split, changes)
    batches = detection_pipeline(
        images, batch_size=1, training=False, size=tuple(image_size)
    )
    return export_saved_model(
        model,
        network.with_name(f"{network.stem}_saved_model") if out is None else out,
        image_size,
        batch_size,
        images=np.concatenate([batch["images"] for batch in reading(batches)]),
        class_names=_classes(folder)[0],
        overwrite=overwrite,
    )


def _landscape(recipe: DetectionRecipe) -> tuple[int, int]:
    """Height and width that hold all of the recipe's landscape images."""
    return sizing_of(recipe).of_batch([(recipe.short_side, recipe.long_side)])


def _images_of(folder: Path, split, changes: dict) -> tuple[BoxedImages, str]:
    """Images of a run's classes, and their split."""
    stored = _asked_of(folder)
    if "data" in changes:  # which is not where the run's is
        stored["data_dir"] = None
    request = make_request({**stored, **placed(changes)})
    if split is None:
        split = request.validation_split or SPLITS.get(request.data, TFDS_SPLITS)[1]
    if split == NO_SPLIT:
        raise ValueError("The run has no validation images: name a split (--split)")
    images, classes = request.load_split(split), _classes(folder)
    if request.on_bad_image == SKIP and "data" not in changes:
        images = images.without(read_report(folder, Path(request.data_dir)))
    if (images.class_names, images.category_ids) != classes:
        raise ValueError(
            f"The run in {folder} was trained with the classes {classes[0]}, and "
            f"{split!r} has {images.class_names}"
        )
    return images, split


def _classes(folder: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and category ids of a run's classes."""
    record = read_run(folder, KIND, ("classes",))["classes"]
    with naming(folder / RECORD):
        return tuple(record["names"]), tuple(record["category_ids"])


def _recipe(folder: Path) -> DetectionRecipe:
    record = read_run(folder, KIND, ("recipe",))["recipe"]
    with naming(folder / RECORD):
        return DetectionRecipe(**record)


def _asked_of(folder: Path) -> dict:
    """What was asked of a run, as its record has it.

    Raises:
        ValueError: it was not started by name.
    """
    stored = stored_request(folder, KIND)
    fields = {field.name for field in dataclasses.fields(DetectionRequest)}
    if set(stored) != fields:
        raise ValueError(
            f"The run in {folder} was not started by name: use "
            "keras_attention.detection.fit, evaluate and detect"
        )
    return stored


def _fresh(out: Path, asked: dict) -> DetectionRequest:
    # Before minutes of loading data; `fit` looks again.
    refuse_existing(out)
    return make_request(asked)


def _resumed(out: Path, asked: dict) -> DetectionRequest:
    stored = _asked_of(out)
    request = make_request({**stored, **placed(asked)})
    refuse_differences(out, stored, dataclasses.asdict(request))
    return request
