"""From a page to one HTML file, which asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections import Counter
from pathlib import Path

from keras_attention.extras import require
from keras_attention.reports.cells import remark_widths, shown, sort_key
from keras_attention.reports.page import (
    SIZES,
    Facts,
    Figure,
    Figures,
    Gallery,
    Page,
    Table,
    Text,
)
from keras_attention.training.files import write_text

__all__ = ["render", "write_page"]

TEMPLATES = Path(__file__).with_name("templates")
PIXELATED = 96  # pixels up to which a picture is enlarged without smoothing
# The macro of `sections.html` for each.
KINDS = {
    Table: "table",
    Figure: "figure",
    Figures: "figures",
    Text: "text",
    Facts: "facts",
    Gallery: "gallery",
}


def render(page: Page) -> str:
    """The HTML of a page, with its styles, script and pictures in it.

    Raises:
        ImportError: Jinja2 is not installed.
        TypeError: a section or a cell of another type.
        ValueError: two figures whose ids have the same prefix.
    """
    jinja2 = require("jinja2", extra="viz", purpose="A report")
    _check(page)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"data_uri": _data_uri, "size": _size}
    script = _read("page.js")
    return environment.get_template("page.html").render(
        page=page,
        sections=[(KINDS[type(each)], each) for each in page.sections],
        remark_widths=remark_widths,
        shown=shown,
        sort_key=sort_key,
        pixelated=PIXELATED,
        styles=_read("page.css"),
        script=script,
        script_hash=_sha256(script),
    )


def write_page(page: Page, path: str | Path) -> None:
    """Write a page's HTML, whole or not at all.

    Raises:
        As `render`, before anything is written.
    """
    write_text(Path(path), render(page))


def _check(page: Page) -> None:
    for section in page.sections:
        if type(section) not in KINDS:
            names = ", ".join(kind.__name__ for kind in KINDS)
            raise TypeError(f"A section is one of {names}. Received: {section!r:.200}")
    starts = Counter(each.svg.partition('" ')[0] for each in _figures(page))
    for start, count in starts.items():
        if " id=" in start and count > 1:
            raise ValueError(
                f"Every figure of a page needs ids of its own. Received {count} that "
                f"start with {start}>"
            )


def _figures(page: Page) -> list[Figure]:
    rows = [each.figures for each in page.sections if isinstance(each, Figures)]
    alone = [each for each in page.sections if isinstance(each, Figure)]
    return [*alone, *(figure for row in rows for figure in row)]


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _size(png: bytes) -> tuple[int, int]:
    """Width and height, which a PNG's first chunk begins with."""
    return struct.unpack(">II", png[SIZES - 8 : SIZES])
