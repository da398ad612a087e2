"""What each operation costs, at the shape where it would stand."""

import time

import keras
import numpy as np

from keras_attention.choices import check_choice
from keras_attention.counting import complexity
from keras_attention.layers.checks import positive_integer
from keras_attention.tuning.mixed import block_of, mixed_layers

__all__ = ["MEASURES", "costs_by_block", "latency_costs", "operation_costs"]

MEASURES = {
    "parameters": "trainable_parameters",
    "multiply_adds": "multiply_adds",
}


def operation_costs(supernet, space, measure="parameters", site="block"):
    """What each operation adds to the network, for every α of a supernet.

    Counted by `keras_attention.complexity` on the operation's own layer, at the
    shape that its mixed layer sees. The identity and the plain convolution add
    nothing; the AW-convolution adds what it has above the plain one.

    Args:
        supernet: a functional model built with `attention=space.spec()`, with inputs
            of known size.
        space: its `SearchSpace`.
        measure: `"parameters"` (trainable ones) or `"multiply_adds"` (for one image).
        site: `"block"`, or `"conv"` for the second axis.

    Returns:
        An int64 array of shape (mixed layers of the site, operations), in the order of
        `architecture_variables(supernet, site)`. `costs_by_block` sums it by block.

    Raises:
        ValueError: an unknown measure, no supernet, another space than its own, or an
            input of unknown size.
    """
    field = MEASURES[check_choice("measure", measure, MEASURES)]

    def count(layers):
        with keras.StatelessScope(initialize_variables=False):
            return {
                key: getattr(complexity(_alone(*found)), field)
                for key, found in layers.items()
            }

    return _added(supernet, space, site, count).astype("int64")


def latency_costs(supernet, space, site="block", batch_size=1, repeats=20):
    """Seconds that each operation adds to inference, for every α of a supernet.

    The shortest of `repeats` calls of a model with the operation alone, less that of
    the identity (or the plain convolution), at least 0. The models take turns, so
    that a busy moment of the machine does not fall on one of them.

    Args:
        supernet, space, site: as `operation_costs`.
        batch_size: int ≥ 1, images per call.
        repeats: int ≥ 1.

    Returns:
        A float64 array of shape (mixed layers of the site, operations).

    Raises:
        ValueError: as `operation_costs`, and a number below 1.
    """
    positive_integer("batch_size", batch_size)
    positive_integer("repeats", repeats)

    def measure(layers):
        models = {key: _alone(*found) for key, found in layers.items()}
        return _seconds(models, batch_size, repeats)

    return np.maximum(_added(supernet, space, site, measure), 0.0)


def costs_by_block(supernet, costs, site="block"):
    """The rows of `costs`, one per α, summed by block.

    Args:
        supernet: the model that they were measured on.
        costs: (mixed layers of the site, operations).
        site: `"block"` or `"conv"`.

    Returns:
        An array of shape (blocks, operations), in the order of `block_probabilities`.

    Raises:
        ValueError: another number of rows.
    """
    layers = mixed_layers(supernet, site)
    costs = np.asarray(costs)
    if costs.ndim != 2 or len(costs) != len(layers):
        raise ValueError(
            f"`costs` needs a row for each of {len(layers)} mixed layers. Received "
            f"shape: {costs.shape}."
        )
    sums = {}
    for layer, row in zip(layers, costs, strict=True):
        sums[block_of(layer)] = sums.get(block_of(layer), 0) + row
    return np.array(list(sums.values()))


def _added(supernet, space, site, measure):
    """(mixed layers, operations): each one's measure above that of the empty one.

    `measure` takes {key: (layer, shape of its input)}, where equal layers at equal
    shapes are one, and gives {key: number}.
    """
    rows, layers = [], {}
    for mixed in mixed_layers(supernet, site):
        shape = tuple(mixed.input.shape[1:])
        if None in shape:
            raise ValueError(
                f"The costs of {mixed.name!r} need an input of known size. Build the "
                f"supernet with `input_shape`. Received: {shape}."
            )
        alone = _candidates(mixed, space)
        row = [(_description(layer), shape) for layer in alone]
        layers |= {key: (layer, shape) for key, layer in zip(row, alone, strict=True)}
        rows.append(row)
    found = measure(layers)
    return np.array([[found[key] - found[row[0]] for key in row[1:]] for row in rows])


def _candidates(mixed, space):
    """New layers: the one that adds nothing, then every candidate."""
    if mixed.site == "conv":
        plain, weighted = mixed.alternatives()
        return [plain, plain, weighted]
    if mixed.alpha.shape[0] != len(space.operations):
        raise ValueError(
            f"{mixed.name!r} has {mixed.alpha.shape[0]} candidates, and space "
            f"{space.name!r} has {len(space.operations)}. Use the supernet's own space."
        )
    options = {"data_format": mixed.data_format, "dtype": mixed.dtype_policy}
    identity = keras.layers.Identity()
    specs = [operation.attention for operation in space.operations]
    return [identity, *(spec.make(**options) if spec else identity for spec in specs)]


def _description(layer):
    """A key that equal layers share, whatever their names."""
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    return type(layer).__name__, repr(config)


def _alone(layer, shape):
    image = keras.Input(shape)
    return keras.Model(image, layer(image))


def _seconds(models, batch_size, repeats):
    """{key: seconds of the shortest call}."""
    images = {
        key: np.random.default_rng(0)
        .normal(size=(batch_size, *model.input_shape[1:]))
        .astype("float32")
        for key, model in models.items()
    }
    for key, model in models.items():
        model.predict_on_batch(images[key])  # compiles
    shortest = dict.fromkeys(models, np.inf)
    for _ in range(repeats):
        for key, model in models.items():
            start = time.perf_counter()
            model.predict_on_batch(images[key])
            shortest[key] = min(shortest[key], time.perf_counter() - start)
    return shortest
