"""Whose images a batch norm takes its statistics of, where devices share a batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from keras_attention.choices import check_choice
from keras_attention.training.distribution import replicas

SYNCHRONIZED, PER_REPLICA = "synchronized", "per_replica"
MODES = (SYNCHRONIZED, PER_REPLICA)


def check(mode: str) -> None:
    """Raise ValueError unless it is a mode that the backend can do."""
    check_choice("batch_norm", mode, MODES)
    if mode == PER_REPLICA and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "batch_norm='per_replica' is for TensorFlow: on "
            f"{keras.backend.backend()} a batch norm always takes the whole batch, "
            "which is batch_norm='synchronized'"
        )


@contextlib.contextmanager
def synchronized_norms(model: keras.Model, mode: str) -> Iterator[None]:
    """Within the block batch norms are trained so.

    On JAX, and with one device, they take the whole batch as it is. Compile the model
    within the block, or before: a step that was traced stays as it is.

    Args:
        model: what trains; layers within layers are found.
        mode: "synchronized": over the images of all devices, as one device would.
            "per_replica": over each device's own (TensorFlow). Then each has moving
            statistics of its own, by which it measures; files hold the first's.

    Raises:
        ValueError: another mode, or the backend cannot do it.
    """
    check(mode)
    if replicas() == 1 or keras.backend.backend() != "tensorflow":
        yield
        return
    with _set(model, synchronized=mode == SYNCHRONIZED):
        yield


def unsynchronized(model: keras.Model) -> contextlib.AbstractContextManager[None]:
    """Within the block files are written that every backend can read.

    A file that says `synchronized=True` is refused by Keras on JAX.
    """
    return _set(model, synchronized=False)


@contextlib.contextmanager
def _set(model: keras.Model, *, synchronized: bool) -> Iterator[None]:
    layers = model._flatten_layers()
    norms = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    before = [norm.synchronized for norm in norms]
    for norm in norms:
        norm.synchronized = synchronized
    try:
        yield
    finally:
        for norm, value in zip(norms, before, strict=True):
            norm.synchronized = value
