"""The second stage of Faster R-CNN: class and exact box of each proposal."""

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
    large_enough,
)
from keras_attention.detection.detector import as_output, crowds, present
from keras_attention.detection.matching import NONE, match, sample
from keras_attention.ops.nms import ABSENT, select_detections

BETA = 1 / 9  # of the boxes' smooth L1


@keras.saving.register_keras_serializable("keras_attention")
class BoxPredictor(keras.layers.Layer):
    """Two dense layers with ReLU, then class logits, and four deltas per class.

    Args:
        units: int ≥ 1, of each dense layer.
        num_classes: int ≥ 2, the background included.

    Input shape: (batch, R, h, w, C). Output shape: (batch, R, num_classes) and
    (batch, R, num_classes, 4), both in the variables' precision.
    """

    def __init__(self, units, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.num_classes = num_classes

    def build(self, input_shape):
        features = input_shape[2] * input_shape[3] * input_shape[4]
        exact = self.dtype_policy.variable_dtype
        self.fc6 = self._dense(self.units, "fc6", self.dtype_policy, "relu")
        self.fc7 = self._dense(self.units, "fc7", self.dtype_policy, "relu")
        self.classes = self._dense(self.num_classes, "classes", exact)
        self.deltas = self._dense(4 * self.num_classes, "deltas", exact)
        self.fc6.build((None, None, features))
        for layer in (self.fc7, self.classes, self.deltas):
            layer.build((None, None, self.units))
        self.built = True

    def _dense(self, units, name, dtype, activation=None):
        return keras.layers.Dense(units, activation=activation, dtype=dtype, name=name)

    def call(self, pooled):
        count, features = pooled.shape[1], self.fc6.kernel.shape[0]
        x = self.fc7(self.fc6(ops.reshape(pooled, (-1, count, features))))
        deltas = ops.reshape(self.deltas(x), (-1, count, self.num_classes, 4))
        return self.classes(x), deltas

    def get_config(self):
        config = {"units": self.units, "num_classes": self.num_classes}
        return {**super().get_config(), **config}


def choose_proposals(proposals, scores, targets, options, seed):
    """Proposals that learn, and what each of them learns.

    The ground-truth boxes are proposals too, so that there are good ones from the
    first step on.

    Args:
        proposals, scores: as `select_proposals` gives them.
        targets: dict of "boxes", "labels" and "crowd".
        options: `BoxHead`.
        seed: `keras.random.SeedGenerator` of the choice.

    Returns:
        (boxes (batch, R, 4), labels (batch, R) int32, −1 where there are fewer, wanted
        deltas (batch, R, 4)).
    """
    there = present(targets)
    boxes = ops.concatenate([proposals, targets["boxes"]], axis=1)
    usable = ops.concatenate([scores > ABSENT, there], axis=1)
    overlap = compute_iou(targets["boxes"], boxes, "xyxy")  # (batch, M, N)
    found = match(overlap, there, options.foreground_iou, options.foreground_iou)
    crowded = covered(
        overlap, boxes, targets["boxes"], crowds(targets), options.crowd_share
    )
    negative = ops.logical_and(found == NONE, ops.logical_not(crowded))
    index, chosen = sample(
        ops.logical_and(found >= 0, usable),
        ops.logical_and(negative, usable),
        options.samples,
        options.positive_fraction,
        seed,
    )
    boxes = ops.take_along_axis(boxes, index[..., None], axis=1)
    found = ops.take_along_axis(found, index, axis=1)
    own = ops.maximum(found, 0)
    truth = ops.take_along_axis(targets["boxes"], own[..., None], axis=1)
    labels = ops.where(
        found >= 0, ops.take_along_axis(targets["labels"], own, axis=1), 0
    )
    labels = ops.where(chosen, labels, -1)
    return (
        ops.stop_gradient(boxes),
        labels,
        ops.stop_gradient(encode(boxes, truth, HEAD_VARIANCE)),
    )


def box_losses(logits, deltas, labels, wanted):
    """Cross-entropy, and smooth L1 (β 1/9) of the true class's deltas of positives.

    Both are divided by the number of proposals chosen in the batch.

    Args:
        logits, deltas: as `BoxPredictor` gives them.
        labels, wanted: as `choose_proposals` gives them.

    Returns:
        (classification, boxes), scalars.
    """
    chosen = ops.cast(labels >= 0, "float32")
    count = ops.maximum(ops.sum(chosen), 1.0)
    known = ops.maximum(labels, 0)
    entropy = losses.classification(known, ops.cast(logits, "float32"))
    own = ops.take_along_axis(
        ops.cast(deltas, "float32"), known[..., None, None], axis=2
    )[:, :, 0]
    positive = ops.cast(labels > 0, "float32")
    return (
        ops.sum(entropy * chosen) / count,
        losses.smooth_l1(wanted, own, positive, BETA) / count,
    )


def detect(logits, deltas, proposals, proposal_scores, sizes, options):
    """The detections of each image; as `Detector` describes its output."""
    probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1)[..., 1:]
    boxes = decode(proposals[:, :, None, :], deltas[:, :, 1:], HEAD_VARIANCE)
    count, classes = boxes.shape[1:3]
    boxes = clip(ops.reshape(boxes, (-1, count * classes, 4)), sizes)
    boxes = ops.reshape(boxes, (-1, count, classes, 4))
    fit = ops.logical_and(
        probabilities > options.min_score, large_enough(boxes, options.min_size)
    )
    fit = ops.logical_and(fit, (proposal_scores > ABSENT)[..., None])
    scores = ops.where(fit, probabilities, ABSENT)
    chosen = select_detections(
        ops.transpose(boxes, (0, 2, 1, 3)),
        ops.transpose(scores, (0, 2, 1)),
        options.nms_iou,
        options.detections,
    )
    return as_output(*chosen)
