"""Whether a file computes what the network computes."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_attention.attaching.graph import as_functional
from keras_attention.saved_models.logits import ends_in_softmax, without_softmax
from keras_attention.saved_models.rewriting import float32_form
from keras_attention.saved_models.runtime import Artifact, load
from keras_attention.training.prediction import softmax as probability

LEAST_INPUTS = 8


@dataclass(frozen=True)
class Bounds:
    """What a file must keep to.

    Args:
        relative_error: most ‖file − network‖₂ / ‖network‖₂ over all logits (over all
            outputs, where there is no softmax).
        top1_agreement: least part of the inputs with the same most probable class.
    """

    relative_error: float
    top1_agreement: float


# By precision. Those of int8 are for trained networks: the outputs of an untrained one
# hardly differ between inputs, so that any rounding is large beside them.
BOUNDS = {
    "float32": Bounds(1e-5, 1.0),
    "float16": Bounds(5e-3, 0.99),
    "int8": Bounds(0.1, 0.95),
}


@dataclass(frozen=True)
class Verification:
    """How a file compares with its network.

    Args:
        path: of the file.
        format, precision: of the file.
        inputs: number of images that both were run on.
        finite: whether all outputs of the file are finite numbers.
        max_difference: largest difference of an output as the file gives it, after a
            softmax where there is one.
        relative_error: ‖file − network‖₂ / ‖network‖₂ over all logits; over an
            output, the worst one, where there is no softmax.
        top1_agreement: part of the inputs with the same most probable class; None for
            what is no classifier.
        operators: {name of an operator in the file: how many}.
        slow_operators: those of them that XNNPACK, LiteRT's fast kernels, does not
            take; None for other formats.
        bytes: size of the file.
        float_layers: layers that compute in float32 in an int8 file: those asked for,
            and those whose values have no int8 scale that XNNPACK takes.
    """

    path: str
    format: str
    precision: str
    inputs: int
    finite: bool
    max_difference: float
    relative_error: float
    top1_agreement: float | None
    operators: dict[str, int]
    slow_operators: dict[str, int] | None
    bytes: int
    float_layers: tuple[str, ...] = ()

    def failures(self, bounds: Bounds) -> list[str]:
        """What is not within the bounds, in words; empty where all is."""
        if not self.finite:
            return ["an output is not a finite number"]
        failed = []
        if not self.relative_error <= bounds.relative_error:
            failed.append(
                f"relative error {self.relative_error:.2e} (at most "
                f"{bounds.relative_error:.2e})"
            )
        agreement = self.top1_agreement
        if agreement is not None and agreement < bounds.top1_agreement:
            failed.append(
                f"top-1 agreement {100 * agreement:.2f} % (at least "
                f"{100 * bounds.top1_agreement:.2f} %)"
            )
        return failed

    def __str__(self) -> str:
        agreement = self.top1_agreement
        slow = self.slow_operators
        lines = [
            f"{self.path}: {self.format}, {self.precision}, {self.bytes / 1e6:.2f} MB",
            f"on {self.inputs:,} inputs: relative error {self.relative_error:.2e}, "
            f"largest difference {self.max_difference:.2e}, top-1 agreement "
            + ("none (no classifier)" if agreement is None else f"{agreement:.2%}"),
            f"operators: {_listed(self.operators)}",
        ]
        if slow is not None:
            lines.append(f"not taken by XNNPACK: {_listed(slow) or 'none'}")
        if self.float_layers:
            lines.append(f"in float32: {', '.join(self.float_layers)}")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """A dictionary of JSON types."""
        return dataclasses.asdict(self)


@np.errstate(invalid="ignore")  # by numbers that are not finite, which are told
def verify(artifact: Artifact | str | Path, model: keras.Model, data) -> Verification:
    """Run a file and its network on the same images, and compare.

    The network is taken in float32, the precision that a file is made from. The file
    runs on the runtime that `load` chooses: `ai_edge_litert` with XNNPACK,
    onnxruntime, or TensorFlow.

    Args:
        artifact: what `load` gives, or the path of it.
        model: the network that it was made from.
        data: float32 images, `[n, height, width, channels]` with n ≥ 8, as the
            network takes them.

    Raises:
        ValueError: fewer images, or a file of another network's shape.
    """
    if not isinstance(artifact, Artifact):
        artifact = load(artifact)
    images = np.asarray(data, "float32")
    if len(images) < LEAST_INPUTS:
        raise ValueError(
            f"At least {LEAST_INPUTS} images are needed to verify a file. "
            f"Received: {len(images)}."
        )
    expected, softmax = _reference(model, images)
    found = _outputs(artifact, images)
    shapes = [[array.shape for array in arrays] for arrays in (found, expected)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{artifact.path} is not of {model.name!r}: it gives {shapes[0]}, the "
            f"network {shapes[1]}."
        )
    compared = [artifact.logits(images)] if softmax else found
    given = [probability(expected[0])] if softmax else expected
    classifier = (
        len(expected) == 1 and expected[0].ndim == 2 and expected[0].shape[1] > 1
    )
    return Verification(
        path=str(artifact.path),
        format=artifact.description.format,
        precision=artifact.description.precision,
        inputs=len(images),
        finite=all(bool(np.isfinite(array).all()) for array in [*found, *compared]),
        max_difference=_worst(map(_max_difference, found, given)),
        relative_error=_worst(map(_relative_error, compared, expected)),
        top1_agreement=_agreement(compared[0], expected[0]) if classifier else None,
        operators=artifact.operators(),
        slow_operators=artifact.slow_operators(),
        bytes=artifact.bytes,
        float_layers=artifact.description.float_layers,
    )


def _reference(model, images):
    """The network's outputs in float32, before a softmax; whether there is one."""
    functional = as_functional(model)
    if any(layer.compute_dtype != "float32" for layer in functional.layers):
        functional = float32_form(functional)
    softmax = ends_in_softmax(functional)
    network = without_softmax(functional) if softmax else functional
    with _quiet_tensorflow():
        outputs = network.predict(images, batch_size=32, verbose=0)
    return keras.tree.flatten(outputs), softmax


@contextlib.contextmanager
def _quiet_tensorflow():
    # It warns of one traced function for each of many networks, as it should be here.
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _outputs(artifact, images):
    outputs = artifact.predict(images)
    return list(outputs.values()) if isinstance(outputs, dict) else [outputs]


def _max_difference(found, expected):
    return float(np.abs(found - expected).max())


def _relative_error(found, expected):
    found, expected = found.astype("float64"), expected.astype("float64")
    norm = np.linalg.norm(expected)
    difference = np.linalg.norm(found - expected)
    return float(difference / norm) if norm else float(difference)


def _worst(numbers):
    return float(np.max(list(numbers)))  # which is NaN where one is


def _agreement(found, expected):
    return float((found.argmax(axis=-1) == expected.argmax(axis=-1)).mean())


def _listed(operators):
    pairs = sorted(operators.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{count} {name}" for name, count in pairs)
