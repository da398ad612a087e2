"""Detectors by name: train, and use what a run has trained, by its folder alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_attention import applications
from keras_attention.attention import recorded
from keras_attention.choices import check_choice
from keras_attention.data.order import check_seed
from keras_attention.detection.data import (
    BoxedImages,
    detection_pipeline,
    read_coco_folder,
    read_tfds_boxes,
)
from keras_attention.detection.exporting import ExportCheck, export_saved_model
from keras_attention.detection.faster_rcnn import FasterRCNN
from keras_attention.detection.fitting import KIND, fit, sizing_of
from keras_attention.detection.options import BoxHead, RegionProposals
from keras_attention.detection.pictures import write_found
from keras_attention.detection.prediction import detect, evaluate
from keras_attention.detection.recipes import DetectionRecipe, detection_recipe
from keras_attention.detection.ssd import SSD, SSD300
from keras_attention.detection.stepping import reading
from keras_attention.extras import require
from keras_attention.layers.checks import positive_integer
from keras_attention.training.files import naming
from keras_attention.training.run_folder import (
    RECORD,
    read_run,
    refuse_differences,
    refuse_existing,
)
from keras_attention.training.runs import DTYPES, load_trained

FOLDER = "folder"
NO_SPLIT = "none"
COMPARED = 4  # images that a SavedModel is compared on
SPLITS = {FOLDER: ("train2017", "val2017")}
TFDS_SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Kind:
    """A detector that runs by name.

    Args:
        backbone: its own where none is asked for.
        recipe: likewise.
        options: fields of `DetectionRequest` that only some detectors have.
    """

    backbone: str
    recipe: str
    options: tuple[str, ...]


DETECTORS = {
    "faster_rcnn": Kind(
        "resnet50",
        "coco",
        ("channels", "anchor_sizes", "head_units", "proposals", "samples"),
    ),
    "ssd": Kind("resnet50", "ssd", ("channels",)),
    "ssd300": Kind("vgg16", "ssd", ()),
}
OPTIONS = DETECTORS["faster_rcnn"].options
IN_RECIPE = (
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "weight_decay",
    "clip_norm",
    "short_side",
    "long_side",
    "size",
    "flip",
    "crops",
    "freeze_norms",
)


@dataclass(frozen=True)
class DetectionRequest:
    """What is asked of a detector's run, in the words of the command line.

    Args:
        data: a folder as COCO's (`annotations/instances_SPLIT.json` and `SPLIT/`), or
            a name of TensorFlow Datasets, such as `"coco/2017"` or `"voc/2007"`.
        data_dir: where TensorFlow Datasets are; with data="folder", the folder.
        train_split, validation_split: by default train2017 and val2017 of a folder,
            train and validation of others; validation "none": nothing is measured.
        limit: most images of each split.
        detector: `"faster_rcnn"`, `"ssd"` or `"ssd300"`.
        backbone: a name for `keras_attention.applications.build`; by default resnet50,
            vgg16 for ssd300.
        backbone_attention: the backbone's, as for `build`.
        attention: the detector's own, see `FasterRCNN` and `SSD`.
        channels: of the pyramid's levels, or of SSD's further maps.
        anchor_sizes, head_units, proposals, samples: of Faster R-CNN: pixels of the
            anchors of each level; units of the head's dense layers; most proposals of
            an image, in training and after; proposals of them that learn.
        recipe: a name for `detection_recipe`; by default coco, ssd for SSDs.
        epochs, batch_size, learning_rate, schedule, warmup_steps, weight_decay,
            clip_norm, short_side, long_side, size, flip, crops, freeze_norms: in place
            of the recipe's.
        evaluate_every: epochs from one measurement to the next.
        seed: of the first weights, the order, the augmentation and what learns.
        dtype: a Keras dtype policy: "float32", "mixed_bfloat16" or "mixed_float16".
    """

    data: str
    data_dir: str | None = None
    train_split: str | None = None
    validation_split: str | None = None
    limit: int | None = None
    detector: str = "faster_rcnn"
    backbone: str | None = None
    backbone_attention: str | dict | list | None = None
    attention: str | dict | list | None = None
    channels: int | None = None
    anchor_sizes: tuple[float, ...] | None = None
    head_units: int | None = None
    proposals: int | None = None
    samples: int | None = None
    recipe: str | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: str | None = None
    warmup_steps: int | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None
    short_side: int | None = None
    long_side: int | None = None
    size: tuple[int, int] | None = None
    flip: bool | None = None
    crops: bool | None = None
    freeze_norms: bool | None = None
    evaluate_every: int = 1
    seed: int = 0
    dtype: str = "float32"

    def load_recipe(self) -> DetectionRecipe:
        """The recipe with the changes asked for."""
        name = self.recipe or DETECTORS[self.detector].recipe
        changes = {field: getattr(self, field) for field in IN_RECIPE}
        return detection_recipe(name, **changes)

    def load_data(
        self, *, download: bool = False
    ) -> tuple[BoxedImages, BoxedImages | None]:
        """Training images, and validation images or None."""
        train, validation = SPLITS.get(self.data, TFDS_SPLITS)
        validation = self.validation_split or validation
        return (
            self.load_split(self.train_split or train, download=download),
            None
            if validation == NO_SPLIT
            else self.load_split(validation, download=download),
        )

    def load_split(self, split: str, *, download: bool = False) -> BoxedImages:
        """The images of a split, up to the limit."""
        if self.data == FOLDER:
            found = read_coco_folder(self.data_dir, split)
        else:
            found = read_tfds_boxes(
                self.data, split, data_dir=self.data_dir, download=download
            )
        return found.take(range(min(len(found), self.limit or len(found))))

    def build(self, num_classes: int) -> keras.Model:
        """The detector, with its first weights drawn by the seed."""
        keras.utils.set_random_seed(self.seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype)
        try:
            backbone = applications.build(
                self.backbone or DETECTORS[self.detector].backbone,
                attention=self.backbone_attention,
                pyramid=True,
                input_shape=(None, None, 3),
            )
            return self._detector(backbone, num_classes)
        finally:
            keras.config.set_dtype_policy(before)

    def _detector(self, backbone, num_classes: int) -> keras.Model:
        shared = {"num_classes": num_classes, "attention": self.attention}
        if self.channels is not None:
            shared["channels"] = self.channels
        if self.detector == "ssd300":
            return SSD300(backbone, **shared)
        if self.detector == "ssd":
            size = self.load_recipe().size
            if size is None:
                raise ValueError("The detector 'ssd' needs `size`, height and width")
            return SSD(backbone, image_size=size, **shared)
        return FasterRCNN(
            backbone,
            proposals=RegionProposals(**self._proposals()),
            head=BoxHead(**_given(units=self.head_units, samples=self.samples)),
            seed=self.seed,
            **shared,
        )

    def _proposals(self) -> dict:
        most = self.proposals
        return _given(
            anchor_sizes=self.anchor_sizes,
            pre_nms=most,
            post_nms=most,
            training_pre_nms=most,
            training_post_nms=most,
        )


def train(
    *,
    out: str | Path,
    resume: bool = False,
    stop_after: int | None = None,
    download: bool = False,
    command: str | None = None,
    verbose: int | str = "auto",
    **asked,
) -> list[dict[str, float]]:
    """Train a detector by name, or go on with a run.

    Args:
        out: the run's folder.
        resume: go on with the run in `out`. What is left out of `asked` is taken
            from there; what is given must agree with it, but for `data_dir`.
        stop_after: epochs to train at most in this call.
        download: let TensorFlow Datasets download a set that is not there.
        command: the command line to record.
        verbose: 0 for silence.
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
    images, validation = request.load_data(download=download)
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
        evaluate_every=request.evaluate_every,
        verbose=verbose,
        description=dataclasses.asdict(request),
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
        folder, split, _given(data=data, data_dir=data_dir, limit=limit)
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
    given = _given(data=data, data_dir=data_dir, limit=COMPARED)
    images, _ = _images_of(folder, split, given)
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
    request = _request({**stored, **_placed(changes)})
    if split is None:
        split = request.validation_split or SPLITS.get(request.data, TFDS_SPLITS)[1]
    if split == NO_SPLIT:
        raise ValueError("The run has no validation images: name a split (--split)")
    images, classes = request.load_split(split), _classes(folder)
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
    stored = read_run(folder, KIND, ("model",))["model"]
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
    return _request(asked)


def _resumed(out: Path, asked: dict) -> DetectionRequest:
    stored = _asked_of(out)
    request = _request({**stored, **_placed(asked)})
    refuse_differences(out, stored, dataclasses.asdict(request))
    return request


def _request(asked: dict) -> DetectionRequest:
    known = [field.name for field in dataclasses.fields(DetectionRequest)]
    for name in asked:
        check_choice("option", name, known)
    if asked.get("data") is None:
        raise ValueError("`data` is needed to start a run")
    asked = _placed(asked)
    for name in ("attention", "backbone_attention"):
        asked[name] = recorded(asked.get(name))
    for name in ("anchor_sizes", "size"):
        if asked.get(name) is not None:
            asked[name] = tuple(asked[name])
    request = DetectionRequest(**asked)
    _check(request)
    return request


def _placed(asked: dict) -> dict:
    """With `data="folder"` and a `data_dir` where `data` is a folder's path."""
    asked, data = dict(asked), asked.get("data")
    place = asked.get("data_dir")
    if data is not None and data != FOLDER and _is_path(data):
        if place is not None:
            raise ValueError(
                f"`data` is the folder {data!r} already, and `data_dir` is {place!r}: "
                "give one of them"
            )
        asked["data"], place = FOLDER, data
    if place is not None:
        asked["data_dir"] = str(Path(place).expanduser().resolve())
    return asked


def _is_path(data: str) -> bool:
    return data.startswith(("/", ".", "~")) or Path(data).is_dir()


def _check(request: DetectionRequest) -> None:
    if request.data == FOLDER and request.data_dir is None:
        raise ValueError("`data_dir` is needed with data='folder': where it is")
    check_seed(request.seed)
    check_choice("dtype", request.dtype, DTYPES)
    check_choice("detector", request.detector, DETECTORS)
    for name in ("limit", "proposals", "evaluate_every"):
        if getattr(request, name) is not None:
            positive_integer(name, getattr(request, name))
    for name in OPTIONS:
        having = [key for key, kind in DETECTORS.items() if name in kind.options]
        if getattr(request, name) is not None and request.detector not in having:
            raise ValueError(
                f"`{name}` is for {', '.join(having)}. Received: "
                f"{getattr(request, name)!r} for {request.detector!r}"
            )


def _given(**values) -> dict:
    return {name: value for name, value in values.items() if value is not None}
