"""Suppression against its greedy definition, in every execution mode."""

import functools

import numpy as np
import pytest
from references import detection_numpy
from references.modes import MODES, in_mode

from keras_attention.ops.nms import keep_mask, select_detections

CASES, BOXES = 10_000, 14


@functools.cache
def random_cases(threshold):
    """Boxes of whole pixels in a narrow field, few scores, some absent; what stays.

    Whole pixels make overlaps of exactly the threshold, few scores make ties.
    """
    rng = np.random.default_rng(3)
    corners = rng.integers(0, 7, (CASES, BOXES, 2))
    boxes = np.concatenate([corners, corners + rng.integers(0, 12, corners.shape)], -1)
    scores = rng.integers(0, 9, (CASES, BOXES)).astype("float32")
    scores[scores < 1] = -np.inf
    boxes = boxes.astype("float32")
    pairs = zip(boxes, scores, strict=True)
    keep = [detection_numpy.greedy_keep(*pair, threshold) for pair in pairs]
    return boxes, scores, np.stack(keep)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("threshold", (0.5, 0.25))
def test_ten_thousand_random_cases(mode, threshold):
    boxes, scores, expected = random_cases(threshold)
    keep = in_mode(lambda b, s: keep_mask(b, s, threshold), mode)(boxes, scores)
    np.testing.assert_array_equal(keep, expected)
    suppressed = np.isfinite(scores) & ~expected
    assert suppressed.any(axis=1).mean() > 0.7  # something is to do


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_needs_as_many_rounds_as_it_has_links(mode):
    """Each box overlaps its neighbours only: every second one stays."""
    x = np.arange(60) * 4.0
    boxes = np.stack([x, 0 * x, x + 10, 0 * x + 10], axis=-1)[None].astype("float32")
    scores = -np.arange(60, dtype="float32")[None]
    keep = in_mode(lambda b, s: keep_mask(b, s, 0.3), mode)(boxes, scores)
    np.testing.assert_array_equal(keep[0], np.arange(60) % 2 == 0)


@pytest.mark.parametrize("mode", MODES)
def test_detections_of_several_classes(mode):
    rng = np.random.default_rng(5)
    corners = rng.uniform(0, 60, (6, 4, 25, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 40, corners.shape)], -1)
    boxes = boxes.astype("float32")
    scores = rng.uniform(0, 1, (6, 4, 25)).astype("float32")
    scores[scores < 0.3] = -np.inf
    scores[4, :, 3:] = -np.inf  # fewer than wanted
    scores[5] = -np.inf  # none
    select = in_mode(lambda b, s: select_detections(b, s, 0.4, 30), mode)
    found_boxes, found_scores, found_classes = select(boxes, scores)
    for n in range(6):
        expected = detection_numpy.detections(boxes[n], scores[n], 0.4, 30)
        count = len(expected)
        assert [c for _, c, _ in expected] == found_classes[n, :count].tolist()
        np.testing.assert_array_equal(
            found_scores[n, :count], [s for s, *_ in expected]
        )
        own = np.array([boxes[n, c, i] for _, c, i in expected]).reshape(-1, 4)
        np.testing.assert_array_equal(found_boxes[n, :count], own)
        assert (found_classes[n, count:] == -1).all()
        assert not found_scores[n, count:].any() and not found_boxes[n, count:].any()
    counts = (found_classes >= 0).sum(axis=1)
    assert counts[0] == 30  # the cut is reached
    assert 0 < counts[4] <= 12 and counts[5] == 0
