"""What is asked of a detector's run, by name, and what it stands for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_attention import applications
from keras_attention.attention import recorded
from keras_attention.choices import check_choice
from keras_attention.data.order import check_seed
from keras_attention.detection.bad_images import looked_through
from keras_attention.detection.data import (
    BoxedImages,
    read_coco_folder,
    read_tfds_boxes,
)
from keras_attention.detection.faster_rcnn import FasterRCNN
from keras_attention.detection.options import BoxHead, RegionProposals
from keras_attention.detection.recipes import DetectionRecipe, detection_recipe
from keras_attention.detection.ssd import SSD, SSD300
from keras_attention.layers.checks import positive_integer
from keras_attention.training.bad_images import ERROR, SKIP, read_report
from keras_attention.training.runs import DTYPES

FOLDER = "folder"
NO_SPLIT = "none"
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
        on_bad_image: of a folder, what to do about image files that cannot be used:
            "error", or "skip" to leave them out, with their boxes, and name them in
            `bad_images.json`.
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
    on_bad_image: str = ERROR

    def load_recipe(self) -> DetectionRecipe:
        """The recipe with the changes asked for."""
        name = self.recipe or DETECTORS[self.detector].recipe
        changes = {field: getattr(self, field) for field in IN_RECIPE}
        return detection_recipe(name, **changes)

    def load_data(
        self,
        *,
        download: bool = False,
        out: Path | None = None,
        resume: bool = False,
        verbose: int | str = 0,
    ) -> tuple[BoxedImages, BoxedImages | None]:
        """Training images, and validation images or None, without bad ones.

        Args:
            download: let TensorFlow Datasets download a set that is not there.
            out: the run's folder, which gets the report of what is left out.
            resume: do not look for bad images: leave out what the report names.
            verbose: 0 for silence.
        """
        train, validation = SPLITS.get(self.data, TFDS_SPLITS)
        train, validation = (
            self.train_split or train,
            self.validation_split or validation,
        )
        splits = {train: self.load_split(train, download=download)}
        if validation != NO_SPLIT:
            splits[validation] = self.load_split(validation, download=download)
        if not resume:
            splits = looked_through(
                splits, self.on_bad_image, root=self.data_dir, out=out, verbose=verbose
            )
        elif self.on_bad_image == SKIP:
            bad = read_report(out, Path(self.data_dir), verbose=verbose)
            splits = {name: images.without(bad) for name, images in splits.items()}
        return splits[train], splits.get(validation)

    def load_split(self, split: str, *, download: bool = False) -> BoxedImages:
        """The images of a split, up to the limit."""
        if self.data == FOLDER:
            found = read_coco_folder(self.data_dir, split)
        else:
            found = self._of_tfds(split, download)
        return found.take(range(min(len(found), self.limit or len(found))))

    def _of_tfds(self, split: str, download: bool) -> BoxedImages:
        place = self.data_dir
        try:
            return read_tfds_boxes(self.data, split, data_dir=place, download=download)
        except (ImportError, ValueError) as error:  # a folder's name, misspelt?
            raise type(error)(f"There is no folder {self.data!r}. {error}") from error

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
            return SSD(backbone, image_size=self.load_recipe().size, **shared)
        return FasterRCNN(
            backbone,
            proposals=RegionProposals(**self._proposals()),
            head=BoxHead(**given(units=self.head_units, samples=self.samples)),
            seed=self.seed,
            **shared,
        )

    def _proposals(self) -> dict:
        most = self.proposals
        return given(
            anchor_sizes=self.anchor_sizes,
            pre_nms=most,
            post_nms=most,
            training_pre_nms=most,
            training_post_nms=most,
        )


def make_request(asked: dict) -> DetectionRequest:
    """The request of these fields, checked before anything is read or made.

    Raises:
        ValueError: an unknown field, or a value that does not fit.
    """
    known = [field.name for field in dataclasses.fields(DetectionRequest)]
    for name in asked:
        check_choice("option", name, known)
    if asked.get("data") is None:
        raise ValueError("`data` is needed to start a run")
    asked = placed(asked)
    for name in ("attention", "backbone_attention"):
        asked[name] = recorded(asked.get(name))
    for name in ("anchor_sizes", "size"):
        if asked.get(name) is not None:
            asked[name] = tuple(asked[name])
    request = DetectionRequest(**asked)
    _check(request)
    return request


def placed(asked: dict) -> dict:
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
    check_choice("on_bad_image", request.on_bad_image, (ERROR, SKIP))
    check_choice("detector", request.detector, DETECTORS)
    if request.backbone is not None:
        applications.takes(request.backbone, "pyramid")  # which knows the names
    if request.detector == "ssd" and request.load_recipe().size is None:
        raise ValueError("The detector 'ssd' needs `size`, height and width")
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


def given(**values) -> dict:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
