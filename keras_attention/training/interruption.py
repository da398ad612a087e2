"""Being asked to stop: preemption (SIGTERM) and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from keras_attention.training.processes import any_process, number_of_processes

# Seconds.
SAME_REQUEST = 2.0
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

    @property
    def asked(self) -> str | None:
        """By which signal this process has been asked, granted or not."""
        return self._own

    def __bool__(self) -> bool:
        return self.by is not None


@contextlib.contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Within the block SIGTERM and Ctrl-C are requests, to be granted at a good moment.

    The first one only sets what is yielded. The second one ends the process at once, as
    it would have without this block; but a second SIGTERM within `SAME_REQUEST` seconds
    is the first one, which a cluster sends to a launcher, that passes it on, and to its
    processes, too. A signal that is ignored, as in a process that a shell put into the
    background, stays ignored; threads other than the main one cannot be asked.

    Raises:
        Interrupted: when the block ends, where a request came too late for it.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    found = {number: signal.getsignal(number) for number in NAMES}
    before = {k: handler for k, handler in found.items() if handler != signal.SIG_IGN}

    def ask(number, frame):
        request.ask(NAMES[number])
        # To the system's own: a handler of Python's waits while a step is under way.
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        if number == signal.SIGTERM:
            signal.signal(number, _again(time.monotonic()))

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            # None is a handler that Python did not install, and cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if request.asked:
        raise Interrupted(f"Stopped by {request.asked}, when all was done")


def _again(first: float):
    """A handler of a second SIGTERM, after the one at a time."""

    def end(number, frame):
        if time.monotonic() - first > SAME_REQUEST:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    return end
