"""Argument checks that every layer shares; each error names the argument."""


def positive_integer(name, value):
    """`value` if it is an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. Received: {value!r}."
        )
    return value


def positive_number(name, value):
    """`value` if it is a number above 0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ValueError(f"`{name}` must be a number above 0. Received: {value!r}.")
    return value


def odd_integer(name, value):
    """`value` if it is an odd int of at least 1."""
    if positive_integer(name, value) % 2 == 0:
        raise ValueError(
            f"`{name}` must be odd, so that the map keeps its size. Received: {value}."
        )
    return value


def boolean(name, value):
    """`value` if it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. Received: {value!r}.")
    return value


def nearest_multiple(width, divisor):
    """The multiple of `divisor` nearest to `width`, up where that is under 90% of it.

    `make_divisible` of the MobileNet authors' code; at least `divisor`.
    """
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * width else nearest


def hidden_units(channels, reduction_ratio, divisor=1):
    """The width of a bottleneck MLP: `channels // reduction_ratio`.

    With a divisor above 1, the quotient goes to its `nearest_multiple` instead.
    """
    if divisor > 1:
        return nearest_multiple(channels / reduction_ratio, divisor)
    if reduction_ratio > channels:
        raise ValueError(
            f"`reduction_ratio` leaves no hidden unit: received {reduction_ratio} for "
            f"{channels} channels. Use at most {channels}."
        )
    return channels // reduction_ratio
