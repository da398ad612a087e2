"""How a session of a run shares its batches among devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from keras_attention.training import distribution, norms
from keras_attention.training.run_folder import TRAINING, read_run


@contextlib.contextmanager
def shared(
    out: Path,
    *,
    resume: bool,
    distribute: str | None,
    batch_norm: str | None,
    kind: str = TRAINING,
) -> Iterator[str]:
    """Within the block the session's devices share batches; yields its `batch_norm`.

    These are options of a session, not of the run: its weights do not depend on them.

    Args:
        out: the run's folder.
        resume: whether the run goes on. Then what is None is as in its last session;
            the devices only where none are shared already.
        distribute: as for `distributed`; "none" turns it off.
        batch_norm: as for `synchronized_norms`; "synchronized" by default.
        kind: of the run.

    Raises:
        FileNotFoundError: there is no run to go on with.
        ValueError: as `distributed` and `synchronized_norms` do.
    """
    last = read_run(out, kind, ("sessions",))["sessions"][-1] if resume else {}
    if distribute is None and not distribution.is_active():
        distribute = last.get("distribute")
    batch_norm = batch_norm or last.get("batch_norm") or norms.SYNCHRONIZED
    norms.check(batch_norm)
    with distribution.distributed(distribute):
        yield batch_norm
