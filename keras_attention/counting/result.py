"""What a count gives: figures by layer, and their totals."""

import dataclasses
import json

from keras_attention.counting.table import table


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
        return table(self)


_TOTALS = (
    "parameters",
    "trainable_parameters",
    "multiply_adds",
    "parameter_bytes",
    "activation_bytes",
)
