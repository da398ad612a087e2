"""What is known of the images in a graph: layout, stride, convolutions."""

import keras

from keras_attention.layers.gate import Gate
from keras_attention.ops.layout import channel_axis, spatial_axes

__all__ = ["Images", "count_convolutions", "is_addition", "is_merge"]

CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,  # on images a pointwise one, as in ConvNeXt
    keras.layers.EinsumDense,
)
_GLOBAL_POOLING = (
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
)
# InceptionResNetV2's, inputs[0] + scale · inputs[1].
_ADDITIONS = ("Add", "CustomScaleLayer")


class Images:
    """The images that the calls of a `Graph` make, each by its call's index.

    Attributes:
        formats: `data_format` of each call's result, by the nearest layer that has one.
        is_image: whether it is one 4-D tensor of floats.
        is_pooled: whether it is an image of one place that stands for a larger one, as
            in squeeze-and-excitation.
        strides: by how much height and width are divided since the inputs.
        convolutions: how many convolutions the call's operation has.
    """

    def __init__(self, graph):
        self.graph = graph
        self.formats = _formats(graph)
        self.is_image = [_is_image(call) for call in graph.calls]
        self.convolutions = [count_convolutions(c.operation) for c in graph.calls]
        self.is_pooled = []
        self.strides = []
        for call in graph.calls:
            self.is_pooled.append(self._is_pooled(call))
            strides = [self.strides[parent] for parent in self.images_into(call)]
            self.strides.append(max(strides, default=1) * self.step(call))

    def images_into(self, call):
        """The calls whose results are images and go into this call."""
        return [parent for parent in call.parents if self.is_image[parent]]

    def channels(self, index):
        """The channels of an image; None where unknown."""
        call = self.graph.calls[index]
        return call.shape[channel_axis(self.formats[index])]

    def size(self, index):
        """(height, width) of an image, either None where unknown."""
        shape = self.graph.calls[index].shape
        return tuple(shape[axis] for axis in spatial_axes(self.formats[index]))

    def policy(self, index):
        """The dtype policy of the nearest layer whose result this is; None without."""
        call = self.graph.calls[index]
        nested = self.graph.nested.get(id(call.operation))
        if nested is not None:
            return nested.images.policy(nested.output_calls[0])
        if call.is_input:
            return None
        if isinstance(call.operation, keras.layers.Layer):
            return call.operation.dtype_policy
        return self.policy(call.parents[0]) if call.parents else None

    def step(self, call):
        """By how much this call divides height and width; below 1 where it enlarges."""
        operation = call.operation
        nested = self.graph.nested.get(id(operation))
        if changes_border(operation):
            return 1
        if nested is not None:
            return max(nested.images.strides[index] for index in nested.output_calls)
        if isinstance(operation, keras.layers.UpSampling2D):
            return 1 / max(operation.size)
        strides = getattr(operation, "strides", None)
        if strides is None:
            return self._ratio(call)
        strides = max(strides) if isinstance(strides, tuple | list) else strides
        transposed = isinstance(operation, keras.layers.Conv2DTranspose)
        return 1 / strides if transposed else strides

    def _ratio(self, call):
        """The step of an operation that has no strides, by sizes that are known."""
        into = self.images_into(call)
        if not into or not self.is_image[call.index] or self.is_pooled[call.index]:
            return 1
        new = self.size(call.index)
        old = [max(sizes) for sizes in zip(*map(self._known, into), strict=True)]
        if None in new or 0 in (*new, *old):
            return 1
        ratio = max(o / n for o, n in zip(old, new, strict=True))
        # Less is a border that an operation unknown to us adds or cuts off.
        return ratio if not 0.6 < ratio < 1.8 else 1

    def _known(self, index):
        return [size or 0 for size in self.size(index)]

    def _is_pooled(self, call):
        if not self.is_image[call.index] or call.is_input:
            return False
        if isinstance(call.operation, _GLOBAL_POOLING):
            return True
        into = self.images_into(call)
        if into and all(self.is_pooled[parent] for parent in into):
            return True
        if getattr(call.operation, "strides", None) is not None:
            return False
        larger = any(self.size(parent) != (1, 1) for parent in into)
        return self.size(call.index) == (1, 1) and (larger or not into)


def count_convolutions(operation):
    """How many convolutions are in an operation; a gate's own count for none."""
    if isinstance(operation, CONVOLUTIONS):
        return 1
    if isinstance(operation, Gate) or not isinstance(operation, keras.layers.Layer):
        return 0
    parts = operation._flatten_layers(include_self=False, recursive=False)
    return sum(map(count_convolutions, parts))


def changes_border(operation):
    """Whether an operation adds or cuts a border, which a convolution's may be."""
    known = (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)
    return isinstance(operation, known) or type(operation).__name__ == "Pad"


def is_addition(call):
    """Whether a call adds two or more tensors."""
    named = type(call.operation).__name__ in _ADDITIONS
    known = type(call.operation).__module__.partition(".")[0] == "keras"
    return len(call.parents) > 1 and (
        isinstance(call.operation, keras.layers.Add) or (named and known)
    )


def is_merge(call):
    """Whether a call adds or concatenates tensors."""
    named = type(call.operation).__name__ == "Concatenate"
    return is_addition(call) or (named and len(call.parents) > 1)


def _is_image(call):
    return (
        call.shape is not None
        and len(call.shape) == 4
        and "float" in call.outputs[0].dtype
    )


def _formats(graph):
    formats = []
    for call in graph.calls:
        before = [formats[parent] for parent in call.parents if formats[parent]]
        nested = graph.nested.get(id(call.operation))
        if nested is not None:
            own = nested.images.formats[nested.output_calls[0]]
        else:
            own = getattr(call.operation, "data_format", None)
        formats.append(own or next(iter(before), None))
    for call in reversed(graph.calls):
        behind = [formats[consumer.index] for consumer in graph.consumers[call.index]]
        own = formats[call.index] or next(filter(None, behind), None)
        formats[call.index] = own or keras.config.image_data_format()
    return formats
