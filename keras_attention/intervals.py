"""The mean of a few runs, and how well it is known."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

CONFIDENCE = 0.95


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean m and half-width h of the 95% interval m ± h, by Student's t.

    h = t₀.₉₇₅(n − 1) · s / √n, with the unbiased s of n runs. It is None for one run,
    which tells nothing about the spread.

    Raises:
        ValueError: no values.
    """
    count = len(values)
    if not count:
        raise ValueError("The mean of no runs is asked for")
    mean = float(np.mean(values))
    if count == 1:
        return mean, None
    half = t_quantile(count - 1) * np.std(values, ddof=1) / count**0.5
    return mean, float(half)


@functools.cache
def t_quantile(freedom: int) -> float:
    """t with P(|T| ≤ t) = 0.95, for so many degrees of freedom, at least 1."""
    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if _within(middle, freedom) < CONFIDENCE else (low, middle)
        )
    return high


def _within(t: float, freedom: int) -> float:
    """P(|T| ≤ t), by the incomplete beta function."""
    x = np.float64(t * t / (freedom + t * t))
    return float(tf.math.betainc(np.float64(0.5), np.float64(freedom / 2), x))
