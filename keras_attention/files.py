"""A file that is whole or not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file aside, bring it to the disk, then put it in its place.

    Whoever reads `path`, even after a crash, finds the old file or the new one.

    Args:
        path: the file to make or replace.
        write: called with the path to write to, in the same folder, with the
            same suffix.
    """
    aside = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        write(aside)
        _to_disk(aside)
        os.replace(aside, path)
        _to_disk(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
