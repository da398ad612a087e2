"""A graph built again with layers put in, or in place of others."""

import itertools

import keras

from keras_attention.attaching.copying import carry_flags, carry_weights, remade
from keras_attention.attaching.graph import is_functional, same_inputs

__all__ = ["Rewriting"]


class Rewriting:
    """Changes of a graph and of the models in it, and the model with them.

    Args:
        root: `Graph` of the whole model, which is left as it was.
        inputs: structure of `keras.Input` to build it on; by default such as its own.
    """

    def __init__(self, root, inputs=None):
        self.root = root
        self._inputs = inputs
        self._put = {}  # (id of a graph, index of a call, input or None): layers
        self._replaced = {}  # id of an operation: (operation, layer)
        self._copies = {}  # id of an operation: (operation, copy)
        self._models = {}  # id of a graph: model
        self._names = {
            id(graph): {call.operation.name for call in graph.calls}
            for graph in root.all()
        }

    def new_name(self, graph, name):
        """`name`, or it with a number where the graph has one of that name."""
        taken = self._names[id(graph)]
        tries = itertools.chain([name], (f"{name}_{i}" for i in itertools.count(1)))
        free = next(attempt for attempt in tries if attempt not in taken)
        taken.add(free)
        return free

    def put(self, layer, graph, call, position=None):
        """Put a layer behind a call, or before one of its inputs."""
        self._put.setdefault((id(graph), call.index, position), []).append(layer)

    def replace(self, operation, layer):
        """Call `layer` wherever `operation` was; its weights are the caller's."""
        self._replaced[id(operation)] = (operation, layer)

    def copy_of(self, operation):
        """What stands in the new model for an operation of the old one."""
        return self._copies[id(operation)][1]

    def build(self):
        """The new model, a plain functional one that is not compiled."""
        model = self._build(self.root)
        for operation, copied in self._copies.values():
            if id(operation) not in self._replaced and not is_functional(operation):
                carry_weights(operation, copied)
        put = any(layer.weights for layers in self._put.values() for layer in layers)
        self._set_flags(self.root, frozen=put and not self.root.original.trainable)
        return model

    def _build(self, graph):
        if id(graph) in self._models:
            return self._models[id(graph)]
        own = graph is not self.root or self._inputs is None
        inputs = same_inputs(graph.model) if own else self._inputs
        tensors = {}
        given = iter(keras.tree.flatten(inputs))
        for call in graph.calls:
            made = [next(given)] if call.is_input else self._call(graph, call, tensors)
            if len(made) == 1:
                made = [self._through(graph, call, None, made[0])]
            tensors.update(
                (id(old), new) for old, new in zip(call.outputs, made, strict=True)
            )
        outputs = keras.tree.map_structure(lambda t: tensors[id(t)], graph.outputs)
        model = keras.Model(inputs, outputs, name=graph.original.name)
        if hasattr(graph.original, "weights_report"):  # where its weights are from
            model.weights_report = graph.original.weights_report
        self._models[id(graph)] = model
        return model

    def _call(self, graph, call, tensors):
        positions = itertools.count()

        def fill_in(argument):
            if not keras.utils.is_keras_tensor(argument):
                return argument
            tensor = tensors[id(argument)]
            return self._through(graph, call, next(positions), tensor)

        args, kwargs = keras.tree.map_structure(fill_in, call.arguments)
        operation = self._copy(graph, call.operation)
        return keras.tree.flatten(operation(*args, **kwargs))

    def _through(self, graph, call, position, tensor):
        for layer in self._put.get((id(graph), call.index, position), ()):
            tensor = layer(tensor)
        return tensor

    def _copy(self, graph, operation):
        if id(operation) not in self._copies:
            if id(operation) in self._replaced:
                copied = self._replaced[id(operation)][1]
            elif id(operation) in graph.nested:
                copied = self._build(graph.nested[id(operation)])
            else:
                copied = remade(operation)
            self._copies[id(operation)] = (operation, copied)
        return self._copies[id(operation)][1]

    def _set_flags(self, graph, frozen):
        """Make what is trainable as it was, and what was put in trainable.

        A frozen model gives out no trainable weights, whatever its layers say. If
        something is put into it, all its layers are frozen in its place.
        """
        self._models[id(graph)].trainable = frozen or graph.original.trainable
        for operation, copied in self._in(graph):
            if id(operation) in graph.nested:
                self._set_flags(graph.nested[id(operation)], frozen)
            elif frozen:
                copied.trainable = False
            elif id(operation) in self._replaced:
                copied.trainable = operation.trainable
            else:
                carry_flags(operation, copied)
        for layer in self._puts_into(graph):
            layer.trainable = True

    def _in(self, graph):
        """(layer, copy) of the layers and models in a graph."""
        pairs = {
            id(call.operation): self._copies[id(call.operation)]
            for call in graph.calls
            if isinstance(call.operation, keras.layers.Layer) and not call.is_input
        }
        return list(pairs.values())

    def _puts_into(self, graph):
        keys = [key for key in self._put if key[0] == id(graph)]
        return [layer for key in keys for layer in self._put[key]]
