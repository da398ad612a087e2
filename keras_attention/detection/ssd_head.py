"""SSD's heads: what they say of each default box, what it learns, what is detected."""

from dataclasses import dataclass

import keras
from keras import ops
from keras.utils.bounding_boxes import compute_iou

from keras_attention.detection import losses
from keras_attention.detection.boxes import (
    HEAD_VARIANCE,
    clip,
    covered,
    decode,
    encode,
)
from keras_attention.detection.detector import as_output, crowds, present
from keras_attention.detection.matching import NONE, match
from keras_attention.detection.options import Options
from keras_attention.ops.nms import ABSENT, select_detections

BETA = 1.0  # of the boxes' smooth L1


@dataclass(frozen=True)
class SSDOptions(Options):
    """Which default boxes learn what, and which detections are left.

    Args:
        foreground_iou: from which a default box learns the ground-truth box that it
            overlaps most; below is background.
        negatives: default boxes of background that learn, at most, for each of the
            image's that learn an object.
        crowd_share: a default box with more of its area in a crowd box (many objects
            under one box) does not learn as background.
        min_score: probability that a detection needs.
        pre_nms: detections of each class before suppression.
        nms_iou: two detections of a class that overlap by more are one.
        detections: most of an image.
    """

    foreground_iou: float = 0.5
    negatives: int = 3
    crowd_share: float = 0.7
    min_score: float = 0.01
    pre_nms: int = 400
    nms_iou: float = 0.45
    detections: int = 200

    def __post_init__(self):
        super().__post_init__()
        self._fractions("foreground_iou", "crowd_share", "min_score", "nms_iou")
        self._counts("negatives", "pre_nms", "detections")


@keras.saving.register_keras_serializable("keras_attention")
class SSDHead(keras.layers.Layer):
    """Class logits and deltas of every default box, by two 3×3 convolutions per map.

    Args:
        per_place: default boxes of each place, one int per map.
        num_classes: int ≥ 2, the background included.

    Input shape: list of (batch, H, W, C), a map each. Output shape: (batch, N,
    num_classes) and (batch, N, 4), N = Σ H · W · boxes per place, both in the
    variables' precision.
    """

    def __init__(self, per_place, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.per_place = tuple(per_place)
        self.num_classes = num_classes

    def build(self, input_shape):
        self.classes = self._convs(self.num_classes, "classes")
        self.deltas = self._convs(4, "deltas")
        for i, (*_, channels) in enumerate(input_shape):
            for conv in (self.classes[i], self.deltas[i]):
                conv.build((None, None, None, channels))
        self.built = True

    def _convs(self, columns, name):
        return [
            keras.layers.Conv2D(
                count * columns,
                3,
                padding="same",
                data_format="channels_last",
                dtype=self.dtype_policy.variable_dtype,
                name=f"{name}{n}",
            )
            for n, count in enumerate(self.per_place, 1)
        ]

    def call(self, maps):
        return (
            self._all(maps, self.classes, self.num_classes),
            self._all(maps, self.deltas, 4),
        )

    def _all(self, maps, convs, columns):
        found = []
        for x, conv, count in zip(maps, convs, self.per_place, strict=True):
            boxes = x.shape[1] * x.shape[2] * count
            found.append(ops.reshape(conv(x), (-1, boxes, columns)))
        return ops.concatenate(found, axis=1)

    def get_config(self):
        config = {"per_place": list(self.per_place), "num_classes": self.num_classes}
        return {**super().get_config(), **config}


def match_default_boxes(overlap, present, foreground):
    """The index of each default box's ground-truth box.

    It is the one that it overlaps most, from an IoU of `foreground` on; and each
    ground-truth box has the default box that overlaps it most, whatever else that one
    overlaps. Where two have the same, it is the later one's.

    Args:
        overlap: (batch, M, N) IoU of ground-truth boxes with default boxes.
        present: (batch, M) bool, which of the boxes are there.
        foreground: IoU in [0, 1].

    Returns:
        (batch, N) int32: an index of `boxes`, or `NONE`.
    """
    found = match(overlap, present, foreground, foreground)
    overlap = ops.where(present[:, :, None], overlap, -1.0)
    best = ops.argmax(overlap, axis=2)  # (batch, M)
    # A box that no default box touches has none; torchvision gives it the first.
    has_one = ops.max(overlap, axis=2) > 0
    places = ops.arange(overlap.shape[2], dtype=best.dtype)
    own = ops.logical_and(best[..., None] == places, has_one[..., None])
    index = ops.arange(overlap.shape[1], dtype="int32")[None, :, None]
    owner = ops.max(ops.where(own, index, NONE), axis=1)
    return ops.where(owner >= 0, owner, found)


def ssd_losses(logits, deltas, defaults, targets, options):
    """Cross-entropy, and smooth L1 (β 1) of the deltas of default boxes of objects.

    Cross-entropy is of these and of the background that is most wrong. Both are sums,
    divided by the number of default boxes of objects in the batch.

    Args:
        logits, deltas: as `SSDHead` gives them.
        defaults: (N, 4), as `default_boxes`.
        targets: dict of "boxes", "labels" and "crowd".
        options: `SSDOptions`.

    Returns:
        (classification, boxes), scalars.
    """
    boxes = targets["boxes"]
    overlap = compute_iou(boxes, defaults, "xyxy")  # (batch, M, N)
    found = match_default_boxes(overlap, present(targets), options.foreground_iou)
    positive = found >= 0
    own = ops.maximum(found, 0)
    labels = ops.where(positive, ops.take_along_axis(targets["labels"], own, axis=1), 0)
    crowded = covered(overlap, defaults, boxes, crowds(targets), options.crowd_share)
    negative = ops.logical_not(ops.logical_or(positive, crowded))
    entropy = losses.classification(labels, ops.cast(logits, "float32"))
    chosen = hard_negatives(entropy, positive, negative, options.negatives)
    learns = ops.cast(ops.logical_or(positive, chosen), "float32")
    positive = ops.cast(positive, "float32")
    wanted = encode(
        defaults, ops.take_along_axis(boxes, own[..., None], axis=1), HEAD_VARIANCE
    )
    box_loss = losses.smooth_l1(wanted, ops.cast(deltas, "float32"), positive, BETA)
    count = ops.maximum(ops.sum(positive), 1.0)
    return ops.sum(entropy * learns) / count, box_loss / count


def hard_negatives(loss, positive, negative, per_positive):
    """The negatives of the highest losses, so many for each positive of their image.

    Args:
        loss: (batch, N).
        positive, negative: (batch, N) bool.
        per_positive: int.

    Returns:
        (batch, N) bool.
    """
    wanted = per_positive * ops.sum(ops.cast(positive, "int32"), axis=1, keepdims=True)
    order = ops.argsort(-ops.where(negative, loss, ABSENT), axis=1)
    rank = ops.cast(ops.argsort(order, axis=1), "int32")
    return ops.logical_and(negative, rank < wanted)


def detect(logits, deltas, defaults, sizes, options):
    """The detections of each image; as `Detector` describes its output."""
    probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1)[..., 1:]
    scores = ops.transpose(probabilities, (0, 2, 1))  # (batch, classes, N)
    scores = ops.where(scores > options.min_score, scores, ABSENT)
    classes, count = scores.shape[1:]
    most = min(options.pre_nms, count)
    scores, best = ops.top_k(scores, most)
    boxes = clip(decode(defaults, deltas, HEAD_VARIANCE), sizes)
    boxes = ops.take_along_axis(
        boxes, ops.reshape(best, (-1, classes * most, 1)), axis=1
    )
    chosen = select_detections(
        ops.reshape(boxes, (-1, classes, most, 4)),
        scores,
        options.nms_iou,
        options.detections,
    )
    return as_output(*chosen)
