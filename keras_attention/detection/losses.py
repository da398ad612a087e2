"""The losses of boxes and classes, each a sum over what was chosen."""

import keras
from keras import ops


def smooth_l1(targets, outputs, weights, beta):
    """Σ weights · Σ₄ smooth L1: d² / 2β for |d| < β, |d| − β/2 above.

    Args:
        targets, outputs: (…, 4).
        weights: (…) float, 0 for what does not count.
        beta: float > 0.
    """
    # Keras' Huber loss is the mean of the four, and β times as large.
    each = keras.losses.huber(targets, outputs, delta=beta) * 4.0 / beta
    return ops.sum(each * weights)


def objectness(targets, logits, weights):
    """Σ weights · binary cross-entropy; all (…)."""
    each = keras.losses.binary_crossentropy(
        targets[..., None], logits[..., None], from_logits=True
    )
    return ops.sum(each * weights)


def classification(labels, logits):
    """Cross-entropy of every box, (…): labels (…) int32, logits (…, classes)."""
    return keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
