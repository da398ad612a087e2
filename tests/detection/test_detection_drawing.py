"""Pictures of boxes: where lines and captions are."""

import numpy as np
import pytest

from keras_attention.detection.data import BoxedImage, BoxedImages
from keras_attention.detection.drawing import (
    draw_boxes,
    draw_detections,
    write_detection_panels,
)
from keras_attention.visualization.style import COLOURS

pytest.importorskip("matplotlib")
NAMES = ("dog", "person")
GREY = np.full((120, 200, 3), 128, np.uint8)


def rgb(colour):
    return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)])


def coloured(picture, colour):
    """bool (height, width): the pixels of a colour."""
    return np.abs(picture.astype(int) - rgb(colour)).max(axis=-1) < 25


def axes():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def test_lines_are_at_the_boxes_edges():
    box = np.array([[40.0, 30.0, 160.0, 100.0]])
    picture = draw_detections(GREY, box, np.array([1]), class_names=NAMES)
    assert picture.shape == GREY.shape and picture.dtype == np.uint8
    drawn = coloured(picture, COLOURS[0])
    for row, column in ((65, 40), (65, 160), (100, 120), (30, 120)):
        around = drawn[row - 1 : row + 1, column - 1 : column + 1]
        assert around.any(), (row, column)
    # Inside and outside of lines and caption, the image is as it was.
    assert (picture[40:90, 50:150] == 128).all()
    assert (picture[110:] == 128).all() and (picture[:, 170:] == 128).all()
    assert (GREY == 128).all()


def test_classes_have_their_colours():
    boxes = np.array([[20, 40, 60, 80], [120, 40, 180, 80]])
    picture = draw_detections(GREY, boxes, np.array([1, 2]), class_names=NAMES)
    for number, half in enumerate((picture[:, :100], picture[:, 100:])):
        assert coloured(half, COLOURS[number]).sum() > 100
        assert coloured(half, COLOURS[1 - number]).sum() == 0


def test_captions_and_what_is_not_drawn():
    boxes = np.tile([10.0, 10.0, 50.0, 50.0], (4, 1))
    labels, scores = np.array([1, 2, 2, -1]), np.array([0.874, 0.2, 0.5, 0.9])
    options = {"class_names": NAMES, "min_score": 0.3}
    # The best one last, on top.
    captions = draw_boxes(axes(), GREY, boxes, labels, scores, **options)
    assert captions == ["person 0.50", "dog 0.87"]


def test_small_true_boxes_lie_on_top():
    boxes = np.array([[10, 10, 20, 20], [0, 0, 100, 100]])
    drawn = draw_boxes(axes(), GREY, boxes, np.array([1, 2]), class_names=NAMES)
    assert drawn == ["person", "dog"]


def test_a_crowd_is_dashed():
    where = axes()
    boxes, labels = np.array([[10, 10, 90, 90], [20, 20, 99, 99]]), np.array([1, 1])
    draw_boxes(
        where, GREY, boxes, labels, crowd=np.array([True, False]), class_names=NAMES
    )
    lines = {p.get_x(): p.get_linestyle() for p in where.patches}
    assert lines == {9.5: "dashed", 19.5: "solid"}


@pytest.mark.parametrize("box", [[190, 60, 199, 80], [60, 0, 90, 20]])
def test_captions_stay_in_the_image(box):
    """At the right edge and at the top, as much of the white letters is seen."""
    name = ("a long name",)
    edge = draw_detections(GREY, np.array([box]), np.array([1]), class_names=name)
    middle = np.array([[60, 60, 69, 80]])
    free = draw_detections(GREY, middle, np.array([1]), class_names=name)
    text = [(picture.min(axis=-1) > 180).sum() for picture in (edge, free)]
    assert text[0] == pytest.approx(text[1], rel=0.2) and text[1] > 30


def test_names_are_no_formulas():
    draw_detections(GREY, np.array([[9, 9, 90, 90]]), [1], class_names=("$\\frac$",))


def test_no_boxes_leave_the_image():
    picture = draw_detections(GREY, [], np.zeros(0, int), class_names=NAMES)
    assert (picture == GREY).all()


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], None, r"1 boxes, but `labels` has the shape \(2,\)"),
        ([1], [0.5, 0.5], "`scores` has the shape"),
        ([3], None, "label 3 has no name: there are 2"),
    ],
)
def test_wrong_shapes_are_named(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        draw_detections(
            GREY, np.zeros((1, 4)), np.array(labels), scores, class_names=NAMES
        )


def test_panels_show_truth_beside_detections(tmp_path):
    from matplotlib import image

    one = BoxedImage(5, 120, 200, [[40, 30, 160, 100]], [1], pixels=GREY)
    two = BoxedImage(6, 120, 200, [], [], pixels=GREY)
    images = BoxedImages((one, two), NAMES)
    found = [
        {"id": 5, "boxes": [[40, 30, 160, 100]], "labels": [2], "scores": [0.9]},
    ]
    write_detection_panels(tmp_path / "panels.png", images, found)
    assert [path.name for path in tmp_path.iterdir()] == ["panels.png"]
    picture = (image.imread(tmp_path / "panels.png")[..., :3] * 255).round()
    height, width = picture.shape[:2]
    left, right = (
        picture[: height // 2, : width // 2],
        picture[: height // 2, width // 2 :],
    )
    assert coloured(left, COLOURS[0]).any() and not coloured(left, COLOURS[1]).any()
    assert coloured(right, COLOURS[1]).any() and not coloured(right, COLOURS[0]).any()
    # An image without boxes on either side.
    assert not coloured(picture[height // 2 + 30 :], COLOURS[0]).any()
    with pytest.raises(ValueError, match="no image to draw"):
        write_detection_panels(tmp_path / "none.png", images, found, most=0)
