"""Single places in a graph, and why an attention cannot stand there."""

from dataclasses import dataclass

import keras

from keras_attention.attaching.graph import Call, Graph
from keras_attention.layers.convolution import Conv2D

__all__ = ["Place", "no_plain_convolution", "refusal"]

# Of these the kernel alone says what they compute; a subclass may do otherwise.
_PLAIN = (keras.layers.Conv2D, Conv2D)


@dataclass(frozen=True, eq=False)
class Place:
    """Where one attention stands.

    Args:
        graph: the `Graph`.
        call: the `Call` that it stands at.
        kind: `"behind"` the call, `"before"` one of its inputs, or `"instead"` of its
            operation, wherever that is called.
        position: which of the inputs, for `"before"`.
    """

    graph: Graph
    call: Call
    kind: str
    position: int | None = None

    @property
    def source(self):
        """The index of the call whose result the attention takes."""
        if self.kind == "behind":
            return self.call.index
        return self.call.parents[self.position or 0]

    @property
    def name(self):
        """Of the operation that it stands at."""
        return self.call.operation.name

    @property
    def path(self):
        """Of the operation that it stands at, such as `"backbone/conv1"`."""
        return self.graph.path_of(self.call)

    def __str__(self):
        words = {"behind": "behind", "before": "before", "instead": "in place of"}
        return f"{words[self.kind]} {self.path!r}"

    def shared_by(self):
        """What tells places that share one attention: those behind a shared layer.

        That is the nearest layer with weights above, if it is called several times, and
        how far it is; None for a place of its own.
        """
        call, steps = self.graph.calls[self.source], 0
        while not getattr(call.operation, "weights", None):
            if len(call.parents) != 1:
                return None
            call, steps = self.graph.calls[call.parents[0]], steps + 1
        if len(self.graph.calls_of(call.operation)) < 2:
            return None
        return id(call.operation), self.kind, steps


def refusal(place, spec):
    """The reason why a spec cannot stand at a place; None where it can."""
    if place.kind == "instead":
        return no_plain_convolution(place) or _no_kernel(spec)
    return _no_image(place)


def _no_image(place):
    call = place.graph.calls[place.source]
    if call.shape is None:
        return f"it gives {len(call.outputs)} tensors, not one"
    if not place.graph.images.is_image[place.source]:
        return (
            f"what it gives is no 4-D image of floats but of shape {call.shape} and "
            f"dtype {call.outputs[0].dtype}"
        )
    if place.graph.images.channels(place.source) is None:
        data_format = place.graph.images.formats[place.source]
        return f"the channels of its {data_format} image {call.shape} are not known"
    return None


def no_plain_convolution(place):
    """The reason why a place's operation is no convolution to be replaced, or None."""
    operation = place.call.operation
    kind = type(operation).__name__
    if type(operation) in _PLAIN:
        return None
    if isinstance(operation, keras.layers.DepthwiseConv2D):
        return "a depthwise convolution has no kernel over channels to weigh"
    if isinstance(operation, keras.layers.Conv2D):
        return f"a {kind} may compute something else by its kernel than a Conv2D"
    return f"a {kind} is no Conv2D"


def _no_kernel(spec):
    if issubclass(spec.layer, keras.layers.Conv2D):
        return None
    return (
        f"a {spec.layer.__name__} cannot take the kernel over, as it is no Conv2D (the "
        "convolution of 'aa' has fewer filters)"
    )
