"""Attentions that `attach` put where the networks here have theirs."""

import re

import keras

_ADDED = re.compile(r"(stage\d+_block\d+)_add_.+")


def as_built_in(model: keras.Model) -> dict[str, str]:
    """{name of an attached attention: that of a block's own in the same place}.

    The place is right before the addition. One behind the addition is named alike, and
    one before another attention or before its gain is not alone: these are left out,
    and so are those in blocks that have an attention of their own.
    """
    layers = {layer.name: layer for layer in model.layers}
    found = {}
    for name, layer in layers.items():
        match = _ADDED.fullmatch(name)
        block = match and match.group(1)
        if not match or f"{block}_attention" in layers:
            continue
        added = keras.tree.flatten(layers[f"{block}_add"].input)
        if any(tensor is layer.output for tensor in added):
            found[name] = f"{block}_attention"
    return found
