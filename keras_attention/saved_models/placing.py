"""Files and folders that appear whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def check_place(path: Path, *, folder: bool, overwrite: bool) -> None:
    """Raise an error unless a file, or a SavedModel's folder, may be put at `path`.

    Args:
        path: to write to.
        folder: whether a SavedModel is written.
        overwrite: whether to replace one of the kind that is there.

    Raises:
        FileExistsError: there is something that is not to be replaced.
        FileNotFoundError: there is no folder to write into.
        PermissionError: it cannot be written to.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"There is {path} already: choose another path, or replace it with "
            "overwrite=True (--overwrite)"
        )
    known = (path / "saved_model.pb").exists() if folder else path.is_file()
    if path.exists() and not known:
        raise FileExistsError(
            f"{path} is no {'SavedModel' if folder else 'file'}, and so is not "
            "replaced: choose another path"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} to write into")
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"The folder {path.parent} cannot be written to")


def folder_in(parent: Path) -> tempfile.TemporaryDirectory:
    """A folder to write in, which goes when its block ends."""
    try:
        return tempfile.TemporaryDirectory(dir=parent, prefix=".export-")
    except OSError as error:  # of rights, a full disk, …
        raise type(error)(
            f"The folder {parent} cannot be written to: {error.strerror}"
        ) from error


def put(aside: Path, path: Path) -> None:
    """Put what was written aside, in a `folder_in`, in its place."""
    if path.is_dir():  # which no rename replaces; it goes with the folder aside
        os.replace(path, aside.with_name(f"{path.name}.old"))
    os.replace(aside, path)
