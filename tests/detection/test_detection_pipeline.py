"""Batches for detectors: sizes, boxes that stay on their objects, and the order."""

import numpy as np
import pytest

from keras_attention.detection.data import (
    BoxedImage,
    BoxedImages,
    detection_pipeline,
    steps_per_epoch,
)
from keras_attention.detection.data.batching import Batching
from keras_attention.detection.data.cropping import FILL, random_crop, zoom_out
from keras_attention.detection.data.examples import Example
from keras_attention.detection.data.resizing import Sizing, scale_boxes

RED, GREEN = 1, 2  # labels, which are also the colours of the objects


def planted(id, height, width, boxes, labels, crowd=None):
    """A black image whose objects are bright rectangles, in the colour of the label."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        pixels[y1:y2, x1:x2, label - 1] = 255
    return BoxedImage(id, height, width, boxes, labels, crowd, pixels=pixels)


def found(pixels, label):
    """xyxy of the pixels that are mostly of a label's colour."""
    rows, columns = np.nonzero(pixels[..., label - 1] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def many(count=10):
    """Images of several sizes, each with a red and a green object; two have none."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(count):
        height, width = ((40, 60), (60, 40), (50, 50), (30, 70))[number % 4]
        objects = []
        for _ in range(0 if number in (3, 6) else 2):
            x, y = rng.integers(0, width - 20), rng.integers(0, height - 20)
            w, h = rng.integers(12, 20, 2)
            objects.append([x, y, x + w, y + h])
        images.append(
            planted(100 + number, height, width, objects, [1, 2][: len(objects)])
        )
    return BoxedImages(tuple(images), ("red", "green"))


def run(images, **options):
    """All batches, as dictionaries of NumPy arrays."""
    options = {"batch_size": 4, "short_side": 64, "long_side": 128} | options
    return list(detection_pipeline(images, **options).as_numpy_iterator())


def ids(batches):
    return np.concatenate([batch["ids"] for batch in batches]).tolist()


def check_objects(batch, tolerance=1.01):
    """Each object must fill its box: edges differ by no more than a pixel."""
    seen = 0
    for pixels, boxes, labels in zip(
        batch["images"], batch["boxes"], batch["labels"], strict=True
    ):
        for box, label in zip(boxes, labels, strict=True):
            if label > 0:
                np.testing.assert_allclose(found(pixels, label), box, atol=tolerance)
                seen += 1
    return seen


# --- sizes


@pytest.mark.parametrize(
    ("file", "fed"),
    [
        ((480, 640), (800, 1066)),  # 800 / 480, and 1066.67 rounded down
        ((640, 480), (1066, 800)),
        ((313, 500), (800, 1277)),
        ((300, 900), (444, 1333)),  # the longer side decides
        ((1600, 1600), (800, 800)),
        ((5000, 10), (1333, 2)),
    ],
)
def test_an_image_is_scaled_until_a_side_is_reached(file, fed):
    assert Sizing().of_image(*file) == fed


def test_a_batch_holds_every_image_in_a_multiple():
    sizing = Sizing()
    assert sizing.of_batch([(480, 640), (313, 500)]) == (800, 1280)
    assert sizing.of_batch([(480, 640), (640, 480)]) == (1088, 1088)
    assert Sizing(multiple=1).of_batch([(313, 500)]) == (800, 1277)
    assert Sizing(size=(300, 200)).of_batch([(313, 500)]) == (300, 200)


def bilinear(pixels, size):
    """Half-pixel centres, edges repeated, one pixel at a time."""
    height, width = pixels.shape[:2]
    result = np.zeros((*size, 3))
    for i, j in np.ndindex(size):
        y = np.clip((i + 0.5) * height / size[0] - 0.5, 0, height - 1)
        x = np.clip((j + 0.5) * width / size[1] - 0.5, 0, width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        upper = pixels[top, left] * (1 - x + left) + pixels[top, right] * (x - left)
        lower = pixels[bottom, left] * (1 - x + left) + pixels[bottom, right] * (
            x - left
        )
        result[i, j] = upper * (1 - y + top) + lower * (y - top)
    return result


@pytest.mark.parametrize("short_side", [9, 23])
def test_pixels_are_resized_bilinearly_and_padded_with_zeros(rng, short_side):
    pixels = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    images = BoxedImages((BoxedImage(1, 15, 20, [], [], pixels=pixels),), ("a",))
    [batch] = run(images, short_side=short_side, training=False)
    height, width = batch["sizes"][0]
    assert (height, width) == (short_side, short_side * 20 // 15)
    fed = batch["images"][0]
    assert fed.shape == (32, 32, 3) and fed.dtype == np.float32
    wanted = bilinear(pixels.astype(float), (height, width))
    np.testing.assert_allclose(fed[:height, :width], wanted, atol=1e-3)
    assert not fed[height:].any() and not fed[:, width:].any()


def test_boxes_are_scaled_by_the_actual_sizes():
    """1066 / 640, not 800 / 480: a box at the right edge stays there."""
    boxes = scale_boxes(
        [[0, 0, 640, 480], [320, 120, 480, 240]], (480, 640), (800, 1066)
    )
    np.testing.assert_allclose(boxes[0], [0, 0, 1066, 800])
    np.testing.assert_allclose(boxes[1], [533, 200, 799.5, 400])
    batch = scale_boxes(np.ones((2, 1, 4)), [(1, 1), (2, 2)], [(3, 5), (8, 4)])
    assert batch.tolist() == [[[5, 3, 5, 3]], [[2, 4, 2, 4]]]


def test_boxes_that_pass_the_edge_are_cut():
    image = BoxedImage(
        *(1, 10, 20, [[-3, 2, 21, 11]], [1]), pixels=np.zeros((10, 20, 3), np.uint8)
    )
    [batch] = run(BoxedImages((image,), ("a",)), size=(20, 40), training=False)
    assert batch["boxes"][0].tolist() == [[0, 4, 40, 20]]


# --- batches


def test_evaluation_takes_every_image_once_in_order():
    images = many()
    batches = run(images, training=False)
    assert ids(batches) == [image.id for image in images.images]
    assert [len(batch["ids"]) for batch in batches] == [4, 4, 2]
    assert sum(map(check_objects, batches)) == 16
    originals = np.concatenate([batch["originals"] for batch in batches])
    assert originals.tolist() == [[i.height, i.width] for i in images.images]


def test_batches_have_one_static_shape():
    dataset = detection_pipeline(
        many(), batch_size=4, short_side=64, long_side=128, training=True
    )
    shapes = {name: tuple(spec.shape) for name, spec in dataset.element_spec.items()}
    # 64 × 96 and 96 × 64, 64 × 64, and 54 × 128.
    assert shapes == {
        "images": (4, 96, 128, 3),
        "sizes": (4, 2),
        "boxes": (4, 2, 4),
        "labels": (4, 2),
        "crowd": (4, 2),
        "ids": (4,),
        "originals": (4, 2),
    }
    types = {name: spec.dtype.name for name, spec in dataset.element_spec.items()}
    assert types == {
        "images": "float32",
        "sizes": "int32",
        "boxes": "float32",
        "labels": "int32",
        "crowd": "bool",
        "ids": "int64",
        "originals": "int32",
    }
    assert int(dataset.cardinality()) == 3


def test_images_without_boxes_are_kept():
    batches = run(many(), training=True)
    empty = [b["labels"][b["ids"] == 103] for b in batches if 103 in b["ids"]]
    assert empty and (empty[0] == -1).all()
    none = BoxedImages((planted(1, 20, 20, [], []),), ("red",))
    [batch] = run(none, training=True, batch_size=1)
    assert batch["labels"].tolist() == [[-1]] and not batch["boxes"].any()


def test_what_fills_up_is_minus_one_with_zeros():
    images = BoxedImages(
        (
            planted(1, 20, 20, [[1, 2, 9, 9]] * 3, [1, 2, 1], [False, True, False]),
            planted(2, 20, 20, [[3, 3, 8, 8]], [2]),
        ),
        ("red", "green"),
    )
    [batch] = run(images, training=False, size=(20, 20), max_boxes=5)
    assert batch["labels"].tolist() == [[1, 2, 1, -1, -1], [2, -1, -1, -1, -1]]
    assert batch["crowd"].tolist() == [[False, True, False, False, False], [False] * 5]
    assert not batch["boxes"][batch["labels"] < 0].any()


def test_the_largest_boxes_are_kept_with_a_warning():
    boxes = [[0, 0, 5, 5], [0, 0, 20, 20], [0, 0, 10, 10], [0, 0, 30, 30]]
    crowd = [False, False, False, True]
    images = BoxedImages((planted(1, 30, 30, boxes, [1, 1, 2, 2], crowd),), ("a", "b"))
    with pytest.warns(UserWarning, match="1 of 1 images have more than max_boxes=2"):
        [batch] = run(images, training=False, size=(30, 30), max_boxes=2)
    assert batch["boxes"][0].tolist() == [boxes[1], boxes[2]]
    assert batch["labels"][0].tolist() == [1, 2]


@pytest.mark.parametrize("training", [False, True])
def test_orientations_are_not_mixed(training):
    images = many(12)
    batches = run(images, training=training, orientations=True, batch_size=2)
    shapes = {batch["images"].shape[1:3] for batch in batches}
    assert shapes == {(64, 128), (96, 64)}
    for batch in batches:
        wide = batch["originals"][:, 1] >= batch["originals"][:, 0]
        assert len(set(wide)) == 1
        check_objects(batch)
    assert set(ids(batches)) == {image.id for image in images.images}
    if training:
        # 9 wide images fill 5 batches of 2, 3 high ones 2.
        assert len(batches) == steps_per_epoch(images, 2, orientations=True) == 7
    parts = images.by_orientation()
    assert [len(part) for part in parts] == [9, 3]
    assert {b["images"].shape[1:3] for b in run(parts[1], training=False)} == {(96, 64)}


# --- the order


def test_every_image_is_seen_and_the_last_batch_is_completed():
    images = many()
    batches = run(images, training=True)
    assert len(batches) == steps_per_epoch(images, 4) == 3
    assert all(len(batch["ids"]) == 4 for batch in batches)
    assert sorted(set(ids(batches))) == [image.id for image in images.images]
    left_out = run(images, training=True, drop_remainder=True)
    assert len(left_out) == steps_per_epoch(images, 4, drop_remainder=True) == 2
    assert len(set(ids(left_out))) == 8


def test_more_than_one_round_fills_a_batch():
    [batch] = run(many(3), training=True, batch_size=8)
    assert sorted(np.unique(batch["ids"], return_counts=True)[1]) == [2, 3, 3]


@pytest.mark.parametrize("options", [{}, {"orientations": True}])
def test_a_resumed_run_sees_what_it_would_have_seen(options):
    options |= {"training": True, "seed": 3}
    whole = run(many(), **options, epochs=3)
    resumed = run(many(), **options, first_epoch=1, epochs=3)
    steps = len(whole) // 3
    assert len(resumed) == 2 * steps
    for wanted, batch in zip(whole[steps:], resumed, strict=True):
        for name in wanted:
            np.testing.assert_array_equal(batch[name], wanted[name])


def test_epochs_and_seeds_differ():
    epochs = run(many(), training=True, epochs=2)
    assert ids(epochs[:3]) != ids(epochs[3:])
    assert ids(run(many(), training=True, seed=1)) != ids(epochs[:3])


def test_epochs_shuffle_images_and_batches():
    """Both which images share a batch, and how batches of two groups alternate."""
    batching = Batching((np.arange(20), np.arange(20, 40)), 4, False, seed=0)
    rows = [row.tolist() for row, _ in batching.batches(0, 2).as_numpy_iterator()]
    first, second = rows[:10], rows[10:]
    for epoch in (first, second):
        assert sorted(np.ravel(epoch)) == list(range(40))
        assert all(max(row) < 20 or min(row) >= 20 for row in epoch)
    assert not {frozenset(row) for row in first} & {frozenset(row) for row in second}
    alternate = [[min(row) >= 20 for row in epoch] for epoch in (first, second)]
    assert alternate[0] != alternate[1] and sorted(alternate[0]) != alternate[0]


# --- augmentation


def test_half_of_the_images_are_flipped_with_their_boxes():
    image = planted(1, 40, 60, [[3, 5, 20, 30]], [1])
    images = BoxedImages((image,), ("red",))
    batches = run(images, training=True, batch_size=1, epochs=60, size=(40, 60))
    assert sum(map(check_objects, batches)) == 60
    flipped = sum(batch["boxes"][0, 0, 0] > 10 for batch in batches)
    assert 15 <= flipped <= 45  # 30 ± 4 standard deviations
    [kept] = run(images, training=True, batch_size=1, size=(40, 60), flip=False)
    assert kept["boxes"][0].tolist() == [[3, 5, 20, 30]]


def test_objects_stay_in_their_boxes_through_crops():
    batches = run(many(), training=True, crops=True, size=(96, 96), epochs=8)
    # An object is magnified up to 96 / (0.3 · 30) times; edges blur as much.
    seen = 0
    for batch in batches:
        assert (batch["sizes"] == 96).all()
        scale = 96 / (0.3 * 30)
        seen += check_objects(batch, tolerance=scale / 2 + 1)
    assert seen > 100
    again = run(many(), training=True, crops=True, size=(96, 96), epochs=8)
    for one, other in zip(batches, again, strict=True):
        np.testing.assert_array_equal(one["images"], other["images"])


def example(height=60, width=100, crowd=(False, False)):
    image = planted(1, height, width, [[5, 5, 30, 40], [50, 20, 90, 50]], [1, 2])
    return Example(image.pixels, image.boxes, image.labels, np.array(crowd))


def test_crops_keep_an_object_and_the_papers_proportions(rng):
    whole, sizes = 0, []
    for _ in range(300):
        crop = random_crop(example(), rng)
        height, width = crop.size
        if (height, width) == (60, 100):
            whole += 1
            assert len(crop.boxes) == 2
            continue
        sizes.append((height, width))
        assert 0.5 <= width / height <= 2
        assert height >= 0.3 * 60 - 1 and width >= 0.3 * 100 - 1
        assert len(crop.boxes) >= 1
        assert (crop.boxes >= 0).all() and (crop.boxes[:, 2] <= width).all()
        for box, label in zip(crop.boxes, crop.labels, strict=True):
            assert found(crop.pixels, label) == box.tolist()
            # The centre of the object is in the crop: half of each side is, too.
            full = example().boxes[label - 1]
            sides, uncut = box[2:] - box[:2], full[2:] - full[:2]
            assert (2 * sides >= uncut).all()
    assert whole > 300 / 7 / 2  # one of seven choices, and those that never suit
    assert len(set(sizes)) > 100


def test_the_chosen_overlap_is_reached(rng, monkeypatch):
    from keras_attention.detection.data import cropping

    monkeypatch.setattr(cropping, "LEAST_OVERLAPS", (0.7,))
    whole = example()
    for _ in range(20):
        crop = random_crop(whole, rng)
        area = np.prod(crop.size)
        overlaps = []
        for box, label in zip(crop.boxes, crop.labels, strict=True):
            common = np.prod(box[2:] - box[:2])
            full = whole.boxes[label - 1]
            union = area + np.prod(full[2:] - full[:2]) - common
            overlaps.append(common / union)
        assert max(overlaps) >= 0.7


def test_crowds_stay_in_crops_and_call_for_none(rng):
    for _ in range(100):
        crop = random_crop(example(crowd=(True, False)), rng)
        assert GREEN in crop.labels
        # A crowd whose pixels are seen keeps its box, wherever its centre is.
        assert (RED in crop.labels) == bool((crop.pixels[..., 0] > 0).any())
        assert crop.crowd.tolist() == [label == RED for label in crop.labels]
    alone = random_crop(example(crowd=(True, True)), rng)
    assert alone.size == (60, 100)


def test_zooming_out_fills_with_the_mean_colour(rng):
    zoomed = 0
    for _ in range(100):
        result = zoom_out(example(), rng)
        if result.size == (60, 100):
            continue
        zoomed += 1
        height, width = result.size
        assert 60 <= height <= 240 and 100 <= width <= 400
        assert height / 60 == pytest.approx(width / 100, abs=0.02)
        for box, label in zip(result.boxes, result.labels, strict=True):
            assert found(result.pixels, label) == box.tolist()
        colours = (result.pixels == FILL).all(axis=-1)
        assert colours.sum() == height * width - 60 * 100
    assert 30 <= zoomed <= 70


# --- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": True}, "`crops` needs `size`"),
        ({"training": False, "drop_remainder": True}, "Evaluation takes every image"),
        ({"batch_size": 0}, "`batch_size` must be an integer of at least 1"),
        ({"training": False, "batch_size": 0}, "`batch_size` must be an integer"),
        ({"batch_size": 11, "drop_remainder": True}, r"fills a batch of 11.*\[10\]"),
        ({"size": 300}, r"`size` must be \(height, width\)"),
        ({"short_side": 0}, "`short_side` must be an integer of at least 1"),
        ({"max_boxes": 0}, "`max_boxes` must be an integer of at least 1"),
        ({"seed": -1}, "The seed must be an integer from 0"),
        ({"first_epoch": 2, "epochs": 2}, "0 ≤ first_epoch < epochs"),
    ],
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        run(many(), **({"training": True} | options))


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no images"):
        run(BoxedImages((), ("a",)), training=True)


def test_a_broken_file_is_named_while_it_runs(tmp_path):
    from tensorflow.errors import OpError

    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    images = BoxedImages((BoxedImage(1, 4, 4, [], [], path=path),), ("a",))
    with pytest.raises(OpError, match="broken.png cannot be decoded"):
        run(images, training=False)
