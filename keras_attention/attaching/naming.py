"""Layers of a model by what a user says of them."""

import re

import keras

from keras_attention.choices import nearest_first, unknown

__all__ = ["by_where", "candidates"]

LISTED = 12  # names in an error


def by_where(root, where):
    """The operations that `where` stands for.

    Args:
        root: `Graph` of the whole model.
        where: a path, a list of paths, a compiled expression that is searched for in
            paths, or a function of a layer.

    Returns:
        List of (graph, first call of the operation), in the model's order.

    Raises:
        ValueError: an unknown path, or `where` of another type.
    """
    known = _by_path(root)
    if isinstance(where, str):
        where = [where]
    if isinstance(where, list | tuple):
        for path in where:
            if path not in known:
                near = nearest_first(path, known)[:LISTED]
                raise unknown("layer in `where`", path, near)
        return [found for path, found in known.items() if path in where]
    if isinstance(where, re.Pattern):
        return [found for path, found in known.items() if where.search(path)]
    if callable(where):
        layers = {k: v for k, v in known.items() if _is_layer(v[1].operation)}
        return [found for found in layers.values() if where(found[1].operation)]
    raise ValueError(
        "`where` takes None, 'before_add', 'after_add', 'between_stages', a layer's "
        "name, a list of names, a compiled regular expression, a function of a layer, "
        f"or a dict of these by site. Received: {where!r} of type "
        f"{type(where).__name__}."
    )


def candidates(root, fits):
    """Some paths of operations at which something fits, for an error.

    Args:
        root: `Graph` of the whole model.
        fits: function of (graph, call).
    """
    paths = [path for path, found in _by_path(root).items() if fits(*found)]
    more = len(paths) - LISTED
    listed = ", ".join(map(repr, paths[:LISTED])) or "none"
    return f"{listed} and {more} more" if more > 0 else listed


def _by_path(root):
    """{path: (graph, first call)} of all operations."""
    found = {}
    for graph in root.all():
        for call in graph.calls:
            found.setdefault(graph.path_of(call), (graph, call))
    return found


def _is_layer(operation):
    is_input = isinstance(operation, keras.layers.InputLayer)
    return isinstance(operation, keras.layers.Layer) and not is_input
