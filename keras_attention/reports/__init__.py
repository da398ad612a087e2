"""Reports: one HTML file that needs nothing else, to look through and to print."""

from keras_attention.reports.page import (
    Cell,
    Column,
    Facts,
    Figure,
    Figures,
    Gallery,
    Interval,
    Item,
    Page,
    Panel,
    Picture,
    Section,
    Table,
    Text,
)
from keras_attention.reports.rendering import render, write_page
from keras_attention.reports.svg import themed_figure, to_svg
from keras_attention.reports.writing import write_report

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
    "render",
    "themed_figure",
    "to_svg",
    "write_page",
    "write_report",
]
