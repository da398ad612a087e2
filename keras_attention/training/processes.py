"""Processes that train one network together, on JAX."""

from __future__ import annotations

import os

import keras

ADDRESSES, NUMBER, OWN = (
    "KERAS_DISTRIBUTION_JOB_ADDRESSES",
    "KERAS_DISTRIBUTION_NUM_PROCESSES",
    "KERAS_DISTRIBUTION_PROCESS_ID",
)


def join() -> None:
    """Find the other processes, once, before anything has been computed.

    Raises:
        ValueError: Keras' environment variables do not tell of them, or something was
            computed before.
    """
    import jax

    if jax.distributed.is_initialized():
        return
    missing = [name for name in (ADDRESSES, NUMBER, OWN) if not os.environ.get(name)]
    if missing:
        raise ValueError(
            f"distribute='hosts' needs the environment variables {ADDRESSES} (of "
            f"process 0, host:port), {NUMBER} and {OWN}. Missing: "
            f"{', '.join(missing)}. `python -m keras_attention.training.launch` starts "
            "processes with them; with distribute='none' this process goes alone"
        )
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        raise ValueError(
            f"Process {os.environ[OWN]} of {os.environ[NUMBER]} cannot join the others "
            f"at {os.environ[ADDRESSES]}: {error}"
        ) from error


def number_of_processes() -> int:
    """1, where no others were joined."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count() if jax.distributed.is_initialized() else 1


def own_number() -> int:
    """Of this process among those that were joined, from 0."""
    if number_of_processes() == 1:
        return 0
    import jax

    return jax.process_index()


def wait_for_all(name: str) -> None:
    """Go on when all processes are here; `name` tells the place from others."""
    if number_of_processes() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def any_process(flag: bool) -> bool:
    """Whether it holds in any process. All must ask, at the same step."""
    if number_of_processes() == 1:
        return flag
    import numpy as np
    from jax.experimental import multihost_utils

    return bool(multihost_utils.process_allgather(np.array(flag)).any())
