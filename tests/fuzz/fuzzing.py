"""One input, one outcome: a result or a clear error, in bounded time and memory."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

WHOLE = 10_000  # inputs of `make fuzz`
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "250"))
SMOKE = EXAMPLES < WHOLE
SEED = int(os.environ.get("FUZZ_SEED", "0"))
TARGET_SECONDS = float(os.environ.get("FUZZ_SECONDS", "900"))
INPUT_SECONDS = 30
GROWTH = 512 << 20
ERRORS = (ValueError, ImportError, OSError, FloatingPointError, MemoryError)
# What no input may bring about.
FORBIDDEN = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen"),
    *("socket.connect", "socket.bind", "pickle.find_class", "webbrowser.open"),
}
# Each has the path first.
WRITES = {"os.mkdir", "os.remove", "os.rmdir", "os.rename", "os.truncate", "os.chmod"}
WRITES |= {"os.link", "os.symlink", "shutil.rmtree", "shutil.move"}


def fuzzed(count, **strategies):
    """Decorator of a test that `count` of the 10,000 inputs go to."""
    chosen = settings(
        max_examples=max(1, count * EXAMPLES // WHOLE),
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )

    def decorate(test):
        return seed(SEED)(chosen(given(**strategies)(test)))

    return decorate


class Hang(BaseException):
    """An input took too long. No `except Exception` may hide it."""


class Arena:
    """Where a target's inputs are tried, one after the other.

    Args:
        name: of the target.
        root: a folder of its own. Files may be written to `inside` and `scratch`.
    """

    def __init__(self, name, root):
        self.name = name
        self.inside = root / "inside"
        self.scratch = root / "scratch"
        for folder in (self.inside, self.scratch):
            folder.mkdir()
        self.results, self.left_out, self.errors = 0, 0, Counter()
        self.began = time.monotonic()
        self.seconds = 0.0

    def is_over(self):
        """Whether the target's time is used up; then the input counts as left out."""
        self.seconds = time.monotonic() - self.began
        over = self.seconds > TARGET_SECONDS
        self.left_out += over
        return over

    def outcome(self, call, *, named=()):
        """What `call` gives, or None after an error that names one of `named`."""
        try:
            with self._watched():
                found = call()
        except ERRORS as error:
            self.failed(type(error).__name__)
            said = str(error)
            assert said.strip() or isinstance(error, MemoryError), repr(error)
            assert not named or any(str(name) in said for name in named), said
            return None
        self.results += 1
        self.seconds = time.monotonic() - self.began
        return found

    def failed(self, kind):
        """Count an error."""
        self.errors[kind] += 1
        self.seconds = time.monotonic() - self.began

    @contextlib.contextmanager
    def _watched(self):
        before = _peak()
        events.clear()
        with _time_limit():
            watching[:] = [str(self.inside.parent)]
            try:
                yield
            finally:
                watching.clear()
        assert not events, events
        assert {path.name for path in self.inside.parent.iterdir()} <= PLACES
        names = [path.name for path in self.scratch.iterdir()]
        left = [name for name in names if not name.startswith(TRACED)]
        if left:  # which is not the next input's
            shutil.rmtree(self.scratch)
            self.scratch.mkdir()
        assert not left, f"temporary files are left: {left}"
        grown = _peak() - before
        assert grown < GROWTH, f"{grown >> 20} MiB more"


PLACES = {"inside", "scratch"}
# TensorFlow's, of functions that it traces, until the process ends.
TRACED = "__autograph_generated_file"


class Ledger:
    """The counts of all targets."""

    def __init__(self):
        self.targets = []

    def add(self, arena):
        self.targets.append(
            {
                "target": arena.name,
                "inputs": arena.results + arena.errors.total(),
                "results": arena.results,
                "errors": dict(arena.errors.most_common()),
                "left_out": arena.left_out,
                "seconds": round(arena.seconds, 1),
            }
        )

    def write(self, path):
        content = {"seed": SEED, "asked": EXAMPLES, "targets": self.targets}
        Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _time_limit():
    def stop(signum, frame):
        raise Hang(f"over {INPUT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, INPUT_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak():
    """Bytes that this process had at most."""
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else 1024 * size


# A hook of Python's cannot be taken away again: it looks only while an input is tried.
watching, events = [], []


def _look(event, arguments):
    if not watching:
        return
    if event in FORBIDDEN:
        events.append((event, str(arguments)[:200]))
    elif event in WRITES or (event == "open" and _writes(arguments)):
        path = arguments[0]
        if isinstance(path, str | bytes | os.PathLike):
            place = os.path.abspath(os.fsdecode(path))
            if not place.startswith((watching[0] + os.sep, "/dev/null")):
                events.append((event, place))


def _writes(arguments):
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


sys.addaudithook(_look)
