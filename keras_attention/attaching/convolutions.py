"""The convolutions that a conv-site attention takes the place of."""

import keras

from keras_attention.attaching.places import Place, no_plain_convolution

__all__ = ["convolution_places"]


def convolution_places(root):
    """The spatial convolutions but the stem, or the pointwise ones where all are that.

    A stem is a convolution before which there is none. Depthwise convolutions are left
    out, also those that are a `Conv2D` of as many groups as channels, and so are those
    of one place, as in squeeze-and-excitation.

    Args:
        root: `Graph` of the whole model.

    Returns:
        (list of `Place`, {path: why a convolution is none}).
    """
    spatial, pointwise, skipped = [], [], {}
    for graph, call in _behind_others(root):
        layer = call.operation
        if not isinstance(layer, keras.layers.Conv2D) or _is_depthwise(graph, call):
            continue
        if graph.images.is_pooled[call.index] or graph.calls_of(layer)[0] is not call:
            continue
        place = Place(graph, call, "instead")
        reason = no_plain_convolution(place)
        if reason:
            skipped[graph.path_of(call)] = reason
        else:
            (spatial if max(layer.kernel_size) > 1 else pointwise).append(place)
    return spatial or pointwise, skipped


def _is_depthwise(graph, call):
    channels = graph.images.channels(call.parents[0])
    return call.operation.groups == channels > 1


def _behind_others(root):
    """(graph, call) of each call before which there is a convolution, anywhere."""
    preceded = {id(root): False}
    for graph in root.all():  # a model comes before those in it
        convolutions = sum(
            1 << call.index
            for call in graph.calls
            if graph.images.convolutions[call.index]
        )
        for call in graph.calls:
            before = graph.ancestors[call.index] & ~(1 << call.index) & convolutions
            is_behind = preceded[id(graph)] or before != 0
            nested = graph.nested.get(id(call.operation))
            if nested is not None:
                # Called twice, it is behind one only if it always is.
                known = preceded.get(id(nested), True)
                preceded[id(nested)] = known and is_behind
            elif is_behind:
                yield graph, call
