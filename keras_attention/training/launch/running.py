"""Jobs, some at a time, and the signals that end them."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence

from keras_attention.training.launch.jobs import Job
from keras_attention.training.launch.members import say

INTERVAL = 0.1
STOPPED = 130


class Runner:
    """Runs jobs until all are over.

    The first SIGTERM or Ctrl-C goes to all processes, which save their state; the
    second one kills them. No further job is started then. Signals are passed on between
    two looks at the jobs, never while one is started: then none is forgotten.

    Args:
        jobs: to run.
        at_once: jobs that run at a time.
    """

    def __init__(self, jobs: Sequence[Job], at_once: int):
        self.waiting = list(jobs)
        self.at_once = at_once
        self.running: list[Job] = []
        self.asked: list[int] = []
        self._passed_on = 0

    def run(self) -> dict[str, int]:
        """Exit status by the name of a job; 130 for what was not started.

        Raises:
            OSError: there is no such program.
        """
        before = {
            number: signal.signal(number, self._ask)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        statuses = {}
        try:
            while self.running or self.waiting:
                self._start_next()
                time.sleep(INTERVAL)
                self._pass_on()
                statuses |= self._look()
        finally:
            for job in self.running:
                job.kill()
            for number, handler in before.items():
                signal.signal(number, handler)
        return statuses

    def _start_next(self) -> None:
        while self.waiting and not self.asked and len(self.running) < self.at_once:
            job = self.waiting.pop(0)
            self.running.append(job)
            job.start()

    def _look(self) -> dict[str, int]:
        statuses = {}
        for job in list(self.running):
            status = job.step()
            if status is not None:
                statuses[job.name] = status
                self.running.remove(job)
        if self.asked:
            statuses |= {job.name: STOPPED for job in self.waiting}
            self.waiting = []
        return statuses

    def _ask(self, number: int, frame) -> None:
        self.asked.append(number)

    def _pass_on(self) -> None:
        while self._passed_on < len(self.asked):
            number = self.asked[self._passed_on]
            self._passed_on += 1
            name = signal.Signals(number).name
            if self._passed_on > 1:
                say(f"launch: {name} again: killing all", sys.stderr)
            else:
                say(f"launch: {name}: all are asked to stop; again kills", sys.stderr)
            for job in self.running:
                job.kill() if self._passed_on > 1 else job.send(number)
