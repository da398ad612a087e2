"""Figures of a page out of functions that draw on axes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from keras_attention.reports.page import Figure
from keras_attention.reports.svg import themed_figure, to_svg

__all__ = ["picture"]


def picture(
    title: str,
    draw: Callable,
    caption: str = "",
    size: tuple[float, float] = (6.0, 3.4),
) -> Figure:
    """A figure with one pair of axes.

    Args:
        title: of the figure, another one for every figure of a page.
        draw: called with the axes.
        caption: below it.
        size: inches.
    """
    # The titles of two figures may differ in signs that an id does not take.
    prefix = f"figure-{hashlib.sha256(title.encode()).hexdigest()[:12]}"
    with themed_figure(figsize=size) as figure:
        axes = figure.subplots()
        draw(axes)
        axes.set_title("")  # the page has the title
        return Figure(title, to_svg(figure, prefix, title), caption)
