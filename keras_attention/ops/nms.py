"""Greedy non-maximum suppression with static shapes, alike in every execution mode."""

from keras import ops
from keras.utils.bounding_boxes import compute_iou

ABSENT = float("-inf")  # the score of a box that is not there


def keep_mask(boxes, scores, iou_threshold):
    """Which boxes greedy non-maximum suppression keeps.

    Greedy: by falling score, equal scores in their order, a box stays if no box that
    stays before it overlaps it by more than `iou_threshold`. That is the one
    solution of keep[i] = ¬∃ j < i: keep[j] ∧ IoU(j, i) > t, which is iterated from "all
    stay"; n rounds settle the first n boxes, and a few rounds nearly always all.

    Args:
        boxes: (batch, N, 4) float, xyxy in pixels.
        scores: (batch, N) float; −∞ marks a box that is not there and stays out.
        iou_threshold: float in [0, 1].

    Returns:
        (batch, N) bool, in the order of `boxes`. Memory: N² numbers per image.
    """
    order = ops.argsort(-scores, axis=-1)
    ranked = ops.take_along_axis(boxes, order[..., None], axis=1)
    present = ops.take_along_axis(scores, order, axis=1) > ABSENT
    count = boxes.shape[1]
    earlier = ops.arange(count)[:, None] < ops.arange(count)[None, :]
    overlap = compute_iou(ranked, ranked, "xyxy") > iou_threshold
    suppresses = ops.cast(ops.logical_and(overlap, earlier), "float32")

    def step(keep, _):
        flags = ops.cast(keep, "float32")[:, None, :]  # (batch, 1, N)
        suppressed = ops.matmul(flags, suppresses)[:, 0, :] > 0
        return ops.logical_and(present, ops.logical_not(suppressed)), keep

    keep, _ = ops.while_loop(
        lambda keep, before: ops.any(ops.not_equal(keep, before)),
        step,
        step(present, None),
    )
    back = ops.argsort(order, axis=-1)
    return ops.take_along_axis(keep, back, axis=1)


def select_detections(boxes, scores, iou_threshold, max_detections):
    """The first `max_detections` of greedy suppression within each class.

    Suppression takes boxes by falling score whatever their class, so it is stopped
    after the detections that are wanted: the same as all of it, cut afterwards.

    Args:
        boxes: (batch, classes, N, 4) float, xyxy in pixels.
        scores: (batch, classes, N) float; −∞ for boxes that are not there.
        iou_threshold: float in [0, 1]; a box that overlaps a chosen one of its class
            by more is left out.
        max_detections: int ≥ 1.

    Returns:
        (boxes (batch, max_detections, 4), scores (batch, max_detections),
        classes (batch, max_detections) int32), by falling score; where there are
        fewer: zeros, 0 and −1.
    """
    classes, count = scores.shape[1:]
    batch = ops.shape(scores)[0]
    by_class = ops.reshape(boxes, (-1, count, 4))
    rows = ops.arange(batch) * classes  # of each image's first class in `by_class`
    state = (
        0,
        ops.reshape(scores, (-1, count)),
        ops.zeros((batch, max_detections, 4), boxes.dtype),
        ops.full((batch, max_detections), ABSENT, scores.dtype),
        ops.full((batch, max_detections), -1, "int32"),
    )

    def more(i, left, *_):
        return ops.logical_and(i < max_detections, ops.any(left > ABSENT))

    def choose(i, left, chosen, chosen_scores, chosen_classes):
        flat = ops.reshape(left, (-1, classes * count))
        best = ops.argmax(flat, axis=-1)  # (batch,)
        score = ops.take_along_axis(flat, best[:, None], axis=1)[:, 0]
        label, place = ops.cast(best // count, "int32"), best % count
        row = rows + label
        rivals = ops.take(by_class, row, axis=0)  # (batch, N, 4)
        box = ops.take_along_axis(rivals, place[:, None, None], axis=1)  # (batch, 1, 4)
        out = compute_iou(rivals, box, "xyxy")[:, :, 0] > iou_threshold
        # An empty box overlaps nothing, not even itself.
        out = ops.logical_or(out, ops.arange(count)[None, :] == place[:, None])
        remaining = ops.where(out, ABSENT, ops.take(left, row, axis=0))
        left = ops.scatter_update(left, row[:, None], remaining)
        found = score > ABSENT
        here = ops.logical_and(ops.arange(max_detections)[None] == i, found[:, None])
        return (
            i + 1,
            left,
            ops.where(here[..., None], box, chosen),
            ops.where(here, score[:, None], chosen_scores),
            ops.where(here, label[:, None], chosen_classes),
        )

    _, _, chosen, chosen_scores, chosen_classes = ops.while_loop(more, choose, state)
    return chosen, ops.where(chosen_classes < 0, 0, chosen_scores), chosen_classes
