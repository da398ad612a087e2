"""The stages of any network, from its graph alone."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from dataclasses import dataclass, field

import keras

from keras_attention.attaching.graph import Call, as_functional, trace

# Features of a stage keep at least this part of their height and width, so that
# convolutions without padding begin none.
KEPT = 3 / 4
POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)


@dataclass(frozen=True)
class Stage:
    """Layers of a network whose outputs have about one size.

    Args:
        size: `(height, width)` of its first features, or None behind the pooling.
        layers: those with weights, from the input on.
    """

    size: tuple[int, int] | None
    layers: list[keras.layers.Layer] = field(default_factory=list)

    def __str__(self) -> str:
        size = "head" if self.size is None else "×".join(map(str, self.size))
        ends = dict.fromkeys((self.layers[0].name, self.layers[-1].name))
        return f"{size} ({' … '.join(ends)})"


def stages_of(model: keras.Model) -> tuple[list[Stage], Stage]:
    """A network's stages, from the input on, and its head.

    The network is cut wherever all that it knows of its input is in one tensor:
    before and behind each residual block, for one. A piece belongs to the stage
    before it, unless its output is smaller by a quarter or more; then it begins one.
    So a block that halves its features begins a stage as a whole. A ResNet for
    224×224 images has five stages: the stem's convolution (112×112), and the four
    that the paper counts. The head is what comes behind the pooling, the classifier
    included.

    A model in a model is cut as if its layers stood in the outer one; it may take
    images of any size.

    Args:
        model: functional or sequential, images `[batch, height, width, channels]` of
            a known size in.

    Raises:
        ValueError: the model is of another kind, or takes images of any size.
    """
    if None in model.input_shape[1:]:
        raise ValueError(
            f"Stages are told apart by their size, and {model.name} takes images of "
            f"any size: {model.input_shape}"
        )
    stages, head, pooled = [], Stage(None), False
    for layers, shape in _pieces(model):
        pooled = pooled or len(shape) != 4 or isinstance(layers[-1], POOLING)
        learning = [layer for layer in layers if _learns(layer)]
        if learning and not pooled and None in shape[1:3]:
            raise ValueError(
                "Stages are told apart by their size, and what comes out of "
                f"{layers[-1].name!r} has none: {tuple(shape)}. Put a layer "
                "there whose output has one"
            )
        if learning:
            stage = head if pooled else _next(stages, shape[1:3])
            stage.layers.extend(learning)
    return stages, head


def _learns(layer: keras.layers.Layer) -> bool:
    # What a `Normalization` holds is set before training.
    return bool(layer.weights) and not isinstance(layer, keras.layers.Normalization)


def _next(stages: list[Stage], size: tuple[int, int]) -> Stage:
    """The stage of features of this size, which follow those of `stages`."""
    if not stages or any(
        now < KEPT * before for now, before in zip(size, stages[-1].size, strict=True)
    ):
        stages.append(Stage(size))
    return stages[-1]


def _pieces(model: keras.Model, inputs=None) -> Iterator[tuple[list, tuple]]:
    """(layers, shape of the output) of each piece between two cuts.

    `inputs` are what the model is called on, whose size it may not know itself.
    """
    calls, outputs = trace(as_functional(model), inputs)
    uses = collections.Counter(id(x) for call in calls for x in call.inputs)
    uses.update(id(x) for x in keras.tree.flatten(outputs))
    alive, piece = set(), []
    for call in calls:
        uses.subtract(id(x) for x in call.inputs)
        alive |= {id(x) for x in call.outputs}
        alive = {x for x in alive if uses[x]}
        piece.append(call)
        if len(alive) == 1:
            yield from _opened(piece)
            piece = []


def _opened(piece: list[Call]) -> Iterator[tuple[list, tuple]]:
    """A piece; in place of a model that is one by itself, that model's pieces."""
    last = piece[-1]
    if len(piece) == 1 and isinstance(last.operation, keras.Model):
        taken = keras.tree.pack_sequence_as(last.operation.input, last.inputs)
        yield from _pieces(last.operation, taken)
        return
    layers = [layer for call in piece for layer in _leaves(call.operation)]
    if layers:
        yield layers, last.outputs[0].shape


def _leaves(operation: keras.Operation) -> list[keras.layers.Layer]:
    """The layers of a model that are no models, or the layer that this is."""
    if isinstance(operation, keras.Model):
        return [layer for inner in operation.layers for layer in _leaves(inner)]
    return [operation] if isinstance(operation, keras.layers.Layer) else []
