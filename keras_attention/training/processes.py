"""Processes that train one network together, on JAX."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator

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
    _keep_signal_handlers()
    try:
        keras.distribution.initialize()
    except RuntimeError as error:
        raise ValueError(
            f"Process {os.environ[OWN]} of {os.environ[NUMBER]} cannot join the others "
            f"at {os.environ[ADDRESSES]}: {error}"
        ) from error


def _keep_signal_handlers() -> None:
    """Leave SIGTERM to the handlers of Python, which save the state of a run.

    JAX's preemption service would take it from them, and nothing here asks that one:
    a SIGTERM would be lost.
    """
    import jax

    # A JAX without the setting has no such service.
    if hasattr(jax.config, "jax_enable_preemption_service"):
        jax.config.update("jax_enable_preemption_service", False)


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
    return any(_of_all(flag))


@contextlib.contextmanager
def failing_together(what: str) -> Iterator[None]:
    """A block that fails in all processes where it fails in one.

    All must enter it. Else those that go on would wait for ever for the one that left.

    Args:
        what: of the block, after "cannot".

    Raises:
        OSError: the block failed in other processes alone.
    """
    error = None
    try:
        yield
    except Exception as own:
        error = own
    failed = [number for number, flag in enumerate(_of_all(error is not None)) if flag]
    if error is not None:
        raise error
    if failed:
        names = ", ".join(f"process {number}" for number in failed)
        raise OSError(f"{names} cannot {what}: its output says why")


def check_same(what: str, value) -> None:
    """Raise ValueError in all processes unless they have the same.

    Args:
        what: for people.
        value: of this process, JSON types.
    """
    if number_of_processes() == 1:
        return
    found = _texts_of_all(json.dumps(value, sort_keys=True))
    other = next((n for n, text in enumerate(found) if text != found[0]), None)
    if other is not None:
        raise ValueError(
            f"The processes differ in {what}: {found[0]} in process 0, {found[other]} "
            f"in process {other}. All must see the same files, and be given the same "
            "arguments"
        )


def leave(status: int) -> None:
    """End this process at once after an error, if it trains with others.

    Python's own end would wait for them, minutes long, while they wait for it. Alone it
    does nothing.
    """
    if number_of_processes() == 1:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(status)


def _of_all(value) -> list:
    """A number or flag of each process. All must ask."""
    if number_of_processes() == 1:
        return [value]
    import numpy as np
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(np.array(value)).tolist()


def _texts_of_all(text: str) -> list[str]:
    """A text of each process. All must ask."""
    import numpy as np
    from jax.experimental import multihost_utils

    own = text.encode()
    sizes = _of_all(len(own))
    row = np.zeros(max(sizes), np.uint8)
    row[: len(own)] = np.frombuffer(own, np.uint8)
    rows = multihost_utils.process_allgather(row)
    return [
        bytes(row[:size]).decode()
        for row, size in zip(np.asarray(rows), sizes, strict=True)
    ]
