"""Errors of a classifier, over all and for each class."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from keras_attention.data import ImageData, naming_corrupt_files
from keras_attention.training.fitting import check_fit


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a classifier got wrong.

    Args:
        split: name of the images' split.
        class_names: name of each label.
        confusion: int64 `[classes, classes]`: row, the true label; column, the
            answer.
        top5_hits: images whose label is among the five most probable, or None
            for 5 classes and fewer.
    """

    split: str
    class_names: tuple[str, ...]
    confusion: np.ndarray
    top5_hits: int | None = None

    @property
    def images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def top1_error(self) -> float:
        """Percent of images with a wrong answer."""
        return 100 * (1 - float(np.trace(self.confusion)) / self.images)

    @property
    def top5_error(self) -> float | None:
        """Percent of images whose label is not among the five most probable."""
        if self.top5_hits is None:
            return None
        return 100 * (1 - self.top5_hits / self.images)

    @property
    def class_accuracy(self) -> dict[str, float | None]:
        """Percent of right answers among each class's images; None without any."""
        counts = self.confusion.sum(axis=1)
        hits = np.diag(self.confusion)
        return {
            name: 100 * int(hit) / int(count) if count else None
            for name, hit, count in zip(self.class_names, hits, counts, strict=True)
        }

    def __str__(self) -> str:
        lines = [f"{self.split}: {self.images:,} images"]
        lines.append(f"top-1 error {self.top1_error:6.2f} %")
        if self.top5_error is not None:
            lines.append(f"top-5 error {self.top5_error:6.2f} %")
        width = max(map(len, self.class_names))
        lines.append("accuracy by class")
        counts = self.confusion.sum(axis=1)
        for (name, value), count in zip(
            self.class_accuracy.items(), counts, strict=True
        ):
            shown = "no images" if value is None else f"{value:6.2f} %"
            lines.append(f"  {name:<{width}}  {shown}  of {count:,}")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """A dictionary of JSON types."""
        return {
            "split": self.split,
            "images": self.images,
            "top1_error": self.top1_error,
            "top5_error": self.top5_error,
            "class_accuracy": self.class_accuracy,
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_dict(cls, content: dict) -> Evaluation:
        """The inverse of `to_dict`, also after a trip through a JSON file."""
        confusion = np.array(content["confusion"], np.int64)
        wrong = content["top5_error"]
        return cls(
            content["split"],
            tuple(content["class_accuracy"]),
            confusion,
            None if wrong is None else round((1 - wrong / 100) * confusion.sum()),
        )


def evaluate(
    model: keras.Model, data: ImageData, *, split: str = "test", batch_size: int = 256
) -> Evaluation:
    """Measure a classifier on one split.

    Args:
        model: `[batch, height, width, channels]` to `[batch, classes]`.
        data: the images, with the preprocessing that the model expects.
        split: `"test"`, `"validation"` or `"train"` (without augmentation).
        batch_size: images at a time.

    Raises:
        ValueError: no such split, the model does not fit the data, a broken image
            file, or outputs that are not finite.
    """
    check_fit(model, data)
    classes = data.preprocessing.classes
    confusion = np.zeros((classes, classes), np.int64)
    top5_hits = 0
    with naming_corrupt_files(data):
        for images, labels in data.evaluation(split, batch_size=batch_size):
            scores = predict_batch(model, images.numpy())
            labels = labels.numpy()
            np.add.at(confusion, (labels, scores.argmax(axis=1)), 1)
            top5 = np.argsort(-scores, axis=1, kind="stable")[:, :5]
            top5_hits += int((top5 == labels[:, None]).any(axis=1).sum())
    return Evaluation(
        split,
        data.preprocessing.class_names,
        confusion,
        top5_hits if classes > 5 else None,
    )


def predict_batch(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """The model's outputs as float32 `[batch, classes]`.

    Raises:
        ValueError: an output is not a finite number.
    """
    scores = np.asarray(model.predict_on_batch(images), np.float32)
    if not np.isfinite(scores).all():
        raise ValueError(
            f"The outputs of {model.name} are not finite: its weights are damaged"
        )
    return scores
