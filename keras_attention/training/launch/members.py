"""One process of several, its output, and its end."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

LOCK = threading.Lock()
# Seconds for the last lines of a process that has ended.
LAST_LINES = 5.0
# Becomes the command, which Linux will send a SIGTERM when the launcher dies, however
# it dies: a run that nobody watches any more saves its state and ends. It is a program
# of its own, since the launcher has threads, and nothing of Python's is safe between
# its fork and the start of a program. 1 is PR_SET_PDEATHSIG.
LEASHED = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class Place:
    """Where a process stands among the others.

    Args:
        name: for people: "process 1".
        variables: environment variables of its own.
        prefix: of its lines, or None: it writes to this terminal, with progress bars.
    """

    name: str
    variables: Mapping[str, str]
    prefix: str | None


class Member:
    """A process in a session of its own: a terminal's signals reach the launcher alone.

    On Linux it is sent a SIGTERM when the launcher dies; elsewhere it would go on.

    Args:
        command: program and arguments.
        place: its own.

    Raises:
        OSError: there is no such program.
    """

    def __init__(self, command: Sequence[str], place: Place):
        self.place = place
        aside = place.prefix is not None
        self.process = subprocess.Popen(
            _leashed(command),
            env={**os.environ, **place.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if aside else None,
            stderr=subprocess.STDOUT if aside else None,
            start_new_session=True,
        )
        # A daemon: what the process started may hold the pipe open for ever.
        self._reader = threading.Thread(
            target=self._copy, args=(place.prefix,), daemon=True
        )
        if aside:
            self._reader.start()

    def status(self) -> int | None:
        """Exit status, −n for a death by signal n, or None while it runs."""
        return self.process.poll()

    def send(self, number: int) -> None:
        """A signal, to it and what it started; nothing if it has ended."""
        if self.status() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def finish(self) -> None:
        """Wait for its end, and its last line."""
        self.process.wait()
        if self.place.prefix is not None:
            # What it started may hold the pipe open.
            self._reader.join(timeout=LAST_LINES)

    def _copy(self, prefix: str) -> None:
        with self.process.stdout as lines:
            for line in lines:
                say(f"{prefix}{line.decode(errors='replace').rstrip()}")


def _leashed(command: Sequence[str]) -> list[str]:
    """The command, by way of `LEASHED` where the system can do that."""
    if sys.platform != "linux":
        return list(command)
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, "There is no such program", command[0])
    launcher = str(os.getpid())
    return [sys.executable, "-I", "-S", "-c", LEASHED, launcher, *command]


def say(line: str, to: IO[str] | None = None) -> None:
    """Print a line whole, whatever else is printed at the same time."""
    with LOCK:
        print(line, file=to or sys.stdout, flush=True)


def ending(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with exit status {status}"
    name = signal.Signals(-status).name
    hint = ": the machine may have been out of memory" if -status == 9 else ""
    return f"was killed by {name} (signal {-status}){hint}"
