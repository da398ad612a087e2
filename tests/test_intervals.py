"""Means of a few runs, and their intervals."""

import pytest

from keras_attention.intervals import mean_and_interval, t_quantile


@pytest.mark.parametrize(
    ("freedom", "t"),
    # Student's t, two-sided 95%, as printed in tables.
    [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (120, 1.980)],
)
def test_t_quantiles_of_the_tables(freedom, t):
    assert t_quantile(freedom) == pytest.approx(t, abs=6e-4)


def test_mean_and_interval():
    """Three values 1, 2, 6: s² = 7, so h = 4.3027 · √(7/3)."""
    mean, half = mean_and_interval([1, 2, 6])
    assert mean == 3
    assert half == pytest.approx(4.30265 * (7 / 3) ** 0.5, rel=1e-5)
    assert mean_and_interval([5.0]) == (5.0, None)
    with pytest.raises(ValueError, match="no runs"):
        mean_and_interval([])


def test_intervals_hold_the_mean_as_often_as_they_say(rng):
    held = 0
    for values in rng.normal(2.0, 3.0, (1000, 4)):
        mean, half = mean_and_interval(values)
        held += abs(mean - 2.0) <= half
    assert 920 < held < 980  # 950 ± 4.3 standard deviations
