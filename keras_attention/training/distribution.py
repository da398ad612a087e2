"""Several devices that share every batch.

What is active is asked of Keras and of TensorFlow, not kept here: a scope that a user
entered himself counts like one of `distributed`.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from contextvars import ContextVar

import keras

from keras_attention.choices import unknown
from keras_attention.data.order import WHOLE, Part
from keras_attention.training import logical_devices, processes

NONE, DEVICES, HOSTS, CPU = "none", "devices", "hosts", "cpu:"
WORDS = (NONE, DEVICES, HOSTS)
_asked: ContextVar[str | None] = ContextVar("distribute", default=None)


@contextlib.contextmanager
def distributed(distribute: str | None) -> Iterator[None]:
    """Within the block networks are made for several devices, which share each batch.

    Batches keep their size, and steps equal those of one device.

    Args:
        distribute: None or "none": what is active already, if anything. "devices":
            all devices of this process. "hosts": all devices of all processes that
            Keras' environment variables tell of (JAX alone); the files must be where
            all of them see them. "cpu:N": the CPU as N devices, to try it out.

    Raises:
        ValueError: another value; something is active already; or the backend cannot
            do it. The message says what to use.
    """
    check(distribute)
    if distribute in (None, NONE):
        yield
        return
    if _active() is not None:
        raise ValueError(
            f"distribute={distribute!r} would replace the distribution that is active "
            "already: leave `distribute` out to use that, or leave its scope"
        )
    with _scope(distribute):
        before = _asked.set(distribute)
        try:
            yield
        finally:
            _asked.reset(before)


def asked_for() -> str | None:
    """What the `distributed` block was told that one is in; None outside of one."""
    return _asked.get()


def check(distribute: str | None) -> None:
    """Raise ValueError unless it is a choice that the backend can do."""
    if distribute in (None, NONE):
        return
    if distribute not in WORDS and not _is_cpus(distribute):
        raise unknown("distribute", distribute, [*WORDS, f"{CPU}2"])
    if _backend() not in ("tensorflow", "jax"):
        raise ValueError(
            "Several devices need the backend TensorFlow or JAX. Received: "
            f"{_backend()!r}: set KERAS_BACKEND=jax"
        )
    if distribute == HOSTS and _backend() != "jax":
        raise ValueError(
            "distribute='hosts' runs on JAX alone: Keras 3 does not train under "
            f"TensorFlow's multi-worker strategy. Received the backend {_backend()!r}: "
            "set KERAS_BACKEND=jax"
        )


def is_active() -> bool:
    """Whether devices share batches here, in a block of `distributed` or a user's."""
    return _active() is not None


def replicas() -> int:
    """Devices that share a batch, those of other processes included.

    Raises:
        ValueError: what a user made active is no data parallelism of Keras.
    """
    active = _active()
    if active is None:
        return 1
    if _backend() == "tensorflow":
        return active.num_replicas_in_sync
    return active.num_model_replicas


def part() -> Part:
    """This process' part of every batch."""
    active = _active()
    if active is None or _backend() == "tensorflow":
        return WHOLE
    return Part(active.data_shard_id, active.num_processes)


def is_chief() -> bool:
    """Whether this is the process that writes files and prints.

    It stays so outside of a `distributed` block.
    """
    return processes.own_number() == 0


def check_batch(batch_size: int) -> None:
    """Raise ValueError unless the replicas divide a batch of so many images."""
    number = replicas()
    if batch_size % number:
        below = batch_size // number * number
        nearest = [each for each in (below, below + number) if each]
        raise ValueError(
            f"{number} devices must divide the batch. Received: batch size "
            f"{batch_size}; take {' or '.join(map(str, nearest))}"
        )


def check_dtype(model: keras.Model) -> None:
    """Raise ValueError for losses that are scaled, on several devices of TensorFlow."""
    if (
        replicas() > 1
        and _backend() == "tensorflow"
        and model.dtype_policy.name == "mixed_float16"
    ):
        raise ValueError(
            "mixed_float16 on several devices of TensorFlow looks for overflows on the "
            "first alone, and would train on with those of others: use mixed_bfloat16, "
            "or KERAS_BACKEND=jax"
        )


def describe_sharing(batch_size: int) -> str:
    """What shares a batch of so many images, in one line."""
    number, of = replicas(), part().of
    if number == 1:
        return f"There is 1 device here, which has all {batch_size} images of a batch"
    among = f" of {of} processes" if of > 1 else ""
    return (
        f"{number} devices{among} share every batch: {batch_size // number} of "
        f"{batch_size} images each"
    )


def _scope(distribute: str):
    names = None
    if _is_cpus(distribute):
        names = logical_devices.divide_cpu(int(distribute[len(CPU) :]))
    if distribute == HOSTS:
        processes.join()
    if _backend() == "jax":
        parallel = keras.distribution.DataParallel(
            devices=names, auto_shard_dataset=False
        )
        return parallel.scope()
    return _strategy(None if names is None else tuple(names)).scope()


@functools.cache
def _strategy(names: tuple[str, ...] | None):
    """One for a process: the collective operations of two would take each other's."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(names and list(names))


def _is_cpus(distribute) -> bool:
    return isinstance(distribute, str) and bool(
        re.fullmatch(f"{CPU}[1-9][0-9]*", distribute)
    )


def _active():
    """The strategy (TensorFlow) or distribution (JAX) that is active, or None."""
    parallel = keras.distribution.distribution()
    if _backend() == "tensorflow":
        if parallel is not None:
            raise ValueError(
                "keras.distribution does nothing on TensorFlow, without a word. Use "
                "distribute='devices', or KERAS_BACKEND=jax"
            )
        return _active_strategy()
    if parallel is not None and not isinstance(
        parallel, keras.distribution.DataParallel
    ):
        raise ValueError(
            "Of keras.distribution, DataParallel is what is supported here. Received: "
            f"{type(parallel).__name__}"
        )
    if parallel is not None and parallel.num_processes > 1:
        _refuse_second_division(parallel)
    return parallel


def _refuse_second_division(parallel: keras.distribution.DataParallel) -> None:
    if parallel.auto_shard_dataset:
        raise ValueError(
            "Each process is given its part of a batch already: make "
            "DataParallel(auto_shard_dataset=False)"
        )


def _active_strategy():
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return None
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        raise ValueError(
            "Keras 3 does not train under MultiWorkerMirroredStrategy: use "
            "distribute='hosts' with KERAS_BACKEND=jax"
        )
    return strategy


def _backend() -> str:
    return keras.backend.backend()
