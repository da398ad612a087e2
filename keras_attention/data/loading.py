"""Data sets by name."""

from __future__ import annotations

from pathlib import Path

from keras_attention.data.digits import digits
from keras_attention.data.folder import from_folder
from keras_attention.data.image_data import ImageData
from keras_attention.data.tfds import from_tfds

TEST_FRACTION = 0.2


def load(
    name: str,
    *,
    data_dir: str | Path | None = None,
    validation: float = 0.1,
    test: float = TEST_FRACTION,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    limit: int | None = None,
    download: bool = False,
) -> ImageData:
    """Load a data set by name.

    The official test split is the test split. A set that has none but brings a
    validation split is tested on that one (ImageNet). What is then missing is
    held out of the training images.

    Args:
        name: `"digits"` (scikit-learn's), `"folder"` (a folder per class, in
            `data_dir`), or a name in TensorFlow Datasets, such as `"cifar10"`,
            `"imagenet2012"`, `"imagenette/320px-v2"` or `"cifar10:3.0.2"`.
        data_dir: where TensorFlow Datasets keeps its sets (by default
            `$TFDS_DATA_DIR` or `~/tensorflow_datasets`), or the folder.
        validation: fraction of the training images, where there is no such
            split; 0 for none.
        test: the same for the test split.
        image_size: `(height, width)` of the network's input in pixels; by default
            the images' own size, or 224×224 where they differ.
        seed: of the division into splits, 0 to 2³¹ − 1.
        limit: most images in any split.
        download: let TensorFlow Datasets download a set that is not there.

    Raises:
        ValueError: an unknown name, or an argument out of range.
        FileNotFoundError: there is no such folder, or the set is not prepared.
        ImportError: a package is missing; the message says how to install it.

    Example:

    >>> data = load("digits", seed=1)
    >>> print(data)
    digits: train 1,258, validation 180, test 359; 8×8×1; 10 classes
    """
    place = None if data_dir is None else str(Path(data_dir).expanduser().resolve())
    options = {
        "validation": validation,
        "test": test,
        "image_size": image_size,
        "seed": seed,
        "limit": limit,
    }
    source = {"name": name, "data_dir": place, **options}
    if name == "digits":
        return digits(**options, source=source)
    if name == "folder":
        if place is None:
            raise ValueError("The data set 'folder' needs `data_dir`: the folder")
        return from_folder(place, **options, source=source)
    return from_tfds(name, data_dir=place, download=download, **options, source=source)
