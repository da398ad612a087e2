"""Data from image files."""

import numpy as np
import pytest
import tensorflow as tf

from keras_attention.data import Augmentation, from_folder, load, naming_corrupt_files


def write_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(image).numpy())


@pytest.fixture
def folder(tmp_path, rng):
    """Five images of each of two classes; cats are dark, dogs are bright."""
    for name, low in (("cat", 0), ("dog", 128)):
        for number in range(5):
            size = rng.integers(9, 15, 2)
            image = rng.integers(low, low + 100, (*size, 3), np.uint8)
            write_png(tmp_path / "set" / name / f"{number}.png", image)
    return tmp_path / "set"


@pytest.mark.parametrize(
    "augmentation", [Augmentation(True, 2), Augmentation(True, 0, (0.5, 1.0))]
)
def test_images_have_their_folders_label(folder, augmentation):
    data = from_folder(folder, validation=0.2, image_size=(8, 8), seed=2)
    assert data.preprocessing.class_names == ("cat", "dog")
    assert [len(split) for split in data.splits.values()] == [8, 2]
    for batches in (
        data.training(augmentation, batch_size=4, epochs=2),
        data.evaluation("validation", batch_size=4),
    ):
        for images, labels in batches:
            assert images.shape[1:] == (8, 8, 3)
            bright = images.numpy()[:, 3:5, 3:5].mean((1, 2, 3)) > 0
            np.testing.assert_array_equal(bright, labels.numpy() == 1)


def test_folders_named_after_splits_are_the_splits(folder, tmp_path):
    root = tmp_path / "whole"
    for split in ("train", "val", "test"):
        (root / split).parent.mkdir(exist_ok=True)
        (root / split).symlink_to(folder, target_is_directory=True)
    (root / ".DS_Store").touch()
    data = load("folder", data_dir=root)
    assert [len(split) for split in data.splits.values()] == [10, 10, 10]
    assert data.name == "whole"


def test_a_broken_image_is_named(folder):
    broken = folder / "dog" / "3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    data = from_folder(folder, validation=0.0, image_size=(8, 8))
    with (
        pytest.raises(ValueError, match=r"dog/3\.png cannot be decoded"),
        naming_corrupt_files(data),
    ):
        list(data.evaluation("train", batch_size=4))


def test_a_vanished_image_is_named(folder):
    data = from_folder(folder, validation=0.0, image_size=(8, 8))
    (folder / "cat" / "0.png").unlink()
    with (
        pytest.raises(FileNotFoundError, match=r"cat/0\.png"),
        naming_corrupt_files(data),
    ):
        list(data.evaluation("train", batch_size=4))


def test_other_errors_pass_through(folder):
    data = from_folder(folder, validation=0.0)
    with pytest.raises(tf.errors.InvalidArgumentError), naming_corrupt_files(data):
        tf.reshape(tf.zeros(3), [2])


def add_text(folder):
    (folder / "cat" / "notes.txt").touch()


def add_stray(folder):
    (folder / "notes.txt").touch()


def empty_class(folder):
    (folder / "bird").mkdir()


def one_class(folder):
    for path in (folder / "dog").iterdir():
        path.unlink()
    (folder / "dog").rmdir()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (add_text, r"notes\.txt is no image by its name"),
        (add_stray, r"nothing else\. Found the file notes\.txt"),
        (empty_class, "bird is empty"),
        (one_class, "at least two classes"),
    ],
)
def test_wrong_folders_are_refused(folder, harm, message):
    harm(folder)
    with pytest.raises(ValueError, match=message):
        from_folder(folder)


def test_splits_with_other_classes_are_refused(folder, tmp_path, rng):
    root = tmp_path / "whole"
    root.mkdir()
    (root / "train").symlink_to(folder, target_is_directory=True)
    for name in ("cat", "bird"):
        write_png(root / "test" / name / "0.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="in: bird, dog"):
        from_folder(root)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load("folder", data_dir=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="data_dir"):
        load("folder")
