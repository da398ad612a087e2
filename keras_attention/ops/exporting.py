"""Whether the graph being made is for a file that another runtime runs.

Such a runtime has fewer operations than the backends and other fast ones, so kernels
choose another form, of the same result, inside `exporting()`.
"""

import contextlib
import contextvars

_exporting = contextvars.ContextVar("exporting", default=None)


@contextlib.contextmanager
def exporting(precision="float32"):
    """Graphs made inside are for a file of that precision: inference, sizes known."""
    token = _exporting.set(precision)
    try:
        yield
    finally:
        _exporting.reset(token)


def is_exporting(precision=None):
    """Whether the graph being made is for export (to a file of that precision)."""
    found = _exporting.get()
    return found is not None and precision in (None, found)
