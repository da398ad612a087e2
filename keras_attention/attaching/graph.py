"""A functional model as the list of its calls, and which of them needs which."""

import functools

import keras

from keras_attention.attaching.images import Images

__all__ = ["Call", "Graph", "as_functional", "is_functional", "same_inputs", "trace"]


class Graph:
    """The calls of a functional or sequential model, in an order in which they can run.

    Sets of calls are integers: bit i stands for `calls[i]`.

    Args:
        model: a built functional or sequential model; left as it was.
        path: what stands before its layers' names, such as `"backbone/"`.
        known: {id of a nested model: its graph}, for models that are called twice.

    Attributes:
        original: the model given.
        model: the same as a functional one, of the same layers.
        calls: list of `Call`; the model's inputs come first.
        outputs: structure of tensors, as `model.output`.
        nested: {id of an operation: `Graph`}, of the models among the operations.

    Raises:
        ValueError: the model is of another kind, not built, or quantized.
    """

    def __init__(self, model, path="", known=None):
        self.original = model
        self.model = as_functional(model)
        self.path = path
        self.calls, self.outputs = trace(self.model)
        self.nested = {}
        known = {} if known is None else known
        for call in self.calls:
            operation = call.operation
            if id(operation) not in known and is_functional(operation):
                inner = f"{path}{operation.name}/"
                known[id(operation)] = Graph(operation, inner, known)
            if id(operation) in known:
                self.nested[id(operation)] = known[id(operation)]

    def all(self):
        """This graph and those of the models in it, each once."""
        found = {id(self): self}
        for graph in self.nested.values():
            found.update((id(inner), inner) for inner in graph.all())
        return list(found.values())

    def path_of(self, call):
        """The path of a call's operation, such as `"backbone/conv1"`."""
        return self.path + call.operation.name

    def calls_of(self, operation):
        """All calls of one operation; several where it is shared."""
        return [call for call in self.calls if call.operation is operation]

    @functools.cached_property
    def ancestors(self):
        """For each call the set of calls that it needs, with itself."""
        found = []
        for call in self.calls:
            needed = 1 << call.index
            for parent in call.parents:
                needed |= found[parent]
            found.append(needed)
        return found

    @functools.cached_property
    def dominators(self):
        """For each call the set of calls on every way from an input, with itself."""
        found = []
        for call in self.calls:
            shared = -1 if call.parents else 0
            for parent in call.parents:
                shared &= found[parent]
            found.append(shared | 1 << call.index)
        return found

    @functools.cached_property
    def consumers(self):
        """For each call the list of the calls that take its result."""
        found = [[] for _ in self.calls]
        for call in self.calls:
            for parent in call.parents:
                found[parent].append(call)
        return found

    @functools.cached_property
    def output_calls(self):
        """The indices of the calls whose results are the model's."""
        producers = {id(t): call.index for call in self.calls for t in call.outputs}
        return [producers[id(t)] for t in keras.tree.flatten(self.outputs)]

    @functools.cached_property
    def images(self):
        """What is known of the images in this graph."""
        return Images(self)

    def members(self, calls):
        """The calls of a set, in order."""
        return [call for call in self.calls if calls >> call.index & 1]


class Call:
    """One call of an operation: a layer, a nested model or a function of `keras.ops`.

    Args:
        index, operation, arguments, outputs: its attributes.
        producers: {id of a tensor: the index of the call that made it}.

    Attributes:
        index: its place in `Graph.calls`.
        operation: what the model calls; an `InputLayer` for an input.
        arguments: (args, kwargs), tensors among them.
        inputs: list of the tensors among the arguments.
        parents: for each of these the index of the call that made it.
        outputs: list of tensors.
    """

    def __init__(self, index, operation, arguments, producers, outputs):
        self.index = index
        self.operation = operation
        self.arguments = arguments
        flat = keras.tree.flatten(arguments)
        self.inputs = [x for x in flat if keras.utils.is_keras_tensor(x)]
        self.parents = [producers[id(tensor)] for tensor in self.inputs]
        self.outputs = outputs

    @property
    def is_input(self):
        return isinstance(self.operation, keras.layers.InputLayer)

    @property
    def shape(self):
        """Of the only output; None where there are several."""
        return self.outputs[0].shape if len(self.outputs) == 1 else None


def as_functional(model):
    """The model as a functional one, of the same layers.

    Raises:
        ValueError: it is no functional or sequential model, not built, or quantized.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`model` must be a `keras.Model`. Received: "
            f"{model!r} of type {type(model).__name__}."
        )
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so its shapes are not known. Call it "
            "on data, or give it an input shape, first."
        )
    if not is_functional(model):
        raise ValueError(
            f"Model {model.name!r} is of the class {type(model).__name__}, whose "
            "structure is not known. `model` must be functional or sequential; build "
            "it of `keras.Input` and layers."
        )
    for layer in model._flatten_layers(include_self=False):
        if getattr(layer, "quantization_mode", None):
            raise ValueError(
                f"Layer {layer.name!r} is quantized ({layer.quantization_mode}) "
                "already. Give the model from before `quantize()`."
            )
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    return keras.Model(model.input, model.output, name=model.name)


def is_functional(operation):
    """Whether this is a model whose calls are known."""
    if isinstance(operation, keras.Sequential):
        return getattr(operation, "inputs", None) is not None
    return isinstance(operation, keras.Model) and hasattr(operation, "operations")


class _StandIn(keras.Operation):
    """What is called in an operation's place, so that the operation gets no calls."""

    def __init__(self, operation):
        super().__init__(name=operation.name)
        self.operation = operation

    def compute_output_spec(self, *args, **kwargs):
        args, kwargs = keras.tree.map_structure(self._cast, (args, kwargs))
        outputs = self.operation.compute_output_spec(*args, **kwargs)
        return keras.tree.map_structure(_fresh, outputs)

    def _cast(self, argument):
        """What a layer makes of its arguments before its call."""
        is_float = keras.utils.is_keras_tensor(argument) and "float" in argument.dtype
        if is_float and getattr(self.operation, "autocast", False):
            return keras.KerasTensor(argument.shape, self.operation.compute_dtype)
        return argument


def _fresh(tensor):
    return keras.KerasTensor(tensor.shape, tensor.dtype, tensor.sparse)


def trace(model, inputs=None):
    """The calls of a functional model, and the structure of its outputs.

    Args:
        model: as from `as_functional`.
        inputs: structure of tensors such as those to trace it on, whose shapes may
            tell more than its own; by default its own.
    """
    calls, producers = [], {}

    def add(operation, arguments, outputs):
        call = Call(len(calls), operation, arguments, producers, outputs)
        producers.update((id(output), call.index) for output in outputs)
        calls.append(call)

    def record(stand_in, *args, **kwargs):
        outputs = stand_in(*args, **kwargs)
        add(stand_in.operation, (args, kwargs), keras.tree.flatten(outputs))
        return outputs

    layers = _input_layers(model)
    if inputs is None:
        inputs = same_inputs(model)
    else:  # on inputs of their own, as Keras copies what leads to others
        inputs = keras.tree.map_structure(_input_like, inputs)
    for tensor, original in zip(keras.tree.flatten(inputs), model.inputs, strict=True):
        add(layers[id(original)], ((), {}), [tensor])
    traced = keras.models.clone_model(
        model, inputs, clone_function=_StandIn, call_function=record
    )
    return calls, traced.output


def same_inputs(model):
    """Input tensors like a functional model's, in their structure."""
    layers = _input_layers(model)
    return keras.tree.map_structure(lambda t: _same_input(layers[id(t)]), model.input)


def _input_layers(model):
    """{id of an input tensor of the model: the layer that it is of}."""
    layers = [x for x in model.layers if isinstance(x, keras.layers.InputLayer)]
    return {id(layer.output): layer for layer in layers}


def _input_like(tensor):
    """An input tensor like any tensor."""
    shape, dtype = tensor.shape, tensor.dtype
    return keras.Input(batch_shape=shape, dtype=dtype, sparse=tensor.sparse)


def _same_input(layer):
    """An input tensor like that of an `InputLayer`."""
    return keras.Input(
        batch_shape=layer.batch_shape,
        dtype=layer.output.dtype,
        sparse=layer.sparse,
        name=layer.name,
        optional=layer.optional,
    )
