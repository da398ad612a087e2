"""Which ground truth an anchor or proposal learns, and which of them learn."""

import keras
from keras import ops

NONE = -1  # background
BETWEEN = -2  # neither: overlaps too much for background, too little for an object


def match(overlap, present, foreground, background, *, at_least_one=False):
    """The index of each candidate's ground-truth box.

    Args:
        overlap: (batch, M, N) IoU of ground-truth boxes with candidates.
        present: (batch, M) bool, which of the boxes are there.
        foreground, background: IoU from which a candidate is matched, and below
            which it is background.
        at_least_one: whether the candidates that overlap a box most are matched
            (to the box that they overlap most themselves) below `foreground`, too.

    Returns:
        (batch, N) int32: an index of `boxes`, `NONE` or `BETWEEN`.
    """
    overlap = ops.where(present[:, :, None], overlap, -1.0)
    best = ops.max(overlap, axis=1)
    index = ops.cast(ops.argmax(overlap, axis=1), "int32")
    matched = best >= foreground
    if at_least_one:
        highest = ops.max(overlap, axis=2, keepdims=True)
        # A box that no candidate touches has none; torchvision gives it all.
        is_highest = ops.logical_and(overlap == highest, highest > 0)
        matched = ops.logical_or(matched, ops.any(is_highest, axis=1))
    unmatched = ops.where(best < background, NONE, BETWEEN)
    return ops.where(matched, index, unmatched)


def sample(positive, negative, count, positive_fraction, seed):
    """A random choice of candidates with at most so many positives.

    Args:
        positive, negative: (batch, N) bool.
        count: int, candidates wanted per image.
        positive_fraction: at most this part of `count` are positives; negatives fill
            up what is missing, as far as there are any.
        seed: `keras.random.SeedGenerator`.

    Returns:
        (indices (batch, n) int32, chosen (batch, n) bool), n = min(count, N): indices
        of the candidates, positives first; the ones not `chosen` fill up.
    """
    shape = ops.shape(positive)
    total = positive.shape[1]
    most = min(int(count * positive_fraction), total)
    count = min(count, total)
    noise = keras.random.uniform(shape, seed=seed)

    def draw(mask, amount):
        value, index = ops.top_k(ops.where(mask, noise, -1.0), amount)
        return value >= 0, ops.cast(index, "int32")

    positives, positive_index = draw(positive, most)
    negatives, negative_index = draw(negative, count)
    missing = count - ops.sum(ops.cast(positives, "int32"), axis=1, keepdims=True)
    negatives = ops.logical_and(negatives, ops.arange(count)[None, :] < missing)
    chosen = ops.concatenate([positives, negatives], axis=1)
    indices = ops.concatenate([positive_index, negative_index], axis=1)
    flags, order = ops.top_k(ops.cast(chosen, "float32"), count)
    return ops.take_along_axis(indices, order, axis=1), flags > 0
