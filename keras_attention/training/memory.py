"""What to do where the memory does not suffice."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

import tensorflow as tf

# What JAX's errors, which have no type of their own for it, begin with.
EXHAUSTED = "RESOURCE_EXHAUSTED"
FULL = os.strerror(errno.ENOSPC)


@contextlib.contextmanager
def explaining_memory(batch_size: int) -> Iterator[None]:
    """Turn an error of too little memory into one that says what helps.

    Args:
        batch_size: that the steps in the block have.

    Raises:
        MemoryError: in place of TensorFlow's, JAX's and NumPy's own.
        OSError: a full disk, where TensorFlow writes.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        if FULL in str(error):  # which TensorFlow tells by the same type
            raise OSError(errno.ENOSPC, f"{FULL}: {_first_line(error)}") from error
        raise _explained(batch_size, error) from error
    except RuntimeError as error:
        if EXHAUSTED not in str(error):
            raise
        raise _explained(batch_size, error) from error


def _explained(batch_size: int, error: Exception) -> MemoryError:
    said = _first_line(error)
    smaller = f"a batch size of {batch_size // 2}, or " if batch_size > 1 else ""
    return MemoryError(
        f"The memory does not suffice for a step of {batch_size} images. Try {smaller}"
        "smaller images, a smaller network or a mixed precision (dtype "
        f"'mixed_bfloat16'), in a new run. The system says: {said}"
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
