"""Files that are whole or not there, and JSON that somebody else may have written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

PARTIAL = ".partial"
# What this package writes is well below: JSON takes ten times its size in memory.
MOST_JSON_BYTES = 2**26


def read_json(path: Path, *, most_bytes: int = MOST_JSON_BYTES):
    """Read JSON in UTF-8 that somebody else may have written.

    Args:
        path: the file.
        most_bytes: that it may have; no more is read.

    Raises:
        ValueError: it is no file, too large, damaged, or nested too deep; the message
            names it.
        OSError: it cannot be read; FileNotFoundError where there is none.
    """
    contents = read_limited(path, most_bytes)
    try:
        return json.loads(contents.decode("utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path} is no JSON file of ours: nested too deep") from error
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error


def read_limited(path: Path, most_bytes: int = MOST_JSON_BYTES) -> bytes:
    """The contents of a file that may have so many bytes; no more are read.

    Raises:
        ValueError: it is larger, or no file; the message names it.
        OSError: it cannot be read; FileNotFoundError where there is none.
    """
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no file, but a folder, a device or a pipe")
    with path.open("rb") as file:
        contents = file.read(most_bytes + 1)
    if len(contents) > most_bytes:
        raise ValueError(
            f"{path} has {path.stat().st_size:,} bytes. Such a file has up to "
            f"{most_bytes:,}: it is another one, or was changed"
        )
    return contents


# Of older files: a larger number is in a name that somebody else gave.
MOST_OLDER = 999


def replace_file(
    path: Path, write: Callable[[Path], None], *, older: int | None = None
) -> None:
    """Write a file aside, bring it to the disk, then put it in its place.

    Whoever reads `path`, even after a crash, finds the old file or the new one; with
    `older`, at one moment, only those of `generations(path)` that are older.

    Args:
        path: the file to make or replace.
        write: called with the path to write to, in the same folder, with the
            same suffix.
        older: of the files that were there before, how many to keep, as `x-1.keras`,
            the newest of them, `x-2.keras`… More are removed. None: there are none.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    aside = path.with_name(f".{path.stem}{PARTIAL}{path.suffix}")
    try:
        write(aside)
        _to_disk(aside)
        if older is not None:
            _make_room(path, older)
        os.replace(aside, path)
        _to_disk(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def generations(path: Path) -> list[Path]:
    """A file that `replace_file` wrote, and the older ones that it kept: newest first.

    Those that are there.
    """
    older = {}
    for found in path.parent.glob(f"{path.stem}-*{path.suffix}"):
        number = found.stem.removeprefix(f"{path.stem}-")
        if number.isdecimal() and 1 <= int(number) <= MOST_OLDER:
            older[int(number)] = found
    return [*([path] if path.exists() else []), *(older[n] for n in sorted(older))]


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed was about to write."""
    for aside in folder.glob(f".*{PARTIAL}*"):
        aside.unlink(missing_ok=True)


def _make_room(path: Path, older: int) -> None:
    for number in range(older, 0, -1):
        newer = _older(path, number - 1) if number > 1 else path
        if newer.exists():
            os.replace(newer, _older(path, number))
    for forgotten in generations(path):
        if forgotten != path and int(forgotten.stem.rpartition("-")[2]) > older:
            forgotten.unlink()


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
