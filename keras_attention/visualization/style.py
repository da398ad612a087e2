"""Colours of all pictures, which colour-blind people tell apart."""

from __future__ import annotations

__all__ = ["COLOURS", "HEAT", "MATRIX", "SIGNED", "as_text", "line_style"]

# Okabe and Ito's, without their yellow, which is too light for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777")
DASHES = ("solid", "dashed", "dotted", "dashdot")
# Matplotlib's names: even in lightness, so that they are read in grey, too.
HEAT, MATRIX = "inferno", "cividis"
SIGNED = "PuOr_r"  # orange above zero, violet below


def as_text(name: str) -> str:
    """A name that matplotlib shall not read as mathematics between dollar signs."""
    return name.replace("$", r"\$")


def line_style(k: int) -> dict:
    """Colour and dashes of the line number `k`: 28 that differ."""
    return {
        "color": COLOURS[k % len(COLOURS)],
        "linestyle": DASHES[(k // len(COLOURS) + k % len(COLOURS)) % len(DASHES)],
    }
