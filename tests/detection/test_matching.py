"""Matching, sampling and crowds against loops in NumPy."""

import keras
import numpy as np
import pytest
from keras.utils.bounding_boxes import compute_iou
from references.detection_numpy import iou

from keras_attention.detection.boxes import clip, covered, decode, encode
from keras_attention.detection.matching import BETWEEN, NONE, match, sample


def random_boxes(rng, *shape, field=60, most=40):
    corners = rng.uniform(0, field, (*shape, 2))
    sides = rng.uniform(2, most, corners.shape)
    return np.concatenate([corners, corners + sides], axis=-1).astype("float32")


def as_array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def matched_by_loop(candidates, boxes, present, foreground, background, at_least_one):
    table = np.array([[iou(b, c) if p else -1 for c in candidates]
                      for b, p in zip(boxes, present, strict=True)])  # fmt: skip
    found = []
    for column in table.T:
        best = int(column.argmax())
        highest = any(
            p and column[i] == table[i].max() > 0 for i, p in enumerate(present)
        )
        if column[best] >= foreground or (at_least_one and highest):
            found.append(best)
        else:
            found.append(NONE if column[best] < background else BETWEEN)
    return found


@pytest.mark.parametrize("at_least_one", (False, True))
def test_matches_are_those_of_a_loop(rng, at_least_one):
    candidates = random_boxes(rng, 80)
    boxes = random_boxes(rng, 20, 5)
    boxes[3, 0] = (500, 500, 510, 510)  # no candidate touches it
    present = rng.uniform(size=(20, 5)) < 0.7
    present[0] = False
    present[3, 0] = True
    overlap = compute_iou(boxes, candidates, "xyxy")
    found = as_array(match(overlap, present, 0.6, 0.3, at_least_one=at_least_one))
    for n in range(20):
        expected = matched_by_loop(
            candidates, boxes[n], present[n], 0.6, 0.3, at_least_one
        )
        assert found[n].tolist() == expected
    assert (found[0] == NONE).all()  # an image without boxes
    if at_least_one:
        objects = present.copy()
        objects[3, 0] = False
        weak = [
            n
            for n in range(20)
            for i in np.flatnonzero(objects[n])
            if max(iou(boxes[n, i], c) for c in candidates) < 0.6
        ]
        assert len(weak) > 5  # so that the rule had something to do


def test_a_sample_has_the_asked_for_number_of_positives():
    positive = np.zeros((4, 100), bool)
    positive[0, :50] = True  # more than wanted
    positive[1, :3] = True  # fewer
    negative = np.zeros((4, 100), bool)
    negative[:2, 50:] = True
    negative[2, :5] = True  # fewer than wanted in all
    seed = keras.random.SeedGenerator(1)
    index, chosen = map(as_array, sample(positive, negative, 40, 0.25, seed))
    assert index.shape == chosen.shape == (4, 40)
    counts = []
    for n in range(4):
        own = index[n][chosen[n]]
        assert len(set(own)) == len(own)
        counts.append((positive[n][own].sum(), negative[n][own].sum()))
    assert counts == [(10, 40 - 10), (3, 37), (0, 5), (0, 0)]


def test_samples_differ_by_draw_and_repeat_by_seed():
    everything = np.ones((1, 500), bool)
    nothing = ~everything
    seed = keras.random.SeedGenerator(1)
    first, second = (
        as_array(sample(everything, nothing, 50, 1.0, seed)[0]) for _ in range(2)
    )
    again = keras.random.SeedGenerator(1)
    np.testing.assert_array_equal(
        first, as_array(sample(everything, nothing, 50, 1.0, again)[0])
    )
    assert len(set(first[0]) & set(second[0])) < 25
    assert first[0].max() > 250  # drawn from all, not from the front


def test_every_candidate_is_as_likely_as_another():
    """4,000 draws of 10 of 40: each is drawn 1,000 times, within five deviations."""
    everything = np.ones((4000, 40), bool)
    seed = keras.random.SeedGenerator(2)
    index, _ = sample(everything, ~everything, 10, 1.0, seed)
    counts = np.bincount(as_array(index).ravel(), minlength=40)
    assert abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_covered_is_the_share_of_the_boxs_own_area():
    boxes = np.array(
        [[0, 0, 10, 10], [8, 0, 18, 10], [2, 2, 4, 4], [90, 90, 99, 99]], "float32"
    )
    regions = np.array([[[0, 0, 15, 50]], [[0, 0, 15, 50]]], "float32")
    there = np.array([[True], [False]])
    overlap = compute_iou(regions, boxes, "xyxy")
    found = as_array(covered(overlap, boxes, regions, there, 0.65))
    assert found.tolist() == [[True, True, True, False], [False] * 4]
    found = as_array(covered(overlap, boxes, regions, there, 0.75))
    assert found[0].tolist() == [True, False, True, False]


def test_deltas_come_back_as_boxes(rng):
    anchors, boxes = random_boxes(rng, 30), random_boxes(rng, 2, 30)
    variance = (0.1, 0.1, 0.2, 0.2)
    deltas = as_array(encode(anchors, boxes, variance))
    width = anchors[:, 2] - anchors[:, 0]
    centre = (boxes[1, :, 0] + boxes[1, :, 2] - anchors[:, 0] - anchors[:, 2]) / 2
    np.testing.assert_allclose(deltas[1, :, 0], centre / width / 0.1, rtol=1e-4)
    ratio = (boxes[1, :, 2] - boxes[1, :, 0]) / width
    np.testing.assert_allclose(
        deltas[1, :, 2], np.log(ratio) / 0.2, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        as_array(decode(anchors, deltas, variance)), boxes, atol=1e-3
    )


def test_no_box_grows_without_limit():
    anchor = np.array([[0, 0, 16, 16]], "float32")
    deltas = np.array([[[0, 0, 50, 1e4]]], "float32")
    box = as_array(decode(anchor, deltas, (1, 1, 1, 1)))[0, 0]
    np.testing.assert_allclose(box[2:] - box[:2], 1000, rtol=1e-5)


def test_boxes_are_cut_at_their_own_images_edge():
    boxes = np.array([[[-5, -5, 50, 50]], [[-5, 20, 50, 50]]], "float32")
    found = as_array(clip(boxes, np.array([[30, 40], [45, 20]])))
    assert found.tolist() == [[[0, 0, 40, 30]], [[0, 20, 20, 45]]]
