"""Boxes of TensorFlow Datasets, from sets prepared in a temporary folder."""

from pathlib import Path

import numpy as np
import pytest

from keras_attention.detection.data import read_coco_folder, read_tfds_boxes
from keras_attention.detection.data.tfds_boxes import COCO_IDS

tfds = pytest.importorskip("tensorflow_datasets")
COCO = Path(__file__).resolve().parents[3] / "shared" / "data" / "coco_small"


def picture(height, width):
    """A PNG whose red is its row and green its column."""
    rows, columns = np.indices((height, width), dtype=np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1)


def voc_object(name, box, difficult=False):
    return {
        "label": name,
        "bbox": tfds.features.BBox(*box),
        "is_difficult": difficult,
    }


# VOC's features, as far as they are read; relative boxes are ymin, xmin, ymax, xmax.
EXAMPLES = [
    (picture(40, 80), [voc_object("dog", (0.25, 0.5, 0.5, 0.75))]),
    (
        picture(100, 50),
        [
            voc_object("person", (0.0, 0.0, 1.0, 1.0), difficult=True),
            voc_object("dog", (0.1, 0.2, 0.3, 0.4)),
        ],
    ),
    (picture(30, 30), []),
]


class TinyBoxes(tfds.core.GeneratorBasedBuilder):
    """A set in VOC's form."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        objects = {
            "label": tfds.features.ClassLabel(names=["dog", "person"]),
            "bbox": tfds.features.BBoxFeature(),
            "is_difficult": np.bool_,
        }
        features = {
            "image": tfds.features.Image(),
            "objects": tfds.features.Sequence(objects),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, (pixels, objects) in enumerate(EXAMPLES):
            yield number, {"image": pixels, "objects": objects}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyBoxes(data_dir=str(folder)).download_and_prepare()
    return folder


def by_height(images):
    return {image.height: image for image in images.images}


def test_relative_boxes_become_pixels(prepared):
    images = read_tfds_boxes("tiny_boxes", "train", data_dir=prepared)
    assert images.class_names == ("dog", "person") and images.num_classes == 3
    wide, high, empty = (by_height(images)[height] for height in (40, 100, 30))
    np.testing.assert_allclose(wide.boxes, [[40, 10, 60, 20]])
    assert wide.labels.tolist() == [1] and wide.areas.tolist() == [200]
    np.testing.assert_allclose(
        high.boxes, [[0, 0, 50, 100], [10, 10, 20, 30]], rtol=1e-6
    )
    assert high.labels.tolist() == [2, 1]
    assert empty.boxes.shape == (0, 4) and empty.labels.shape == (0,)


def test_difficult_objects_are_crowds(prepared):
    images = read_tfds_boxes("tiny_boxes", "train", data_dir=prepared)
    assert by_height(images)[100].crowd.tolist() == [True, False]
    assert by_height(images)[40].crowd.tolist() == [False]


def test_each_image_has_its_own_pixels(prepared):
    images = read_tfds_boxes("tiny_boxes", "train", data_dir=prepared)
    for image in reversed(images.images):
        pixels = image.read_pixels()
        np.testing.assert_array_equal(pixels, picture(image.height, image.width))


def test_a_part_of_a_split(prepared):
    whole = read_tfds_boxes("tiny_boxes", "train", data_dir=prepared)
    part = read_tfds_boxes("tiny_boxes", "train[1:]", data_dir=prepared)
    assert [i.height for i in part.images] == [i.height for i in whole.images[1:]]
    assert [image.id for image in part.images] == [1, 2]


def test_a_truncated_file_is_named(prepared, tmp_path):
    TinyBoxes(data_dir=str(tmp_path)).download_and_prepare()
    [file] = tmp_path.rglob("*.tfrecord*")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"{file.name}.* ends before record 2 of 3"):
        read_tfds_boxes("tiny_boxes", "train", data_dir=tmp_path)


def test_an_unknown_split_tells_the_splits(prepared):
    with pytest.raises(ValueError, match="split of tiny_boxes.*'tain'.*'train'"):
        read_tfds_boxes("tiny_boxes", "tain", data_dir=prepared)


def test_nothing_is_downloaded_unasked(tmp_path):
    with pytest.raises(FileNotFoundError, match="coco/2017.*--download"):
        read_tfds_boxes("coco/2017", "train", data_dir=tmp_path)


def test_a_set_for_classification_is_refused(tmp_path):
    class TinyClasses(TinyBoxes):
        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _generate_examples(self):
            yield 0, {"image": picture(8, 8), "label": 1}

    TinyClasses(data_dir=str(tmp_path)).download_and_prepare()
    with pytest.raises(ValueError, match="no set for detection.*image, label"):
        read_tfds_boxes("tiny_classes", "train", data_dir=tmp_path)


@pytest.mark.skipif(not COCO.is_dir(), reason=f"no photographs of COCO in {COCO}")
def test_coco_through_tfds_is_coco_from_its_files(tmp_path, monkeypatch):
    """The real builder, given COCO's own files as if it had downloaded them."""
    monkeypatch.setattr(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, urls: {key: str(COCO) for key in urls},
    )
    builder = tfds.builder("coco/2017", data_dir=str(tmp_path))
    splits = [split for split in builder.builder_config.splits if split.name != "test"]
    monkeypatch.setattr(builder.builder_config, "splits", splits)
    builder.download_and_prepare()
    images = read_tfds_boxes("coco/2017", "validation", data_dir=tmp_path)
    wanted = read_coco_folder(COCO, "val2017")
    assert images.class_names == wanted.class_names
    assert images.category_ids == wanted.category_ids == COCO_IDS
    ours = {image.id: image for image in images.images}
    assert len(ours) == len(wanted)
    for image in wanted.images:
        np.testing.assert_allclose(ours[image.id].boxes, image.boxes, atol=1e-3)
        for field in ("labels", "crowd"):
            np.testing.assert_array_equal(
                getattr(ours[image.id], field), getattr(image, field)
            )
        assert ours[image.id].read_pixels().shape == (image.height, image.width, 3)


def test_a_damaged_record_is_named(tmp_path):
    TinyBoxes(data_dir=str(tmp_path)).download_and_prepare()
    [file] = tmp_path.rglob("*.tfrecord*")
    content = bytearray(file.read_bytes())
    content[12:20] = b"\xff" * 8  # the first of the first record
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"{file.name}: record 0 is damaged"):
        read_tfds_boxes("tiny_boxes", "train", data_dir=tmp_path)
