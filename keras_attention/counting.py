"""Parameters, multiply-adds and memory of a model, as the papers' tables count them."""

import collections
import contextlib
import dataclasses
import functools
import json
import math

import keras
import numpy as np

_CONVS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
# They call their inner layer once in a trace, whatever the number of steps.
_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)


@dataclasses.dataclass(frozen=True)
class LayerComplexity:
    """What one layer itself adds; its sublayers have entries of their own.

    Attributes:
        path: str, `layer.path`, e.g. `"stage1_block1_attention/reduce"`.
        group: str, name of the model's direct layer that it is, or is inside of.
        kind: str, the layer's class.
        calls: int, how often one forward pass calls the layer.
        output_shape: its last output without the batch axis (a list of them where
            there are several), None where it is not called.
        parameters: int, all weights.
        trainable_parameters: int, trainable weights.
        multiply_adds: int, over all calls, for one image.
        parameter_bytes: int.
        activation_bytes: int, of the output tensors that it made, for one image.
    """

    path: str
    group: str
    kind: str
    calls: int
    output_shape: tuple | list | None
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    parameter_bytes: int
    activation_bytes: int


@dataclasses.dataclass(frozen=True)
class Complexity:
    """The result of `complexity`; `print` shows it as a table.

    Attributes:
        model: str, the model's name.
        input_shapes: tuple with the shape of each input, without the batch axis.
        layers: tuple of `LayerComplexity`, for every layer (the model and models
            inside it too) that is called or has weights of its own.

    Each total (`parameters`, `trainable_parameters`, `multiply_adds`,
    `parameter_bytes`, `activation_bytes`) is the sum over `layers`.
    """

    model: str
    input_shapes: tuple
    layers: tuple

    @property
    def parameters(self):
        """All weights, moving statistics of batch norms included."""
        return self._total("parameters")

    @property
    def trainable_parameters(self):
        """Trainable weights: what the papers print, where nothing is frozen."""
        return self._total("trainable_parameters")

    @property
    def multiply_adds(self):
        """Of convolutions and fully-connected layers, for one image."""
        return self._total("multiply_adds")

    @property
    def parameter_bytes(self):
        """Bytes of all weights, each in its own dtype."""
        return self._total("parameter_bytes")

    @property
    def activation_bytes(self):
        """Bytes of all layers' output tensors for one image; see `complexity`."""
        return self._total("activation_bytes")

    def _total(self, field):
        return sum(getattr(layer, field) for layer in self.layers)

    def to_dict(self):
        """Totals and layers as JSON-able values."""
        return {
            "model": self.model,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            **{field: self._total(field) for field in _TOTALS},
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
        }

    def to_json(self, indent=2):
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent)

    def __str__(self):
        return _table(self)


_TOTALS = (
    "parameters",
    "trainable_parameters",
    "multiply_adds",
    "parameter_bytes",
    "activation_bytes",
)


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
    records = _trace(model, inputs)
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


class _ForwardPass(keras.Operation):
    """The model as an operation, whose output spec is found by tracing `call`.

    A model's own `compute_output_spec` asks its layers for shapes, uncalled.
    """

    def __init__(self, model, recorder):
        super().__init__()
        self.model = model
        self.recorder = recorder

    def call(self, inputs):
        self.recorder.is_new(inputs)  # the images are no layer's output
        return self.model(inputs, training=False)


@dataclasses.dataclass
class _Record:
    """What the calls of one layer add up to."""

    calls: int = 0
    multiply_adds: int = 0
    activation_bytes: int = 0
    output_shape: tuple | list | None = None


class _Recorder:
    """Records of layers, by id, and every tensor seen so far."""

    def __init__(self):
        self.records = collections.defaultdict(_Record)
        self._seen = {}  # id -> tensor; kept alive, so that no id is given twice

    def is_new(self, tensor):
        """Whether `tensor` is seen for the first time."""
        new = id(tensor) not in self._seen
        self._seen[id(tensor)] = tensor
        return new

    def wrap(self, layer, call):
        """`call`, recorded as a call of `layer`."""

        @functools.wraps(call)
        def recorded(*args, **kwargs):
            result = call(*args, **kwargs)
            inputs, outputs = _tensors((args, kwargs)), _tensors(result)
            record = self.records[id(layer)]
            record.calls += 1
            record.multiply_adds += _multiply_adds(layer, inputs, outputs)
            record.activation_bytes += sum(
                _size(layer, x) * _itemsize(x) for x in outputs if self.is_new(x)
            )
            shapes = [tuple(x.shape[1:]) for x in outputs]
            record.output_shape = shapes[0] if len(shapes) == 1 else shapes
            return result

        return recorded


def _trace(model, inputs):
    """{id(layer): _Record} of one forward pass on symbolic `inputs`."""
    recorder = _Recorder()
    with contextlib.ExitStack() as stack:
        for layer in model._flatten_layers():
            for method in ("call", "quantized_call"):
                stack.enter_context(_wrapped(layer, method, recorder))
        _ForwardPass(model, recorder).compute_output_spec(inputs)
    return recorder.records


@contextlib.contextmanager
def _wrapped(layer, method, recorder):
    """The layer with `method` wrapped, in its `__dict__`: Keras tracks no change."""
    attributes = vars(layer)
    own = {method: attributes[method]} if method in attributes else {}
    attributes[method] = recorder.wrap(layer, getattr(layer, method))
    try:
        yield
    finally:
        del attributes[method]
        attributes.update(own)


def _tensors(structure):
    return [x for x in keras.tree.flatten(structure) if keras.ops.is_tensor(x)]


def _size(layer, tensor):
    """Number of elements for one image."""
    if None in tuple(tensor.shape):
        raise ValueError(
            f"A tensor of {type(layer).__name__} {layer.name!r} has no known size: "
            f"{tuple(tensor.shape)}. Pass `input_shape=` if the model's input leaves "
            "a size open; a size that depends on the data cannot be counted."
        )
    return math.prod(tensor.shape)


def _itemsize(tensor):
    return np.dtype(keras.backend.standardize_dtype(tensor.dtype)).itemsize


def _multiply_adds(layer, inputs, outputs):
    """Of one call; 0 for what is no convolution and no fully-connected layer."""
    if isinstance(layer, keras.layers.EinsumDense):
        return math.prod(layer.kernel.shape) * _einsum_positions(layer, inputs[0])
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape) * _size(layer, outputs[0]) // layer.units
    if isinstance(layer, _CONVS):
        return _per_position(layer, outputs[0]) * math.prod(layer.kernel.shape)
    if isinstance(layer, _TRANSPOSED):
        return _per_position(layer, inputs[0]) * math.prod(layer.kernel.shape)
    if isinstance(layer, _DEPTHWISE):
        return _per_position(layer, outputs[0]) * math.prod(layer.kernel.shape)
    if isinstance(layer, _SEPARABLE):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        elements = sum(math.prod(kernel.shape) for kernel in kernels)
        return _per_position(layer, outputs[0]) * elements
    return 0


def _per_position(layer, tensor):
    """Number of positions of a map, over all axes but the channels."""
    axis = -1 if layer.data_format == "channels_last" else 1
    return _size(layer, tensor) // tensor.shape[axis]


def _einsum_positions(layer, tensor):
    """Product of the input's sizes whose index the kernel does not have."""
    operands = layer.equation.replace(" ", "").split("->")[0]
    indices, kernel = operands.split(",")
    if "..." in indices:
        open_axes = len(tensor.shape) - len(indices) + 3
        indices = indices.replace("...", "." * open_axes)
    _size(layer, tensor)
    return math.prod(
        size
        for index, size in zip(indices, tensor.shape, strict=True)
        if index not in kernel.replace(".", "")
    )


def _layers(model, records):
    """A `LayerComplexity` for every layer that is called or has weights."""
    groups, counted = _groups(model), set()
    for layer in model._flatten_layers():
        record = records.get(id(layer), _Record())
        weights = [w for w in _own_weights(layer) if id(w) not in counted]
        counted.update(map(id, weights))
        if weights or record.calls:
            yield LayerComplexity(
                path=layer.path or layer.name,
                group=groups[id(layer)],
                kind=type(layer).__name__,
                parameters=_elements(weights),
                trainable_parameters=_elements(w for w in weights if w.trainable),
                parameter_bytes=sum(math.prod(w.shape) * _itemsize(w) for w in weights),
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


def _table(result):
    """Direct layers with multiply-adds, the rest in one row, totals."""
    rows, others = [], [0, 0, 0]
    for name, members in _by_group(result.layers).items():
        sums = [sum(getattr(m, field) for m in members) for field in _COLUMNS]
        if sums[-1]:
            share = f"{100 * sums[-1] / result.multiply_adds:.1f}"
            rows.append((name, _output(members[0]), *map(_number, sums), share))
        else:
            others = [a + b for a, b in zip(others, sums, strict=True)]
    totals = [getattr(result, field) for field in _COLUMNS]
    lines = [
        ("layer", "output", "parameters", "trainable", "multiply-adds", "%"),
        *rows,
        ("(all others)", "", *map(_number, others), ""),
        ("total", "", *map(_number, totals), ""),
    ]
    inputs = ", ".join(map(_shape, result.input_shapes))
    return "\n".join(
        [
            f"{result.model}, one input of {inputs}",
            *_aligned(lines),
            f"parameters {_mebibytes(result.parameter_bytes)}, "
            f"activations {_mebibytes(result.activation_bytes)}",
        ]
    )


_COLUMNS = ("parameters", "trainable_parameters", "multiply_adds")


def _by_group(layers):
    groups = {}
    for layer in layers:
        groups.setdefault(layer.group, []).append(layer)
    return groups


def _aligned(lines):
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        left, right = line[:2], line[2:]
        cells = [f"{cell:<{w}}" for cell, w in zip(left, widths[:2], strict=True)]
        cells += [f"{cell:>{w}}" for cell, w in zip(right, widths[2:], strict=True)]
        yield "  ".join(cells).rstrip()


def _output(layer):
    """The output of a group's first layer, which is the model's direct one."""
    several = isinstance(layer.output_shape, list)
    return ", ".join(
        map(_shape, layer.output_shape if several else [layer.output_shape])
    )


def _number(value):
    return f"{value:,}"


def _shape(shape):
    return "×".join(map(str, shape))


def _mebibytes(size):
    return f"{size / 2**20:.1f} MiB"
