"""Which layer an operation of a graph belongs to."""

import re
from collections.abc import Iterable


def layer_of(scope: str, layers: Iterable[str]) -> str | None:
    """The layer in a name such as `"mobilenet_1/stem_attention_1/reduce_1/MatMul"`.

    Args:
        scope: name of a node or a tensor; the first of several joined by `";"` counts.
        layers: names of the network's layers.

    Returns:
        The layer's name; None where no part of the scope is a layer's. TensorFlow
        numbers the scopes of a name, so that `_1` may follow it.
    """
    for part in scope.partition(";")[0].split("/"):
        for name in (re.sub(r"_\d+$", "", part), part):
            if name in layers:
                return name
    return None
