"""COCO's average precision against numbers by hand and pycocotools from files."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_attention.detection.coco_metrics import (
    METRICS,
    evaluate_detections,
    rescale_detections,
    to_coco_json,
    write_detections,
)
from keras_attention.detection.data import BoxedImage, BoxedImages, read_coco_folder

pytest.importorskip("pycocotools")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco_small"
needs_coco = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no photographs of COCO in {SHARED}"
)


def image(id, boxes, labels, crowd=None):
    return BoxedImage(id, 300, 400, boxes, labels, crowd)


def detection(id, boxes, scores, labels):
    return {"id": id, "boxes": boxes, "scores": scores, "labels": labels}


def truth(images):
    """The true boxes, crowds left out, as detections."""
    return [
        detection(
            i.id,
            i.boxes[~i.crowd],
            np.full((~i.crowd).sum(), 0.9),
            i.labels[~i.crowd],
        )
        for i in images.images
    ]


# Two objects in image 1, one in image 2; 100 pixels square.
A, B, C = [0, 0, 100, 100], [150, 150, 250, 250], [50, 50, 150, 150]
TWO = BoxedImages((image(1, [A, B], [1, 1]), image(2, [C], [1])), ("thing",))
NOWHERE = [300, 200, 400, 300]


def test_two_images_by_hand():
    """Hits at ranks 1 and 3 of 3 detections, for 3 objects.

    Precision is 1 up to a recall of 1/3 (34 of COCO's 101 points), then 2/3 up to a
    recall of 2/3 (33 points), then 0.
    """
    found = [
        detection(1, [A], [0.9], [1]),
        detection(2, [NOWHERE, C], [0.8, 0.7], [1, 1]),
    ]
    result = evaluate_detections(TWO, found)
    wanted = (34 + 33 * 2 / 3) / 101
    assert result["AP"] == pytest.approx(wanted, abs=1e-9)
    assert result["AP50"] == result["AP75"] == pytest.approx(wanted, abs=1e-9)
    assert result["AP_large"] == pytest.approx(result["AP"])
    # With one detection of an image: A, and nowhere.
    assert result["AR_1"] == pytest.approx(1 / 3)
    assert result["AR_10"] == result["AR_100"] == pytest.approx(2 / 3)
    assert result["AP50_per_class"] == {"thing": pytest.approx(wanted, abs=1e-9)}


def test_overlap_by_hand():
    """C found with an IoU of 0.625: a hit at thresholds 0.50, 0.55 and 0.60 only."""
    shifted = [50, 50, 112.5, 150]
    found = [
        detection(1, [A], [0.9], [1]),
        detection(2, [NOWHERE, shifted], [0.8, 0.7], [1, 1]),
    ]
    result = evaluate_detections(TWO, found)
    low, high = (34 + 33 * 2 / 3) / 101, 34 / 101
    assert result["AP"] == pytest.approx((3 * low + 7 * high) / 10, abs=1e-9)
    assert result["AP50"] == pytest.approx(low, abs=1e-9)
    assert result["AP75"] == pytest.approx(high, abs=1e-9)


def test_classes_are_averaged_and_confusion_is_no_hit():
    images = BoxedImages((image(1, [A, B], [1, 2]),), ("cat", "dog", "cow"), (3, 8, 9))
    found = [detection(1, [A, B], [0.9, 0.8], [1, 1])]
    result = evaluate_detections(images, found)
    assert result["AP50_per_class"] == {"cat": 1.0, "dog": 0.0, "cow": None}
    assert result["AP"] == 0.5


def test_the_truth_is_perfect():
    result = evaluate_detections(TWO, truth(TWO))
    assert [result[name] for name in ("AP", "AP50", "AP75", "AR_100")] == [1.0] * 4
    # The three objects are large.
    assert result["AP_small"] is None and result["AR_medium"] is None


@needs_coco
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_cocos_truth_is_perfect(split):
    images = read_coco_folder(SHARED, split)
    result = evaluate_detections(images, truth(images))
    wanted = dict.fromkeys(METRICS, 1.0)
    # An image with more than 1 or 10 objects of a class cannot have them all.
    for name in ("AR_1", "AR_10"):
        assert 0 < result[name] < 1
        wanted[name] = result[name]
    assert {name: result[name] for name in METRICS} == pytest.approx(wanted, abs=1e-12)
    there = {name for name, value in result["AP50_per_class"].items() if value}
    labels = np.concatenate([image.labels[~image.crowd] for image in images.images])
    assert there == {images.class_names[label - 1] for label in labels}


def noisy(images, rng):
    """Detections near the true boxes, some missing, some nowhere, some twice."""
    found = []
    for i in images.images:
        n = len(i.boxes)
        chosen = rng.integers(0, n, size=n) if n else np.zeros(0, int)
        sides = np.tile(i.boxes[chosen, 2:] - i.boxes[chosen, :2], 2)
        boxes = i.boxes[chosen] + rng.normal(0, 0.08, (n, 4)) * sides
        wrong = rng.random(n) < 0.2
        labels = np.where(wrong, rng.integers(1, 81, n), i.labels[chosen])
        found.append(detection(i.id, boxes, rng.random(n), labels))
    return found


@needs_coco
def test_numbers_are_pycocotools_own(tmp_path, rng, capsys):
    """From COCO's own file and a result file, as its authors evaluate."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = read_coco_folder(SHARED, "val2017")
    found = noisy(images, rng)
    result = evaluate_detections(images, found)
    assert capsys.readouterr().out == ""  # quiet
    assert 0.05 < result["AP"] < 0.95
    write_detections(tmp_path / "results.json", images, found)
    coco = COCO(SHARED / "annotations" / "instances_val2017.json")
    evaluation = COCOeval(coco, coco.loadRes(str(tmp_path / "results.json")), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    # The result file has two decimals.
    for name, wanted in zip(METRICS, evaluation.stats, strict=True):
        assert result[name] == pytest.approx(wanted, abs=2e-3), name


@pytest.mark.parametrize(
    "found",
    [
        [],
        [
            detection(1, [], [], []),
            detection(2, np.zeros((5, 4)), np.zeros(5), [-1] * 5),
        ],
    ],
)
def test_no_detections_are_zero(found):
    result = evaluate_detections(TWO, found)
    assert result["AP"] == result["AP50"] == result["AR_100"] == 0.0
    assert result["AP50_per_class"] == {"thing": 0.0}


def test_no_objects_are_none():
    images = BoxedImages((image(1, [], []),), ("thing",))
    result = evaluate_detections(images, [detection(1, [A], [0.5], [1])])
    assert {result[name] for name in METRICS} == {None}
    assert result["AP50_per_class"] == {"thing": None}


def test_detections_in_images_without_objects_count_against():
    """One hit, and a better scored miss in the empty image: precision 1/2."""
    images = BoxedImages((image(1, [A], [1]), image(2, [], [])), ("thing",))
    found = [detection(1, [A], [0.5], [1]), detection(2, [B], [0.9], [1])]
    assert evaluate_detections(images, found)["AP"] == pytest.approx(0.5)


def test_crowds_count_neither_way():
    images = BoxedImages(
        (image(1, [A, [100, 0, 400, 300]], [1, 1], [False, True]),), "a"
    )
    # Better scored, and only in the crowd: it would halve the precision otherwise.
    inside = [200, 100, 240, 140]
    found = [detection(1, [inside, A], [0.9, 0.5], [1, 1])]
    assert evaluate_detections(images, found)["AP"] == 1.0
    assert evaluate_detections(images, truth(images))["AP"] == 1.0


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([detection(9, [A], [0.5], [1])], "image 9 that is not in the set"),
        ([detection(1, [A], [0.5], [1])] * 2, "image 1 twice"),
        ([detection(1, [A], [0.5], [2])], "class 2; there are 1"),
        ([detection(1, [A], [float("nan")], [1])], "Image 1 has .* not finite"),
        ([detection(1, [A, B], [0.5], [1])], "2 boxes, 1 scores and 1 labels"),
    ],
)
def test_wrong_detections_are_named(found, message):
    with pytest.raises(ValueError, match=message):
        evaluate_detections(TWO, found)


def test_result_files_have_cocos_format(tmp_path):
    images = BoxedImages((image(7, [A], [2]),), ("cat", "dog"), (3, 18))
    found = [
        detection(7, [[1.234, 2, 11.239, 22], A], np.float32([0.1234567, 0]), [2, -1])
    ]
    wanted = [
        {
            "image_id": 7,
            "category_id": 18,
            "bbox": [1.23, 2.0, 10.01, 20.0],
            "score": 0.12346,
        }
    ]
    assert to_coco_json(images, found) == wanted
    write_detections(tmp_path / "results.json", images, found)
    assert json.loads((tmp_path / "results.json").read_text()) == wanted
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_boxes_go_back_to_the_file():
    """The inverse of how they were fed, cut at the file's edges."""
    boxes = np.array(
        [[[0, 0, 1066, 800], [533, 200, 799.5, 400], [900, -9, 2000, 900]]]
    )
    back = rescale_detections(boxes, [(800, 1066)], [(480, 640)])
    wanted = [[0, 0, 640, 480], [320, 120, 480, 240], [900 * 640 / 1066, 0, 640, 480]]
    np.testing.assert_allclose(back, [wanted], rtol=1e-6)
    one = rescale_detections(boxes[0], (800, 1066), (480, 640))
    np.testing.assert_array_equal(one, back[0])
