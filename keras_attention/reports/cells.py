"""How a table's cells are written, and by what they are sorted."""

from __future__ import annotations

import math

from keras_attention.reports.page import Cell, Column, Interval, Table

__all__ = ["UNKNOWN", "remark_widths", "shown", "sort_key"]

UNKNOWN = "–"


def shown(cell: Cell, column: Column) -> tuple[str, str]:
    """The text of a cell, and what is written smaller behind it.

    Args:
        cell: of a table.
        column: that it stands in.

    Returns:
        `("76,543", "")`, `("71.23", "± 0.45")`, `("71.23", "one run")`, `("–", "")`.

    Raises:
        TypeError: no cell, such as a list.
    """
    if cell is None:
        return UNKNOWN, ""
    if isinstance(cell, str):
        return cell, ""
    if isinstance(cell, Interval):
        if cell.half is None:
            return _number(cell.mean, column.digits), "one run"
        half = _number(cell.half, column.digits)
        return _number(cell.mean, column.digits), f"± {half}"
    if _is_integer(cell):
        return _number(cell, 0), ""
    return _number(cell, column.digits), ""


def sort_key(cell: Cell, column: Column) -> str:
    """By what the page's script sorts a cell: a number or text; "" comes last.

    Args:
        cell: of a table.
        column: that it stands in.
    """
    if not column.numeric:
        return "" if cell is None else "".join(shown(cell, column))
    number = cell.mean if isinstance(cell, Interval) else cell
    if number is None or isinstance(number, str) or math.isnan(number):
        return ""
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return str(number) if _is_integer(number) else repr(float(number))


def remark_widths(table: Table) -> list[int]:
    """The longest remark behind a cell in characters, one for each column.

    Cells keep so much room behind their numbers that these stand below each other.
    """
    remarks = [
        [shown(*pair)[1] for pair in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    widths = ([len(row[k]) for row in remarks] for k in range(len(table.columns)))
    return [max(column, default=0) for column in widths]


def _number(value: float, digits: int) -> str:
    try:
        return f"{value:,.{digits}f}".replace("-", "−")
    except (TypeError, ValueError) as error:
        raise TypeError(
            "A cell is a str, an int, a float, None or an Interval. Received: "
            f"{value!r}"
        ) from error


def _is_integer(cell) -> bool:
    """Of Python or NumPy."""
    return hasattr(cell, "__index__")
