"""Data from image files."""

import os

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


def folder_in_a_class(folder):
    (folder / "cat" / "more").mkdir()


def folder_named_as_an_image(folder):
    (folder / "cat" / "x.jpg").mkdir()


def pipe_named_as_an_image(folder):
    os.mkfifo(folder / "cat" / "x.jpg")


def class_that_is_the_whole(folder):
    (folder / "loop").symlink_to(folder, target_is_directory=True)


def class_in_itself(folder):
    (folder / "cat" / "cat").symlink_to(folder / "cat", target_is_directory=True)


def class_that_leads_to_itself(folder):
    (folder / "loop").symlink_to("loop")


def class_that_leads_nowhere(folder):
    (folder / "bird").symlink_to("nowhere")


def image_of_no_unicode_name(folder):
    (folder / "cat" / os.fsdecode(b"\xff.jpg")).touch()


def class_of_no_unicode_name(folder):
    (folder / os.fsdecode(b"\xff")).mkdir()


def a_single_image(folder):
    for path in (folder / "dog").iterdir():
        path.unlink()
    for number in range(1, 5):
        (folder / "cat" / f"{number}.png").unlink()


def an_image_for_each_class(folder):
    for name in ("cat", "dog"):
        for number in range(1, 5):
            (folder / name / f"{number}.png").unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (folder_in_a_class, "cat must hold image files .* Found the folder more"),
        (folder_named_as_an_image, r"Found the folder x\.jpg"),
        (pipe_named_as_an_image, r"Found the device or pipe x\.jpg"),
        (class_that_is_the_whole, "loop must hold image files .* Found the folder cat"),
        (class_in_itself, "cat/cat is no image by its name"),
        (class_that_leads_to_itself, "Found the link that leads to no folder loop"),
        (class_that_leads_nowhere, "Found the link that leads to no folder bird"),
        (image_of_no_unicode_name, r"udcff\.jpg' is no UTF-8.*rename it"),
        (class_of_no_unicode_name, "is no UTF-8.*rename it"),
        (a_single_image, "dog is empty: put images into it, or remove it"),
        (
            an_image_for_each_class,
            r"`validation`=0\.1 of 2 images is 0: choose another",
        ),
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


def test_odd_names_are_names(folder):
    """Spaces, quotes, line breaks, emoji; suffixes in capitals; hidden files."""
    names = ("a b", "\"quoted'", "two\nlines", "кошка", "🐈")
    (folder / "cat").rename(folder / names[0])
    (folder / "dog").rename(folder / names[1])
    for name in names[2:]:
        (folder / name).mkdir()
        for file in ("🐕 \n'\".PNG", "x.Png"):
            write_png(folder / name / file, np.full((8, 8, 3), 200, np.uint8))
        (folder / name / "._x.Png").write_text("hidden")
    (folder / ".hidden").mkdir()
    data = from_folder(folder, validation=0.0, image_size=(8, 8))
    assert data.preprocessing.class_names == tuple(sorted(names))
    labels = [labels for _, labels in data.evaluation("train", batch_size=4)]
    counts = dict(zip(sorted(names), np.bincount(np.concatenate(labels)), strict=True))
    assert [counts[name] for name in names] == [5, 5, 2, 2, 2]


def test_links_to_images_and_classes_are_followed(folder, tmp_path):
    linked = tmp_path / "linked"
    (linked / "cat").mkdir(parents=True)
    for path in (folder / "cat").iterdir():
        (linked / "cat" / path.name).symlink_to(path)
    (linked / "dog").symlink_to(folder / "dog", target_is_directory=True)
    found, whole = (
        next(iter(data.evaluation("train", batch_size=8)))
        for data in (
            from_folder(place, validation=0.2, image_size=(8, 8))
            for place in (linked, folder)
        )
    )
    np.testing.assert_array_equal(found[0], whole[0])
    np.testing.assert_array_equal(found[1], whole[1])


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
