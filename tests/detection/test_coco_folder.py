"""COCO's JSON: what is read, and what is refused by name."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_attention.detection.data import (
    BoxedImage,
    BoxedImages,
    read_coco,
    read_coco_folder,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco_small"
needs_coco = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no photographs of COCO in {SHARED}"
)

CONTENT = {
    "images": [
        {"id": 7, "file_name": "wide.png", "height": 30, "width": 60},
        {"id": 3, "file_name": "high.jpg", "height": 50, "width": 20},
    ],
    "categories": [
        {"id": 18, "name": "dog"},
        {"id": 1, "name": "person"},
        {"id": 90, "name": "toothbrush"},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 7,
            "category_id": 18,
            "bbox": [10.5, 5, 20, 12.25],
            "area": 99.5,
            "iscrowd": 0,
        },
        {
            "id": 2,
            "image_id": 7,
            "category_id": 90,
            "bbox": [0, 0, 60, 30],
            "iscrowd": 1,
        },
        {"id": 3, "image_id": 7, "category_id": 1, "bbox": [2, 3, 4, 5]},
    ],
}


def write(folder, content, split="train2017"):
    """A COCO folder with grey images and this content."""
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / split).mkdir(exist_ok=True)
    for name, size in (("wide.png", (60, 30)), ("high.jpg", (20, 50))):
        Image.new("RGB", size, (128, 128, 128)).save(folder / split / name)
    path = folder / "annotations" / f"instances_{split}.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.fixture
def content():
    return copy.deepcopy(CONTENT)


def test_boxes_labels_and_ids(tmp_path, content):
    images = read_coco_folder(write(tmp_path, content), "train2017")
    assert images.class_names == ("person", "dog", "toothbrush")
    assert images.category_ids == (1, 18, 90) and images.num_classes == 4
    wide, high = images.images
    assert (wide.id, wide.height, wide.width) == (7, 30, 60)
    assert wide.boxes.tolist() == [[10.5, 5, 30.5, 17.25], [0, 0, 60, 30], [2, 3, 6, 8]]
    assert wide.labels.tolist() == [2, 3, 1]
    assert wide.crowd.tolist() == [False, True, False]
    assert wide.areas.tolist() == [99.5, 1800, 20]
    assert high.boxes.shape == (0, 4) and high.boxes.dtype == np.float32
    assert images.dropped == 0


def test_a_plain_file_and_a_folder(tmp_path, content):
    write(tmp_path, content)
    path = tmp_path / "annotations" / "instances_train2017.json"
    images = read_coco(path, tmp_path / "train2017")
    assert [image.id for image in images.images] == [7, 3]


def test_boxes_without_area_are_counted(tmp_path, content):
    content["annotations"][0]["bbox"] = [5, 5, 0, 10]
    content["annotations"][2]["bbox"] = [5, 5, 10, 0]
    with pytest.warns(UserWarning, match="2 boxes without width or height"):
        images = read_coco_folder(write(tmp_path, content), "train2017")
    assert images.dropped == 2 and images.images[0].labels.tolist() == [3]


def change(**fields):
    """What changes the first annotation."""
    return lambda content: content["annotations"][0].update(fields)


def image(**fields):
    return lambda content: content["images"][0].update(fields)


def height_of_second(height):
    return lambda content: content["images"][1].update(height=height)


def without(*path):
    """What removes the part at a path."""

    def remove(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        content.pop(last)

    return remove


REFUSED = {
    "unknown image": (change(image_id=8), "annotation 1 is of the unknown image 8"),
    "unknown category": (change(category_id=2), "1 is of the unknown category 2"),
    "not finite": (change(bbox=[1, 2, float("nan"), 4]), "annotation 1: a box is"),
    "infinite": (change(bbox=[1, 2, 3, float("inf")]), "annotation 1: a box is"),
    "negative": (change(bbox=[1, 2, -3, 4]), r"Received: \[1, 2, -3, 4\]"),
    "three numbers": (change(bbox=[1, 2, 3]), r"Received: \[1, 2, 3\]"),
    "outside": (change(bbox=[70, 2, 3, 4]), "lies outside image 7 of 30×60"),
    "an id twice": (image(id=3), "image id 3 is given twice"),
    "an id in words": (image(id="7"), "image id '7' is no integer"),
    "leaves the folder": (image(file_name="../a.png"), "'../a.png' leaves"),
    "absolute": (image(file_name="/etc/a.png"), "'/etc/a.png' leaves"),
    "no height": (height_of_second(0), "Image 3 has a size of 0×20"),
    "no categories": (
        lambda content: content.pop("categories"),
        "KeyError.*categories",
    ),
    "no box": (without("annotations", 0, "bbox"), "KeyError.*bbox"),
    "a name twice": (
        lambda content: content["categories"][0].update(name="person"),
        "class names must be unique.*'person'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_contradicts_itself_is_refused(tmp_path, content, case):
    spoil, message = REFUSED[case]
    spoil(content)
    with pytest.raises(ValueError, match=f"instances_train2017.json: .*{message}"):
        read_coco_folder(write(tmp_path, content), "train2017")


def test_a_truncated_file_is_refused(tmp_path, content):
    write(tmp_path, json.dumps(content)[:-30])
    with pytest.raises(ValueError, match="train2017.json is no JSON file.*to its end"):
        read_coco_folder(tmp_path, "train2017")


def test_another_json_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not COCO's: it is a list"):
        read_coco_folder(write(tmp_path, "[1, 2]"), "train2017")


def test_missing_files_are_counted_and_named(tmp_path, content):
    write(tmp_path, content)
    (tmp_path / "train2017" / "high.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 2 image files.*high.jpg"):
        read_coco_folder(tmp_path, "train2017")


def test_an_unknown_split_tells_those_there(tmp_path, content):
    write(tmp_path, content)
    with pytest.raises(FileNotFoundError, match="instances_val2017.*: train2017"):
        read_coco_folder(tmp_path, "val2017")
    with pytest.raises(FileNotFoundError, match="no folder"):
        read_coco_folder(tmp_path / "nowhere", "val2017")


def test_a_file_of_another_size_is_refused_when_it_is_read(tmp_path, content):
    content["images"][0].update(height=60, width=30)
    content["annotations"] = []
    images = read_coco_folder(write(tmp_path, content), "train2017")
    with pytest.raises(ValueError, match=r"wide.png has 30×60 pixels.*for 60×30"):
        images.images[0].read_pixels()


def blocks(rng):
    """An image of flat 8 × 8 blocks in random colours."""
    return np.kron(
        rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8)
    )


def saved(path, picture, **options):
    picture.save(path, **options)
    return BoxedImage(1, picture.height, picture.width, [], [], path=path)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_are_decoded_as_pillow_does(tmp_path, rng, mode):
    picture = Image.fromarray(blocks(rng)).convert(mode)
    image = saved(tmp_path / "a.jpg", picture, quality=80)
    with Image.open(image.path) as file:
        wanted = np.asarray(file.convert("RGB"))
    np.testing.assert_array_equal(image.read_pixels(), wanted)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pngs_are_decoded_as_pillow_does(tmp_path, rng, mode):
    picture = Image.fromarray(blocks(rng)).convert(mode)
    image = saved(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(
        image.read_pixels(), np.asarray(picture.convert("RGB"))
    )


def test_a_rotation_in_exif_is_not_applied(tmp_path, rng):
    turn = Image.Exif()
    turn[0x0112] = 6  # a quarter to the right
    image = saved(tmp_path / "a.jpg", Image.fromarray(blocks(rng)), exif=turn)
    assert image.read_pixels().shape == (40, 56, 3)


def test_no_image_is_refused_by_name(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff, but no more")
    image = BoxedImage(1, 4, 4, [], [], path=path)
    with pytest.raises(ValueError, match="a.jpg cannot be decoded.*: ."):
        image.read_pixels()


def test_records_check_what_they_are_given():
    pixels = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r"box \[3.0, 1.0, 1.0, 2.0\]"):
        BoxedImage(1, 4, 4, [[0, 0, 1, 1], [3, 1, 1, 2]], [1, 1], pixels=pixels)
    with pytest.raises(ValueError, match="the label 0; labels start at 1"):
        BoxedImage(1, 4, 4, [[0, 0, 1, 1]], [0], pixels=pixels)
    with pytest.raises(ValueError, match=r"1 boxes, but `labels` of shape \(2,\)"):
        BoxedImage(1, 4, 4, [[0, 0, 1, 1]], [1, 2], pixels=pixels)
    image = BoxedImage(1, 4, 4, [[0, 0, 1, 1]], [3], pixels=pixels)
    with pytest.raises(ValueError, match="label 3, but there are 2 classes"):
        BoxedImages((image,), ("a", "b"))
    with pytest.raises(ValueError, match="image ids must be unique.*1"):
        BoxedImages((image, image), ("a", "b", "c"))
    with pytest.raises(ValueError, match="one rising number for each of the 3"):
        BoxedImages((image,), ("a", "b", "c"), (1, 3, 2))


@needs_coco
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_coco_is_as_pycocotools_reads_it(split):
    module = pytest.importorskip("pycocotools.coco")
    coco = module.COCO(SHARED / "annotations" / f"instances_{split}.json")
    images = read_coco_folder(SHARED, split)
    assert images.class_names[0] == "person" and len(images.class_names) == 80
    assert [image.id for image in images.images] == list(coco.imgs)
    assert sum(image.crowd.sum() for image in images.images) > 0
    for image in images.images:
        annotations = coco.loadAnns(coco.getAnnIds([image.id]))
        x, y, w, h = np.reshape([a["bbox"] for a in annotations], (-1, 4)).T
        np.testing.assert_allclose(
            image.boxes, np.stack([x, y, x + w, y + h], 1), rtol=1e-6
        )
        assert [images.category_ids[label - 1] for label in image.labels] == [
            a["category_id"] for a in annotations
        ]
        assert image.crowd.tolist() == [a["iscrowd"] == 1 for a in annotations]
        assert image.areas.tolist() == [a["area"] for a in annotations]
