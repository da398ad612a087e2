"""A process of a Python that has torch, which runs networks on request."""

import os
import subprocess
from pathlib import Path


class TorchPeer:
    """The process, and cases that ask it for one run.

    Args:
        python: a Python that has torch.
        script: file beside this one, which prints its version, and then answers each
            line with the seconds that what it names took.
        *arguments: of the script, before the number of cores.
    """

    def __init__(self, python, script, *arguments):
        self.script = script
        command = [python, Path(__file__).with_name(script), *arguments, _cores()]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = self._answer()

    def case(self, *words, again=False):
        """A function of nothing that runs it, twice if `again`, and returns seconds."""

        def run():
            if again:
                self._seconds(words)
            return self._seconds(words)

        return run

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def _seconds(self, words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return float(self._answer())

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{self.script} stopped with exit status {self.process.wait()}; its "
                "own message is above. Give --torch a Python that has torch."
            )
        return line.strip()


def _cores():
    return len(os.sched_getaffinity(0))
