"""Residual additions, and which of their two inputs is the residual branch."""

from keras_attention.attaching.images import is_addition

__all__ = ["residual_additions"]


def residual_additions(graph):
    """The residual additions of images in a graph, and why the others are none.

    Two ways lead from the last tensor that both inputs of an addition need to those
    inputs. The one with more convolutions is the residual branch; the other is the
    shortcut, of at most one.

    Args:
        graph: a `Graph`.

    Returns:
        ({index of a call: which of its inputs is the residual branch}, {path: reason}).
    """
    found, skipped = {}, {}
    for call in filter(is_addition, graph.calls):
        reason = _shape_reason(graph, call) or _ways_reason(graph, call)
        if reason:
            skipped[graph.path_of(call)] = reason
        else:
            first, second = _convolutions_on_ways(graph, call)
            found[call.index] = 0 if first > second else 1
    return found, skipped


def _shape_reason(graph, call):
    if len(call.parents) > 2:
        return f"it adds {len(call.parents)} tensors, not two"
    shapes = [graph.calls[parent].shape for parent in call.parents]
    if not all(graph.images.is_image[parent] for parent in call.parents):
        return f"its inputs are no two images but {shapes[0]} and {shapes[1]}"
    if shapes[0] != shapes[1]:
        return f"its inputs differ in shape, {shapes[0]} and {shapes[1]}"
    return None


def _ways_reason(graph, call):
    first, second = (graph.ancestors[parent] for parent in call.parents)
    if not first & second:
        return "its inputs have no common origin"
    if any(graph.images.step(other) < 1 for other in graph.members(first ^ second)):
        return "one of the ways to it enlarges its image"
    counts = _convolutions_on_ways(graph, call)
    if counts[0] == counts[1]:
        return f"both ways to it have {counts[0]} convolutions, so none is the shortcut"
    if min(counts) > 1:
        return f"both ways to it have several convolutions, {counts[0]} and {counts[1]}"
    return None


def _convolutions_on_ways(graph, call):
    """How many convolutions each input needs that the other does not."""
    first, second = (graph.ancestors[parent] for parent in call.parents)
    return [
        sum(graph.images.convolutions[other.index] for other in graph.members(way))
        for way in (first & ~second, second & ~first)
    ]
