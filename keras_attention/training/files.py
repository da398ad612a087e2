"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from keras_attention.files import replace_file

__all__ = ["naming", "read_json", "replace_file", "write_json", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    replace_file(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_json(path: Path, content) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Tell which file is damaged, where what it holds is not what the block expects.

    Raises:
        ValueError: in place of a KeyError, IndexError, TypeError, AttributeError or
            ValueError; the message names the file.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged, or of another version: {said}") from error


def read_json(path: Path):
    """Read JSON.

    Raises:
        ValueError: it is damaged; the message names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}") from error
