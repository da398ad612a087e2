"""Matplotlib's figures as inline SVG in the colours of the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from keras_attention.extras import require
from keras_attention.visualization.style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["themed_figure", "to_svg"]

# Stands for the page's colour while matplotlib draws, and for no other.
INK = "#010203"
# Text is laid out with the width of DejaVu, which is wider than any of these.
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
REFERENCE = re.compile(r"url\(#")
FAMILY = re.compile(r"font-family: [^;]*;?\s*")
PIXELS_PER_POINT = 96 / 72

_INKED = (
    "text.color",
    "axes.edgecolor",
    "axes.labelcolor",
    "xtick.color",
    "ytick.color",
    "grid.color",
    "legend.edgecolor",
    "hatch.color",
    "patch.edgecolor",
    "boxplot.boxprops.color",
    "boxplot.capprops.color",
    "boxplot.flierprops.markeredgecolor",
    "boxplot.whiskerprops.color",
)
SETTINGS = dict.fromkeys(_INKED, INK) | {
    "axes.facecolor": "none",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.8,
    "image.interpolation": "none",
    "legend.facecolor": "none",
    "legend.framealpha": 0.3,
    "savefig.facecolor": "auto",
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_attention",
}


@contextmanager
def themed_figure(**options) -> Iterator[Figure]:
    """A figure to draw on, whose axes, text and legends have the page's colour.

    What is drawn without a colour of its own within the `with` follows the page, dark
    or light; colours that are given stay as they are.

        with themed_figure(figsize=(6, 3)) as figure:
            figure.subplots().plot(losses, label="loss")
            svg = to_svg(figure, "loss", "The loss over the epochs")

    Args:
        **options: of `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    module = require("matplotlib.figure", extra="viz", purpose="A figure")
    with _theme():
        yield module.Figure(**({"layout": "constrained"} | options))


def to_svg(figure: Figure, prefix: str, title: str) -> str:
    """An `<svg>` element to put into a page.

    It is as wide as what it stands in, and the same for the same figure: no date, no
    random ids.

    Args:
        figure: of `themed_figure`.
        prefix: with which its ids begin, another for every figure of a page: a letter,
            then letters, digits, `-` and `_`.
        title: what it shows, for those who do not see it.

    Raises:
        ValueError: another prefix.
    """
    if not PREFIX.fullmatch(prefix):
        raise ValueError(
            "A prefix of ids is a letter, then letters, digits, - and _. Received: "
            f"{prefix!r}"
        )
    file = io.StringIO()
    with _theme():
        figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    for element in root.iter():
        element.tag = _without_namespace(element.tag)
        element.attrib = dict(_own(*pair, prefix) for pair in element.attrib.items())
        if element.tag == "text" and "style" in element.attrib:
            element.set("style", FAMILY.sub("", element.get("style")))
    _dress(root, prefix, title)
    return ElementTree.tostring(root, encoding="unicode")


def _theme():
    """Matplotlib's own settings with ours, whatever the user's are."""
    style = require("matplotlib.style", extra="viz", purpose="A figure")
    cycler = require("cycler", extra="viz", purpose="A figure").cycler
    return style.context(
        ["default", SETTINGS | {"axes.prop_cycle": cycler(color=COLOURS)}]
    )


def _own(name: str, value: str, prefix: str) -> tuple[str, str]:
    """An attribute with the page's colour, and with the prefix in ids."""
    name = _without_namespace(name)
    if name == "id":
        return name, f"{prefix}-{value}"
    if name == "href":
        own = f"#{prefix}-{value[1:]}" if value.startswith("#") else value
        return name, own.replace("\n", "")
    value = REFERENCE.sub(f"url(#{prefix}-", value)
    return name, value.replace(INK, "currentColor")


def _dress(root: ElementTree.Element, prefix: str, title: str) -> None:
    """Give the root its attributes and its title; drop what concerns whole files."""
    for child in root.findall("metadata"):
        root.remove(child)
    for definitions in root.findall("defs"):
        for sheet in definitions.findall("style"):  # it would reach the whole page
            definitions.remove(sheet)
    width = float(root.get("width").removesuffix("pt")) * PIXELS_PER_POINT
    root.attrib = {
        "id": prefix,
        "role": "img",
        "aria-labelledby": f"{prefix}-title",
        "viewBox": root.get("viewBox"),
        "width": "100%",
        "style": f"--natural: {width:.0f}px; font-family: {FONTS}; "
        "stroke-linejoin: round; stroke-linecap: butt",
    }
    heading = ElementTree.Element("title", id=f"{prefix}-title")
    heading.text = title
    root.insert(0, heading)


def _without_namespace(name: str) -> str:
    return name.rpartition("}")[2]
