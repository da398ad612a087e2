"""Processes that live and die together, and are started again."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from keras_attention.training.launch.members import Member, Place, ending, say

PROGRAM, OUT, RESUME = "keras-attention", "--out", "--resume"
RECORD = "run.json"
# What a run goes on from. No others count as progress: `best.keras` is not gone on
# from, and a run that dies while it saves leaves a half-written file.
STATES = ("last.keras", "search.keras")
# Exit statuses that a second start would not change: an error of the user's (of
# arguments, data, the disk), and a stop that was asked for.
FINAL = (2, 130)
# In which the others of one that died end, too, so that the first cause can be told.
SETTLING = 1.0


class Job:
    """One command in one or more processes, until all have ended well.

    When one dies, the others, which would wait for it for ever, are killed, and all are
    started again, with `--resume` where the folder of `--out` holds a run.

    Args:
        name: for people.
        command: program and arguments.
        places: called at each start, because a port is used once.
        restarts: at most, between two checkpoints.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        places: Callable[[], list[Place]],
        restarts: int,
    ):
        self.name = name
        self.command = list(command)
        self.places = places
        self.restarts = restarts
        self.out = _out(self.command)
        self.members: list[Member] = []
        self.restarted = 0
        self.stopping = False
        self.began = 0.0
        self.seconds = 0.0
        self._tries = 0
        self._newest = 0
        self._died: float | None = None

    def start(self) -> None:
        """Start all processes.

        Raises:
            OSError: there is no such program, or no room for one more.
        """
        self.began = self.began or time.monotonic()
        self._newest = max(self._newest, self._written())
        command = _resuming(self.command, self.out)
        self.members = []
        for place in self.places():
            # One by one: where a later one cannot start, those before can be ended.
            self.members.append(Member(command, place))

    def send(self, number: int) -> None:
        """A signal to all; they are not started again."""
        self.stopping = True
        for member in self.members:
            member.send(number)

    def kill(self) -> None:
        """End all at once, and see to their output; they are not started again."""
        self.stopping = True
        self._kill()

    def step(self) -> int | None:
        """See to the processes.

        Returns:
            Exit status, once all is over; None until then.
        """
        statuses = [member.status() for member in self.members]
        if not any(statuses):
            return None if None in statuses else self._end(0)
        if self.stopping and self._died is None:
            return None if None in statuses else self._end(_first(statuses))
        if None in statuses and not self._settled():
            return None
        return self._after_death()

    def _settled(self) -> bool:
        """Whether the others of one that died have had their time to end, too.

        Nothing sleeps meanwhile, so that signals are passed on.
        """
        self._died = self._died or time.monotonic()
        return time.monotonic() - self._died >= SETTLING

    def _after_death(self) -> int | None:
        self._died = None
        ended = [(m.status(), m) for m in self.members if m.status()]
        status, dead = min(ended, key=lambda pair: _consequence(pair[0]))
        final = [s for s, _ in ended if s in FINAL]
        self._kill()
        if final and status >= 0:
            return self._end(final[0])
        if self.stopping:
            return self._end(status)
        return self._again(f"{dead.place.name} {ending(status)}", status)

    def _kill(self) -> None:
        for member in self.members:
            member.send(signal.SIGKILL)
        for member in self.members:
            member.finish()

    def _again(self, what: str, status: int) -> int | None:
        moved = self._written() > self._newest
        self._tries = 1 if moved else self._tries + 1
        why = self._hopeless(status)
        if why:
            say(f"launch: {what}; {why}", sys.stderr)
            return self._end(status)
        self.restarted += 1
        say(
            f"launch: {what}; all of {self.name} start again, from "
            f"{self.out} (restart {self._tries} of {self.restarts} since its last "
            "checkpoint)",
            sys.stderr,
        )
        self.start()
        return None

    def _hopeless(self, status: int) -> str | None:
        """Why another start would not help, if so."""
        if self.out is None:
            return f"without {OUT} in the command it cannot go on"
        if status > 0 and not _begun(self.out):
            return f"no run had begun in {self.out}"
        if self._tries > self.restarts:
            return f"{self.restarts} restarts brought no new checkpoint"
        return None

    def _end(self, status: int) -> int:
        for member in self.members:
            member.finish()
        self.seconds = time.monotonic() - self.began
        # As shells have it for a death by signal.
        return 128 - status if status < 0 else status

    def _written(self) -> int:
        """When the newest state was written, in ns; 0 where there is none."""
        newest = 0
        for name in STATES if self.out is not None else ():
            # Another host may put it aside just now.
            with contextlib.suppress(OSError):
                newest = max(newest, (self.out / name).stat().st_mtime_ns)
        return newest


def program(command: Sequence[str]) -> list[str]:
    """The command, with `keras-attention` as this Python has it."""
    if command[0] != PROGRAM:
        return list(command)
    return [sys.executable, "-m", "keras_attention", *command[1:]]


def free_port() -> int:
    """A port of this host that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _out(command: list[str]) -> Path | None:
    """The folder of the run: what follows the last `--out`, as `argparse` has it."""
    out = None
    for number, word in enumerate(command):
        if word == OUT and number + 1 < len(command):
            out = Path(command[number + 1])
        elif word.startswith(f"{OUT}="):
            out = Path(word.removeprefix(f"{OUT}="))
    return out


def _resuming(command: list[str], out: Path | None) -> list[str]:
    begun = out is not None and _begun(out)
    return [*command, RESUME] if begun and RESUME not in command else command


def _begun(out: Path) -> bool:
    return (out / RECORD).exists()


def _consequence(status: int) -> tuple[int, int]:
    """A key: what is the least so is rather the cause than what others made of it.

    A signal comes from outside, but for SIGABRT, with which JAX ends a process whose
    peers have gone.
    """
    if status == -signal.SIGABRT:
        return 2, status
    return int(status > 0), status


def _first(statuses: Sequence[int | None]) -> int:
    """Of those that did not end well."""
    return next(status for status in statuses if status)
