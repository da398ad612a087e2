"""What each layer is called on, recorded in one symbolic forward pass."""

import collections
import contextlib
import dataclasses
import functools

import keras

from keras_attention.counting.multiply_adds import itemsize, multiply_adds, size_of


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
class Record:
    """What the calls of one layer add up to."""

    calls: int = 0
    multiply_adds: int = 0
    activation_bytes: int = 0
    output_shape: tuple | list | None = None


class _Recorder:
    """Records of layers, by id, and every tensor seen so far."""

    def __init__(self):
        self.records = collections.defaultdict(Record)
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
            record.multiply_adds += multiply_adds(layer, inputs, outputs)
            record.activation_bytes += sum(
                size_of(layer, x) * itemsize(x) for x in outputs if self.is_new(x)
            )
            shapes = [tuple(x.shape[1:]) for x in outputs]
            record.output_shape = shapes[0] if len(shapes) == 1 else shapes
            return result

        return recorded


def trace(model, inputs):
    """{id(layer): Record} of one forward pass on symbolic `inputs`."""
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
