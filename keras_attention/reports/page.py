"""What stands on a report's page, as data.

Every text is plain text, which is escaped where the page is rendered. The one exception
is a figure's SVG, which goes in as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "Cell",
    "Column",
    "Facts",
    "Figure",
    "Figures",
    "Gallery",
    "Interval",
    "Item",
    "Page",
    "Panel",
    "Picture",
    "Section",
    "Table",
    "Text",
]

PNG = b"\x89PNG\r\n\x1a\n"
SIZES = 24  # bytes of a PNG after which its width and height are known


@dataclass(frozen=True)
class Interval:
    """The mean of a few runs and how well it is known: mean ± half.

    Args:
        mean: of the runs.
        half: the half-width of the mean's 95% interval; None for one run.
    """

    mean: float
    half: float | None


Cell = str | int | float | Interval | None


@dataclass(frozen=True)
class Column:
    """The head of a table's column, and how its cells are written.

    Args:
        name: what the cells are.
        unit: of the numbers, such as `"%"`; it is written in the head.
        digits: after the decimal point, of floats and intervals.
        numeric: whether the cells are sorted by number and stand to the right.
    """

    name: str
    unit: str = ""
    digits: int = 2
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table that a reader can sort by each of its columns.

    Args:
        title: of the section.
        columns: one or more. Where the first is not numeric, its cells name the rows.
        rows: of as many cells as columns. None stands for what is not known.
        note: below the table.

    Raises:
        ValueError: no columns, or a row with another number of cells.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self):
        if not self.columns:
            raise ValueError(f"A table needs a column. {self.title!r} has none.")
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Row {number} of the table {self.title!r} has {len(row)} cells "
                    f"for {len(self.columns)} columns. Received the row: {row!r}"
                )


@dataclass(frozen=True)
class Figure:
    """A drawing with a heading.

    Args:
        title: of the figure.
        svg: an `<svg>` element, as `keras_attention.reports.to_svg` gives it. It is
            trusted: it goes into the page unescaped.
        caption: below it.

    Raises:
        ValueError: another text than an `<svg>` element.
    """

    title: str
    svg: str
    caption: str = ""

    def __post_init__(self):
        if not self.svg.startswith("<svg"):
            raise ValueError(
                f"The figure {self.title!r} needs an <svg> element. Received a text "
                f"that starts with {self.svg[:20]!r}."
            )


@dataclass(frozen=True)
class Figures:
    """Figures side by side, as many as there is room for.

    Args:
        title: of the section.
        figures: of their own titles.
    """

    title: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Text:
    """Paragraphs.

    Args:
        title: of the section.
        paragraphs: one text each.
    """

    title: str
    paragraphs: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Names with what they stand for, such as settings and versions.

    Args:
        title: of the section.
        pairs: {name: text}.
    """

    title: str
    pairs: Mapping[str, str]


@dataclass(frozen=True)
class Picture:
    """A small picture with a few words below it.

    Args:
        png: the bytes of a PNG file.
        label: the words.

    Raises:
        ValueError: other bytes.
    """

    png: bytes
    label: str

    def __post_init__(self):
        _check_png(self.png, f"the picture {self.label!r}")


@dataclass(frozen=True)
class Panel:
    """One variant of a network before an image.

    Args:
        name: of the variant.
        heading: what it answered.
        pictures: its maps.
    """

    name: str
    heading: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Item:
    """An image, and what every variant made of it.

    Args:
        image: the bytes of a PNG file.
        caption: below it.
        panels: one for each variant, in the same order for every image.

    Raises:
        ValueError: other bytes.
    """

    image: bytes
    caption: str
    panels: tuple[Panel, ...]

    def __post_init__(self):
        _check_png(self.image, f"the image {self.caption!r}")


@dataclass(frozen=True)
class Gallery:
    """Images that open, large, with the panels of every variant side by side.

    Args:
        title: of the section.
        items: the images.
        note: above them.
    """

    title: str
    items: tuple[Item, ...]
    note: str = ""


Section = Table | Figure | Figures | Text | Facts | Gallery


@dataclass(frozen=True)
class Page:
    """A whole report.

    Args:
        title: of the page.
        lead: paragraphs below the title: what came out.
        sections: in their order.
    """

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]


def _check_png(content: bytes, what: str) -> None:
    if not content.startswith(PNG) or len(content) < SIZES:
        raise ValueError(
            f"A PNG file's bytes are needed for {what}. Received {len(content)} bytes "
            f"that start with {content[:8]!r}."
        )
