"""Counting a model."""

import dataclasses
import math

import keras

from keras_attention.counting.multiply_adds import itemsize
from keras_attention.counting.result import Complexity, LayerComplexity
from keras_attention.counting.tracing import Record, trace

# They call their inner layer once in a trace, whatever the number of steps.
_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)


def complexity(model, input_shape=None):
    """Counts a model's parameters, multiply-adds and memory for one image.

    One symbolic pass at batch size 1, in inference mode, records the shapes that
    each layer sees. Nothing is computed, and the model is left as it was.

    Multiply-adds, one multiplication with its addition being 1, of convolutions and
    fully-connected layers, at every call (CBAM's shared MLP counts twice). P is the
    number of output positions, H'·W' of an image:

    - convolution (an `AWConv2D`'s own one is one too): kh·kw·(C1/groups)·C2·P;
    - transposed convolution: kh·kw·C1·C2·(positions of the input);
    - depthwise: kh·kw·C·multiplier·P; separable: that plus C·multiplier·C2·P;
    - `Dense`: C1·C2·P (P = 1 for vectors); `EinsumDense`: the product of the sizes
      of all its indices.

    Not counted, as in the papers' tables: biases, batch norms, activations, pooling,
    element-wise products and additions (such as the gating itself, or AW's K + A ⊙ K)
    and products of two activations (the QKᵀ, relative logits and weights·V of
    `AttentionAugmentedConv2D` and of `MultiHeadAttention`). Neither is what a model
    computes outside such layers, as with `keras.ops.conv`.

    Activation memory is the sum of the bytes of the tensors that layers give as
    output, each tensor once (a layer that hands on another's output adds nothing),
    in its own dtype, half under mixed precision. The model's input and tensors
    inside a layer that are no layer's output are not in it. It is what a training
    step keeps if every layer keeps its output, not the peak of inference.

    Args:
        model: a built `keras.Model`, functional, sequential or subclassed.
        input_shape: shape of one image without the batch axis, e.g. (224, 224, 3);
            needed where the model leaves a size open, or is a subclass without
            symbolic inputs. For several inputs a list in the order of
            `model.inputs`.

    Returns:
        A `Complexity`.

    Raises:
        ValueError: not a Keras model, a model that is not built, an unknown size,
            an `input_shape` that does not fit, or a recurrent or `TimeDistributed`
            layer (its steps cannot be counted).
    """
    _check(model)
    inputs = _inputs(model, input_shape)
    records = trace(model, inputs)
    return Complexity(
        model=model.name,
        input_shapes=tuple(x.shape[1:] for x in keras.tree.flatten(inputs)),
        layers=tuple(_layers(model, records)),
    )


def _check(model):
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`complexity` takes a `keras.Model`. Received: "
            f"{model!r} of type {type(model).__name__}."
        )
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so it has no weights to count. Call "
            "it on data, or `model.build((None, height, width, channels))`, first."
        )
    for layer in model._flatten_layers():
        if isinstance(layer, _LOOPS):
            raise ValueError(
                f"The steps of {type(layer).__name__} {layer.name!r} cannot be "
                "counted. Count the model around it and its inner layer separately."
            )


def _inputs(model, input_shape):
    """Keras tensors of batch size 1, in the structure that the model takes."""
    symbolic = getattr(model, "inputs", None)
    if not symbolic:
        return keras.KerasTensor((1, *_given(model, input_shape)))
    shapes = [x.shape[1:] for x in symbolic]
    if input_shape is not None and len(symbolic) == 1:
        shapes = [input_shape]
    elif input_shape is not None:
        shapes = list(input_shape)
    if len(shapes) != len(symbolic):
        raise ValueError(
            f"Model {model.name!r} has {len(symbolic)} inputs: give `input_shape` as "
            f"a list of as many shapes. Received: {input_shape!r}."
        )
    for shape in shapes:
        _check_known(model, shape)
    tensors = [
        keras.KerasTensor((1, *shape), dtype=x.dtype)
        for shape, x in zip(shapes, symbolic, strict=True)
    ]
    if isinstance(model, keras.Sequential):
        return tensors[0]
    return keras.tree.pack_sequence_as(model.input, tensors)


def _given(model, input_shape):
    if input_shape is None:
        raise ValueError(
            f"Model {model.name!r} does not tell the shape of its input. Pass "
            "`input_shape=`, e.g. (224, 224, 3)."
        )
    return _check_known(model, input_shape)


def _check_known(model, shape):
    if not isinstance(shape, list | tuple) or not all(
        isinstance(size, int) and size > 0 for size in shape
    ):
        raise ValueError(
            f"The counts of {model.name!r} need an input of known size. Pass "
            "`input_shape=`, without the batch axis, e.g. (224, 224, 3). Received: "
            f"{shape!r}."
        )
    return shape


def _layers(model, records):
    """A `LayerComplexity` for every layer that is called or has weights."""
    groups, counted = _groups(model), set()
    for layer in model._flatten_layers():
        record = records.get(id(layer), Record())
        weights = [w for w in _own_weights(layer) if id(w) not in counted]
        counted.update(map(id, weights))
        if weights or record.calls:
            yield LayerComplexity(
                path=layer.path or layer.name,
                group=groups[id(layer)],
                kind=type(layer).__name__,
                parameters=_elements(weights),
                trainable_parameters=_elements(w for w in weights if w.trainable),
                parameter_bytes=sum(math.prod(w.shape) * itemsize(w) for w in weights),
                **dataclasses.asdict(record),
            )


def _groups(model):
    """{id(layer): name of the model's direct layer that it is, or is inside of}."""
    groups = {id(model): model.name}
    for direct in model._flatten_layers(include_self=False, recursive=False):
        for layer in direct._flatten_layers():
            groups.setdefault(id(layer), direct.name)
    return groups


def _own_weights(layer):
    """The layer's weights without those of its sublayers."""
    children = layer._flatten_layers(include_self=False, recursive=False)
    inside = {id(w) for child in children for w in child.weights}
    return [w for w in layer.weights if id(w) not in inside]


def _elements(weights):
    return sum(math.prod(w.shape) for w in weights)
