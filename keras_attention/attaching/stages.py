"""Where the stages of a graph end: before its resolution drops."""

import itertools

from keras_attention.attaching.images import changes_border, is_merge

__all__ = ["stage_ends"]


def stage_ends(graph):
    """The calls whose results end a stage: all but the last stage's.

    The end of a stage is the last image of its resolution through which every way to a
    lower one goes, with a convolution before it and one behind it. Of a stage that adds
    or concatenates images it is the last such result, with its norm and activation:
    the convolutions behind it are of the next block. A stem is no stage: what comes
    before the first addition or concatenation, if a stage has one.

    Args:
        graph: a `Graph`.

    Returns:
        List of calls, in order.
    """
    convolutions = graph.images.convolutions
    ends = [_end(graph, group) for group in _groups(graph)]
    stages = {end: _stage(graph, end) for end in ends}
    ends = [e for e in ends if any(convolutions[call.index] for call in stages[e])]
    merged = sum(
        1 << end.index
        for end in ends
        if any(_merges_images(graph, call) for call in stages[end])
    )
    if merged:
        ends = [call for call in ends if graph.ancestors[call.index] & merged]
    crossed = {
        call
        for pair in itertools.combinations(ends, 2)
        if _cross(graph, *pair)
        for call in pair
    }
    ends = [call for call in ends if call not in crossed]
    return sorted(ends, key=lambda call: call.index)


def _groups(graph):
    """For each lowering of the resolution the images that all ways to it go through."""
    groups = []
    for call in filter(lambda call: _drops(graph, call), graph.calls):
        shared = _before(graph, call)
        for i, group in enumerate(groups):
            if group & shared:  # parts of one lowering, such as branch and shortcut
                groups[i] = group & shared
                break
        else:
            groups.append(shared)
    return [group for group in groups if group]


def _end(graph, group):
    calls = graph.members(group)
    merges = [i for i, call in enumerate(calls) if _merges_images(graph, call)]
    if not merges:
        return calls[-1]
    behind = itertools.takewhile(
        lambda call: not graph.images.convolutions[call.index], calls[merges[-1] :]
    )
    return list(behind)[-1]


def _cross(graph, one, other):
    """Whether each of two ends is on a part only of the ways out of one stage."""
    strides = graph.images.strides
    shared = graph.ancestors[one.index] & graph.ancestors[other.index]
    return strides[one.index] == strides[other.index] and any(
        not call.is_input for call in graph.members(shared)
    )


def _drops(graph, call):
    images = graph.images
    if not images.is_image[call.index] or images.step(call) <= 1:
        return False
    after = (
        other
        for other in graph.calls
        if graph.ancestors[other.index] >> call.index & 1
        and images.is_image[other.index]
        and not images.is_pooled[other.index]
    )
    return any(images.convolutions[other.index] for other in after)


def _before(graph, call):
    """The images on every way to a call, of the resolution that it takes."""
    strides = graph.images.strides
    taken = max(strides[parent] for parent in graph.images.images_into(call))
    return sum(
        1 << other.index
        for other in graph.members(graph.dominators[call.index])
        if other is not call
        and strides[other.index] == taken
        and graph.images.is_image[other.index]
        and not changes_border(other.operation)
    )


def _stage(graph, end):
    """The calls of the end's resolution before it."""
    strides = graph.images.strides
    before = graph.members(graph.ancestors[end.index])
    return [call for call in before if strides[call.index] == strides[end.index]]


def _merges_images(graph, call):
    return is_merge(call) and len(graph.images.images_into(call)) > 1
