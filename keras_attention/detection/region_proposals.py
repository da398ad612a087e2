"""The first stage of Faster R-CNN: which boxes may hold an object (1506.01497)."""

import keras
import numpy as np
from keras import ops
from keras.utils.bounding_boxes import compute_iou

from keras_attention.detection import losses
from keras_attention.detection.anchors import pyramid_anchors
from keras_attention.detection.boxes import (
    RPN_VARIANCE,
    clip,
    covered,
    decode,
    encode,
    large_enough,
)
from keras_attention.detection.detector import crowds, present
from keras_attention.detection.matching import NONE, match, sample
from keras_attention.ops.nms import ABSENT, keep_mask

_NORMAL = keras.initializers.RandomNormal
BETA = 1 / 9  # of the boxes' smooth L1


@keras.saving.register_keras_serializable("keras_attention")
class RegionProposalNetwork(keras.layers.Layer):
    """Objectness and deltas of every anchor, by one head for all levels.

    ReLU(Conv₃ₓ₃), then Conv₁ₓ₁ to one logit, and to four deltas, per anchor.

    Args:
        anchors: int ≥ 1, anchors of each place.

    Input shape: list of (batch, H, W, C). Output shape: two lists, (batch, H · W ·
    anchors) logits and (batch, H · W · anchors, 4) deltas, both float32.
    """

    def __init__(self, anchors, **kwargs):
        super().__init__(**kwargs)
        self.anchors = anchors

    def build(self, input_shape):
        channels = input_shape[0][-1]
        self.conv = self._conv(channels, 3, "conv", activation="relu")
        self.objectness = self._conv(self.anchors, 1, "objectness")
        self.deltas = self._conv(4 * self.anchors, 1, "deltas")
        for layer in (self.conv, self.objectness, self.deltas):
            layer.build((None, None, None, channels))
        self.built = True

    def _conv(self, filters, kernel_size, name, **options):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            kernel_initializer=_NORMAL(stddev=0.01),
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=name,
            **options,
        )

    def call(self, features):
        logits, deltas = [], []
        for feature in features:
            hidden = self.conv(feature)
            count = feature.shape[1] * feature.shape[2] * self.anchors
            level = ops.reshape(self.objectness(hidden), (-1, count))
            logits.append(ops.cast(level, "float32"))
            level = ops.reshape(self.deltas(hidden), (-1, count, 4))
            deltas.append(ops.cast(level, "float32"))
        return logits, deltas

    def get_config(self):
        return {**super().get_config(), "anchors": self.anchors}


def anchors_of(image_size, features, options):
    """The anchors of each level as constants; see `pyramid_anchors`."""
    return pyramid_anchors(
        image_size,
        tuple(tuple(feature.shape[1:3]) for feature in features),
        options.anchor_sizes,
        options.aspect_ratios,
    )


def select_proposals(logits, deltas, anchors, sizes, options, training):
    """The boxes that the second stage looks at.

    Of each level the highest logits, as boxes within the image; greedy suppression
    in each level; of what is left in all, the highest.

    Args:
        logits, deltas: as `RegionProposalNetwork` gives them.
        anchors: list of (N, 4), as `anchors_of`.
        sizes: (batch, 2), of each image.
        options: `RegionProposals`.
        training: bool, which of its numbers hold.

    Returns:
        (boxes (batch, P, 4), logits (batch, P)), by falling logit; −∞ where there
        is no more. No gradient goes through them.
    """
    before = options.training_pre_nms if training else options.pre_nms
    after = options.training_post_nms if training else options.post_nms
    boxes, scores = zip(
        *(
            _of_level(*level, sizes, before, options)
            for level in zip(logits, deltas, anchors, strict=True)
        ),
        strict=True,
    )
    boxes, scores = ops.concatenate(boxes, axis=1), ops.concatenate(scores, axis=1)
    scores, best = ops.top_k(scores, min(after, scores.shape[1]))
    boxes = ops.take_along_axis(boxes, best[..., None], axis=1)
    return ops.stop_gradient(boxes), ops.stop_gradient(scores)


def _of_level(logits, deltas, anchors, sizes, count, options):
    logits, best = ops.top_k(logits, min(count, len(anchors)))
    deltas = ops.take_along_axis(deltas, best[..., None], axis=1)
    anchors = ops.take(ops.convert_to_tensor(anchors), best, axis=0)
    boxes = clip(decode(anchors, deltas, RPN_VARIANCE), sizes)
    fit = large_enough(boxes, options.min_size)
    fit = ops.logical_and(fit, ops.sigmoid(logits) >= options.min_score)
    scores = ops.where(fit, logits, ABSENT)
    keep = keep_mask(boxes, scores, options.nms_iou)
    return boxes, ops.where(keep, scores, ABSENT)


def proposal_losses(logits, deltas, anchors, targets, options, seed, crowd_share):
    """How wrong the network is about a choice of anchors.

    Cross-entropy of object or not, and smooth L1 (β 1/9) of the positives' deltas;
    both are divided by the number of anchors chosen in the batch.

    Args:
        logits, deltas, anchors: as for `select_proposals`.
        targets: dict of "boxes", "labels" and "crowd".
        options: `RegionProposals`.
        seed: `keras.random.SeedGenerator` of the choice.
        crowd_share: see `BoxHead`.

    Returns:
        (objectness, boxes), scalars.
    """
    logits, deltas = ops.concatenate(logits, axis=1), ops.concatenate(deltas, axis=1)
    anchors = ops.convert_to_tensor(np.concatenate(anchors))
    overlap = compute_iou(targets["boxes"], anchors, "xyxy")  # (batch, M, N)
    found = match(
        overlap,
        present(targets),
        options.foreground_iou,
        options.background_iou,
        at_least_one=True,
    )
    crowded = covered(overlap, anchors, targets["boxes"], crowds(targets), crowd_share)
    negative = ops.logical_and(found == NONE, ops.logical_not(crowded))
    index, chosen = sample(
        found >= 0, negative, options.samples, options.positive_fraction, seed
    )
    found = ops.take_along_axis(found, index, axis=1)
    boxes = ops.take_along_axis(
        targets["boxes"], ops.maximum(found, 0)[..., None], axis=1
    )
    wanted = encode(ops.take(anchors, index, axis=0), boxes, RPN_VARIANCE)
    chosen = ops.cast(chosen, "float32")
    positive = chosen * ops.cast(found >= 0, "float32")
    count = ops.maximum(ops.sum(chosen), 1.0)
    logits = ops.take_along_axis(logits, index, axis=1)
    deltas = ops.take_along_axis(deltas, index[..., None], axis=1)
    return (
        losses.objectness(positive, logits, chosen) / count,
        losses.smooth_l1(wanted, deltas, positive, BETA) / count,
    )
