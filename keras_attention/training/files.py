"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator
from pathlib import Path

from keras_attention.files import read_json, replace_file

__all__ = [
    "expecting",
    "naming",
    "read_json",
    "replace_file",
    "write_json",
    "write_text",
]

# Of a value of another type, size or depth.
UNEXPECTED = (
    *(LookupError, TypeError, AttributeError, ValueError),
    *(ArithmeticError, RecursionError, csv.Error),
)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    replace_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_json(path: Path, content) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def expecting(what: str, values) -> Iterator[None]:
    """Say which values are asked for, where the block does not take the type of one.

    Raises:
        ValueError: in place of a TypeError, AttributeError or OverflowError.
    """
    try:
        yield
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(
            f"A value of {what} is of a type that is not wanted: {error}. Received: "
            f"{values}"
        ) from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Tell which file is damaged, where what it holds is not what the block expects.

    Raises:
        ValueError: in place of a KeyError, IndexError, TypeError, AttributeError,
            OverflowError, RecursionError, csv.Error or ValueError; the message names
            the file.
    """
    try:
        yield
    except UNEXPECTED as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged, or of another version: {said}") from error
