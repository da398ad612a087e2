"""Errors for a wrong name: what was got, what there is, nearest first."""

import difflib


def nearest_first(word, choices):
    """`choices` as a list, the ones that look like `word` in front."""
    choices = list(choices)
    near = difflib.get_close_matches(str(word), choices, n=3, cutoff=0.5)
    return near + sorted(choice for choice in choices if choice not in near)


def unknown(what, got, choices):
    """A ValueError that names the argument, its value and the choices.

    Args:
        what: name of the argument or thing, e.g. `"attention"`.
        got: the value received.
        choices: iterable of the accepted strings.
    """
    listed = ", ".join(repr(choice) for choice in nearest_first(got, choices))
    return ValueError(f"Unknown {what}: received {got!r}. Choose from: {listed}.")


def check_choice(what, got, choices):
    """Returns `got` if it is among `choices`, else raises the error above."""
    if not isinstance(got, str) or got not in choices:
        raise unknown(what, got, choices)
    return got
