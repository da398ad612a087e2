"""Default boxes: torchvision's at 300 pixels, closed forms, a loop."""

import math
from pathlib import Path

import numpy as np
import pytest

from keras_attention.detection import DefaultBoxes
from keras_attention.detection.default_boxes import default_boxes
from keras_attention.detection.ssd import BOXES_300

FILE = Path(__file__).parents[1] / "references" / "torchvision_ssd300.npz"
MAPS_300 = [(n, n) for n in (38, 19, 10, 5, 3, 1)]


def test_those_of_torchvisions_ssd300():
    boxes = default_boxes((300, 300), MAPS_300, BOXES_300)
    assert boxes.shape == (8732, 4) and boxes.dtype == "float32"
    with np.load(FILE) as file:
        np.testing.assert_array_equal(boxes[::7], file["default_boxes"])
        places = np.prod(MAPS_300, axis=1)
        counts = places * BOXES_300.per_place(6)
        np.testing.assert_array_equal(counts, file["boxes_per_map"])


def test_of_one_place():
    """Sides 0.5, √(0.5 · 0.98) = 0.7, and 0.5 · 2 by 0.5 / 2, of 200×100 pixels."""
    layout = DefaultBoxes(scales=(0.5, 0.98), aspect_ratios=((4,),))
    expected = [
        (25, 50, 75, 150),
        (15, 30, 85, 170),
        (0, 75, 100, 125),
        (37.5, 0, 62.5, 200),
    ]
    boxes = default_boxes((200, 100), [(1, 1)], layout)
    np.testing.assert_allclose(boxes, expected, rtol=1e-6)


def test_no_side_is_longer_than_the_images():
    """√(0.9 · 1.6) = 1.2 and 0.9 · √3 = 1.56 are cut to 1, 0.9 / √3 is not."""
    layout = DefaultBoxes(scales=(0.9, 1.6), aspect_ratios=((3,),))
    boxes = default_boxes((100, 100), [(1, 1)], layout)
    sides = boxes[:, 2:] - boxes[:, :2]
    short = 90 / math.sqrt(3)
    expected = [(90, 90), (100, 100), (100, short), (short, 100)]
    np.testing.assert_allclose(sides, expected, rtol=1e-6)


def looped(image_size, maps, scales, ratios, steps):
    height, width = image_size
    boxes = []
    for k, (rows, columns) in enumerate(maps):
        down = steps[k] if steps else height / rows
        across = steps[k] if steps else width / columns
        shapes = [(scales[k], scales[k]), 2 * (math.sqrt(scales[k] * scales[k + 1]),)]
        for a in ratios[k]:
            shapes.append((scales[k] * math.sqrt(a), scales[k] / math.sqrt(a)))
            shapes.append(shapes[-1][::-1])
        for i in range(rows):
            for j in range(columns):
                x, y = (j + 0.5) * across, (i + 0.5) * down
                for w, h in shapes:
                    w, h = min(w, 1) * width / 2, min(h, 1) * height / 2
                    boxes.append((x - w, y - h, x + w, y + h))
    return np.array(boxes)


@pytest.mark.parametrize("steps", (None, (16, 40)))
def test_of_an_image_that_is_no_square(steps):
    size, maps, scales = (96, 160), [(6, 10), (3, 4)], (0.2, 0.5, 0.8)
    ratios = ((2, 3), ())
    layout = DefaultBoxes(scales, ratios, steps)
    boxes = default_boxes(size, maps, layout)
    expected = looped(size, maps, scales, ratios, steps)
    np.testing.assert_allclose(boxes, expected, atol=1e-4)


def test_defaults():
    layout = DefaultBoxes()
    assert layout.aspect_ratios_of(6) == BOXES_300.aspect_ratios
    assert layout.aspect_ratios_of(2) == ((2,), (2,))
    np.testing.assert_allclose(layout.scales_of(4), (0.15, 0.4, 0.65, 0.9, 1.0))
    assert layout.scales_of(1) == (0.15, 1.0)
    assert layout.steps_of(3) is None
    assert layout.per_place(4) == (4, 6, 4, 4)


def test_lists_as_files_have_them():
    read = DefaultBoxes.read("boxes", BOXES_300.to_dict())
    assert read == BOXES_300
    lists = DefaultBoxes([0.1, 0.2], [[2, 3]], [8])
    assert hash(lists) == hash(DefaultBoxes((0.1, 0.2), ((2, 3),), (8,)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": 0.2}, "`scales`.*0.2"),
        ({"scales": (0.2, 0)}, "`scales`.*above 0.*0"),
        ({"aspect_ratios": (2, 3)}, r"for each map.*\(2, 3\)"),
        ({"aspect_ratios": ((2, -1),)}, "`aspect_ratios`.*-1"),
        ({"steps": ("8",)}, "`steps`.*'8'"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DefaultBoxes(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": (0.2, 0.4)}, "`scales` needs.*one more, here 3"),
        ({"aspect_ratios": ((2,),)}, "`aspect_ratios` needs.*each map, here 2"),
        ({"steps": (8,)}, "`steps` needs.*each map, here 2"),
    ],
)
def test_settings_for_another_number_of_maps(arguments, message):
    with pytest.raises(ValueError, match=message):
        default_boxes((64, 64), [(8, 8), (4, 4)], DefaultBoxes(**arguments))
