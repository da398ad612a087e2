"""Being asked to stop: preemption (SIGTERM) and Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from keras_attention.training.processes import any_process, number_of_processes

NAMES = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C"}


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop has saved its state, and stops.

    The message says where it is.
    """


@dataclass
class StopRequest:
    """Whether a run has been asked to stop.

    Several processes stop together, at the step at which they `agree`.

    Args:
        by: the name of the signal, or None.
    """

    by: str | None = None
    _own: str | None = None

    def ask(self, name: str) -> None:
        """This process has been asked to."""
        self._own = name
        if number_of_processes() == 1:
            self.by = name

    def agree(self) -> None:
        """Find out whether any process has been asked to; all must call it."""
        if any_process(self._own is not None):
            self.by = self._own or "a signal to another process"

    def __bool__(self) -> bool:
        return self.by is not None


@contextlib.contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Within the block SIGTERM and Ctrl-C are requests, to be granted at a good moment.

    The first one only sets what is yielded. The second one ends the process at once,
    as it would have without this block. A signal that is ignored, as in a process that
    a shell put into the background, stays ignored; threads other than the main one
    cannot be asked.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in NAMES}

    def ask(number, frame):
        request.ask(NAMES[number])
        # To the system's own: a handler of Python's waits while a step is under way.
        for each in NAMES:
            signal.signal(each, signal.SIG_DFL)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            # None is a handler that Python did not install, and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
