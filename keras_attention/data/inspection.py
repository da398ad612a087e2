"""Image files looked through before training, so that none stops it later."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import keras

from keras_attention.data.image_data import ImageData
from keras_attention.data.image_files import check_size, decode_contents, read_contents
from keras_attention.data.splits import FileSplit

__all__ = ["bad_images", "inspect_files"]

BLOCK = 1024  # files that wait at once
MANY = 2 * BLOCK  # from here on progress is shown
LARGE = 2**24  # pixels, of images that are decoded one at a time


def bad_images(data: ImageData, *, verbose: int | str = 0) -> dict[str, str]:
    """The files of a data set that cannot be used, as `inspect_files` gives them."""
    bad = {}
    for split in data.splits.values():
        if isinstance(split, FileSplit):
            bad |= inspect_files(split.paths, split.channels, verbose=verbose)
    return bad


def inspect_files(
    paths: Sequence[str],
    channels: int,
    *,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    verbose: int | str = 0,
) -> dict[str, str]:
    """Decode every file once, on all cores, and tell which cannot be used.

    A file is bad if it is not there, no file (a folder, a device, a pipe), not
    readable, empty, no image by its contents, cut off, damaged so that the decoder
    sees it, too large (2²⁸ bytes, 178,956,970 pixels), or over 100 times as long as
    wide. What claims to be too large is not decoded, and large images are decoded one
    at a time, which bounds the memory.

    Not seen are pixels that were damaged without harm to the file's structure, as a
    JPEG allows.

    Args:
        paths: the files.
        channels: 1 or 3, as they will be decoded.
        sizes: {path: (height, width)} that they must have, as where boxes are for it.
        verbose: 0 for silence; else a progress bar with the time that is left, where
            there are thousands.

    Returns:
        {path: reason}, in the order of `paths`; empty if all is well.
    """
    shown = verbose and len(paths) >= MANY
    bar = keras.utils.Progbar(len(paths), unit_name="image") if shown else None
    alone, bad, sizes = Lock(), {}, sizes or {}

    def look(path: str) -> str | None:
        return _reason(path, channels, sizes.get(path), alone)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(paths), BLOCK):
            block = paths[start : start + BLOCK]
            reasons = pool.map(look, block)
            found = zip(block, reasons, strict=True)
            bad |= {path: reason for path, reason in found if reason is not None}
            if bar:
                bar.update(start + len(block))
    return bad


def _reason(
    path: str, channels: int, size: tuple[int, int] | None, alone: Lock
) -> str | None:
    """Why the file cannot be used, or None."""
    try:
        contents = read_contents(path)
        height, width, pixels = check_size(contents)
        if size not in (None, (height, width)):
            boxes = "×".join(map(str, size))
            return f"it has {height}×{width} pixels, and its boxes are for {boxes}"
        with alone if pixels > LARGE else contextlib.nullcontext():
            decode_contents(contents, channels)
    except FileNotFoundError:
        return "it is not there, or a link that leads nowhere"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error)
    return None
