"""Whether the graph being made is for a file that another runtime runs.

Such a runtime has fewer operations than the backends and other fast ones, so kernels
choose another form, of the same result, inside `exporting()`.
"""

import contextlib
import contextvars

_exporting = contextvars.ContextVar("exporting", default=False)


@contextlib.contextmanager
def exporting():
    """Graphs made inside are for export: inference only, sizes known."""
    token = _exporting.set(True)
    try:
        yield
    finally:
        _exporting.reset(token)


def is_exporting():
    """Whether the graph being made is for export."""
    return _exporting.get()
