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


def hidden_units(channels, reduction_ratio):
    """`channels // reduction_ratio`, the width of a bottleneck MLP."""
    if reduction_ratio > channels:
        raise ValueError(
            f"`reduction_ratio` leaves no hidden unit: received {reduction_ratio} for "
            f"{channels} channels. Use at most {channels}."
        )
    return channels // reduction_ratio
