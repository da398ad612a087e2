"""What every detector shares: its input, its losses in training, its output."""

import keras
from keras import ops

from keras_attention import applications

# Of ImageNet's images, in pixel values.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

INPUTS = """
    Input, a batch as `detection_pipeline` makes it, or the images alone:
        images: (batch, H, W, 3), RGB from 0 to 255, H and W known when it is traced.
        sizes: (batch, 2) int, height and width of each image's own part, the rest
            is padding below and to the right; left out: no padding. Attention that
            pools over the map pools over the padding, too: how an image is padded
            changes a little what is found in it.
        boxes: (batch, M, 4) float, xyxy in pixels. In training only, as the rest.
        labels: (batch, M) int, 1 to num_classes − 1; −1 fills up.
        crowd: (batch, M) bool, boxes of many objects under one: they are not
            learned, and what lies in them is not learned as background.

    Output in training: the losses by name, scalars. Else:
        boxes: (batch, D, 4) float, xyxy in pixels of the image as it was fed.
        scores: (batch, D), falling.
        labels: (batch, D) int32, 1 to num_classes − 1; −1 fills up.
"""


class Detector(keras.Model):
    """Base of the detectors.

    Subclasses compute `training_losses(features, image_shape, sizes, targets)` and
    `detections(features, image_shape, sizes)` from what their `feature_extractor`
    makes of the normalised images.

    Args:
        feature_extractor: `keras.Model` of (batch, H, W, 3).
        losses: names of the training losses.
        num_classes: int ≥ 2, the background (label 0) included.
        mean, std: what images are normalised with, in pixel values (0 to 255).
    """

    def __init__(self, feature_extractor, losses, num_classes, mean, std, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # half precision would round the ground truth's boxes
        if isinstance(num_classes, bool) or not isinstance(num_classes, int):
            raise ValueError(
                f"`num_classes` must be an int. Received: {num_classes!r}."
            )
        if num_classes < 2:
            raise ValueError(
                "`num_classes` counts the background, so it is at least 2. Received: "
                f"{num_classes}."
            )
        self.num_classes = num_classes
        self.mean, self.std = _three("mean", mean), _three("std", std)
        if min(self.std) <= 0:
            raise ValueError(f"`std` must be above 0. Received: {std!r}.")
        self.feature_extractor = feature_extractor
        self._trackers = [keras.metrics.Mean(name=name) for name in losses]

    def call(self, inputs, training=False):
        batch = inputs if isinstance(inputs, dict) else {"images": inputs}
        if "images" not in batch:
            raise ValueError(f"A batch needs `images`. Received: {sorted(batch)}.")
        images = batch["images"]
        if len(images.shape) != 4 or None in images.shape[1:]:
            raise ValueError(
                "Detectors take (batch, height, width, 3) with height and width known: "
                "anchors and suppression have static shapes. Received: "
                f"{tuple(images.shape)}. Give the pipeline or `keras.Input` a size."
            )
        shape = images.shape[1:3]
        sizes = batch.get("sizes")
        if sizes is None:
            sizes = ops.broadcast_to(
                ops.convert_to_tensor(shape, "int32"), (ops.shape(images)[0], 2)
            )
        features = self.feature_extractor(
            self._normalize(images, sizes), training=training
        )
        if training:
            return self.training_losses(features, shape, sizes, _targets(batch))
        return self.detections(features, shape, sizes)

    def training_losses(self, features, image_shape, sizes, targets):
        """The losses by name, scalars."""
        raise NotImplementedError("a detector computes its losses")  # abstract

    def detections(self, features, image_shape, sizes):
        """`{"boxes", "scores", "labels"}`."""
        raise NotImplementedError("a detector computes its detections")  # abstract

    def _normalize(self, images, sizes):
        """(x − mean) / std, and zero in the padding, as torchvision's."""
        images = ops.cast(images, "float32")
        images = (images - ops.convert_to_tensor(self.mean)) / ops.convert_to_tensor(
            self.std
        )
        height, width = (ops.arange(n, dtype="int32") for n in images.shape[1:3])
        sizes = ops.cast(sizes, "int32")
        rows = height[None, :] < sizes[:, :1]  # (batch, H)
        columns = width[None, :] < sizes[:, 1:]
        own = ops.logical_and(rows[:, :, None], columns[:, None, :])
        return ops.where(own[..., None], images, 0.0)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        if not training:
            raise ValueError(
                "A detector has no loss in evaluation. Measure its average precision: "
                "keras_attention.detection.evaluate(model, images)."
            )
        return sum(y_pred.values()) + sum(self.losses)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for tracker in self._trackers:
            tracker.update_state(y_pred[tracker.name])
        return self.get_metrics_result()

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "num_classes": self.num_classes,
            "mean": list(self.mean),
            "std": list(self.std),
        }


def backbone_model(backbone):
    """A backbone's model: itself, or the application of that name.

    Raises:
        ValueError: an unknown name, or neither.
    """
    if isinstance(backbone, str):
        return applications.build(backbone, pyramid=True, input_shape=(None, None, 3))
    if isinstance(backbone, keras.Model):
        return backbone
    raise ValueError(
        "`backbone` must be the name of an application, such as 'resnet50', or a model "
        f"of one built with pyramid=True. Received: {backbone!r}."
    )


def as_output(boxes, scores, classes):
    """What `select_detections` chose as a detector's output: label 0 is background."""
    labels = ops.where(classes < 0, -1, classes + 1)
    return {"boxes": boxes, "scores": scores, "labels": labels}


def present(targets):
    """(batch, M) bool: the boxes that are there and are not crowds."""
    return ops.logical_and(targets["labels"] > 0, ops.logical_not(targets["crowd"]))


def crowds(targets):
    """(batch, M) bool: the crowd boxes."""
    return ops.logical_and(targets["labels"] > 0, targets["crowd"])


def _targets(batch):
    missing = [key for key in ("boxes", "labels") if key not in batch]
    if missing:
        raise ValueError(
            "Training needs ground truth: the batch has no "
            f"{' and no '.join(missing)}. Received: {sorted(batch)}. "
            "`detection_pipeline` makes such batches."
        )
    boxes, labels = ops.cast(batch["boxes"], "float32"), batch["labels"]
    crowd = batch.get("crowd")
    if boxes.shape[1] == 0:  # no image has a box: one that is not there
        boxes = ops.pad(boxes, ((0, 0), (0, 1), (0, 0)))
        labels = ops.pad(labels, ((0, 0), (0, 1)), constant_values=-1)
        crowd = None
    if crowd is None:
        crowd = ops.zeros_like(labels, "bool")
    return {"boxes": boxes, "labels": ops.cast(labels, "int32"), "crowd": crowd}


def _three(name, values):
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3:
        raise ValueError(
            f"`{name}` must be three numbers, of red, green and blue from 0 to 255. "
            f"Received: {values!r}."
        )
    return numbers
