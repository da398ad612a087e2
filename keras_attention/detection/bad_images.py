"""Images of detectors that cannot be used: found before a run's first step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keras_attention.data import inspect_files
from keras_attention.detection.data import BoxedImages
from keras_attention.training.bad_images import settle

__all__ = ["looked_through"]


def looked_through(
    splits: Mapping[str, BoxedImages],
    on_bad_image: str,
    *,
    root: str | None,
    out: Path | None,
    verbose: int | str = 0,
) -> dict[str, BoxedImages]:
    """The splits, after each image file was decoded once; its boxes go with it.

    Bad, too, is an image of another size than its boxes are for.

    Args:
        splits: by name. Images that are not in files of their own are passed over.
        on_bad_image, root, out: as for `keras_attention.training.bad_images.settle`.
        verbose: as for `keras_attention.data.inspect_files`.

    Raises:
        ValueError: as `settle`, or a split would have no images.
    """
    sizes = {
        name: {
            str(image.path): (image.height, image.width)
            for image in images.images
            if image.path is not None
        }
        for name, images in splits.items()
    }
    bad = {}
    for found in sizes.values():
        bad |= inspect_files(list(found), 3, sizes=found, verbose=verbose)
    files = {name: list(found) for name, found in sizes.items()}
    place = None if root is None else Path(root)
    settle(bad, files, on_bad_image, root=place, out=out)
    return {name: images.without(bad) for name, images in splits.items()}
