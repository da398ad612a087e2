"""Runs that are killed at random moments and gone on with: do they end alike?

    python benchmarks/chaos.py --kills 100 --out docs/results/chaos

`keras-attention train`, `search` and `tune` on the bundled digits, with a network of
eight layers and a checkpoint every few steps. Each command runs twice undisturbed,
which gives the end that is wanted, what two such runs differ by, and the time that one
takes. Then runs are killed, gone on with, killed again, and at last left alone until
they end. A moment is drawn uniformly over the time from the run's `run.json` (or, in a
session that goes on, from when that is written again) to the end as it is expected;
one kill in seven comes before that. Most are SIGKILL; the others SIGTERM or Ctrl-C,
some with a second signal behind.

After each kill every file must be whole that is not marked as half-written. After the
last session there must be no half-written file, no checkpoint that was put aside, and
only checkpoints that Keras loads. The end is alike where every file that the
undisturbed run left is there, no other, and all numbers and texts in them agree:
weights, optimizers' variables, random seeds and progress within each checkpoint,
histories, α, genotypes, trials with their hyperparameters, scores and weights. Times,
TensorBoard's logs and what pictures show are left out.

A process is forked from one that has imported the package and run nothing, so that a
session takes seconds. Kills while Python imports are left out with that: nothing is
written then. Both backends run at the same time. `runs.csv` and `kills.csv` get a row
as soon as one is known; what is in `runs.csv` is not run again. About half an hour on
two cores.
"""

import argparse
import csv
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from same_end import compare, damage, half_written, refused

from keras_attention.timing import duration

TRAINING = "--data digits --recipe quick --batch-size 16 --quiet"
ARGUMENTS = {
    "train": f"--model cifarresnet-8 --limit 128 --epochs 5 {TRAINING} "
    "--checkpoint-steps 3",
    "search": "--model cifarresnet-8 --data digits --limit 128 --epochs 4 --quiet "
    "--batch-size 16 --augmentation none --checkpoint-steps 2",
    "tune": "--models cifarresnet-8 --algorithm random --trials 4 --limit 64 "
    f"--attentions none se --epochs 2 {TRAINING}",
}
UNITS = {"train": 5, "search": 4, "tune": 4}  # epochs, or trials
# What the package promises; on one machine all differences so far were 0.
TOLERANCES = {"train": 1e-6, "search": 1e-4, "tune": 1e-6}
CASES = [
    ("train", "tensorflow"),
    ("train", "jax"),
    ("search", "tensorflow"),  # alone
    ("tune", "tensorflow"),
    ("tune", "jax"),
]
BACKENDS = ("tensorflow", "jax")
SIGNALS = {
    ("SIGKILL",): 0.6,
    ("SIGTERM",): 0.12,
    ("SIGINT",): 0.12,
    ("SIGTERM", "SIGTERM"): 0.08,
    ("SIGINT", "SIGTERM"): 0.08,
}
EARLY = 1 / 7
MOST_KILLS = 5  # of one run
MOST_SECONDS = 300  # of one session
# Of so short a run's time half goes into compiling, again in each session.
COMPILING = 0.5
MOST_TOLD = 5
LOOK = 0.02
RUN_FIELDS = (
    *("command", "backend", "run", "kills", "resumes", "alike", "difference"),
    *("seconds", "problems"),
)
KILL_FIELDS = (
    *("command", "backend", "run", "session", "signals", "early", "moment"),
    *("exit", "done", "half_written", "problems"),
)
IMPORTED = (
    "keras_attention.training",
    "keras_attention.tuning.searching",
    "keras_attention.tuning.tuners",
    "keras_attention.tuning.workers",
)

SERVER = multiprocessing.get_context("forkserver")
clock = time.monotonic


# -- processes -----------------------------------------------------------------------


def run_command(arguments, log):
    """In a process of its own: the command line, what it prints into a file."""
    _print_into(log)
    from keras_attention.cli import main

    sys.exit(main(arguments))


def load_checkpoints(folder, log):
    """In a process of its own: load each Keras file of a folder."""
    _print_into(log)
    import keras

    import keras_attention  # noqa: F401 (its layers)

    for path in Path(folder).rglob("*.keras"):
        keras.saving.load_model(path, compile=False)


def _print_into(log):
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, sys.stdout.fileno())
    os.dup2(handle, sys.stderr.fileno())


class Process:
    """A process forked from one that has imported the package.

    Args:
        work: `run_command` or `load_checkpoints`.
        *arguments: of it.
    """

    def __init__(self, work, *arguments):
        self._process = SERVER.Process(target=work, args=arguments)
        self._process.start()

    def wait(self, seconds, until=lambda: False):
        """Whether it still runs after so long, or when `until` gives True."""
        end = clock() + seconds
        while self._process.is_alive():
            if until() or clock() > end:
                return True
            time.sleep(LOOK)
        return False

    def signal(self, name):
        os.kill(self._process.pid, getattr(signal, name))

    def exit(self):
        """As `subprocess.Popen.returncode`; None where it has to be killed."""
        if self.wait(MOST_SECONDS):
            self.signal("SIGKILL")
            self.wait(MOST_SECONDS)
            return None
        return self._process.exitcode


# -- a session -----------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """When and how to end a session.

    Args:
        signals: one or two.
        early: whether before the first sign of life.
        share: of the time until then, or from then to the end, in [0, 1).
        pause: seconds between two signals.
    """

    signals: tuple[str, ...]
    early: bool
    share: float
    pause: float


def draw(rng):
    """A `Kill`."""
    which = rng.choice(len(SIGNALS), p=list(SIGNALS.values()))
    return Kill(
        list(SIGNALS)[which], rng.random() < EARLY, rng.random(), rng.uniform(0, 1)
    )


@dataclass(frozen=True)
class Times:
    """Seconds of a session that nothing stops: to its first sign of life, and on."""

    before: float
    after: float

    def within(self, seconds):
        """Shorter ones, where a whole session took less: machines have other work."""
        share = min(1, seconds / (self.before + self.after))
        return Times(self.before * share, self.after * share)


def arguments_of(command, folder):
    """The command line, which goes on where there is a run."""
    if sign_of_life(folder) is None:
        return [command, *ARGUMENTS[command].split(), "--out", str(folder)]
    words = [command, "--out", str(folder), "--resume", "--quiet"]
    if command != "tune":  # which are the session's, not the run's
        given = ARGUMENTS[command].split()
        at = given.index("--checkpoint-steps")
        words += given[at : at + 2]
    return words


def sign_of_life(folder):
    """When `run.json` was written last."""
    path = folder / "run.json"
    return path.stat().st_mtime_ns if path.exists() else None


def undisturbed(command, folder, log):
    """Run to the end, and time it."""
    process, began = Process(run_command, arguments_of(command, folder), log), clock()
    process.wait(MOST_SECONDS, lambda: sign_of_life(folder) is not None)
    alive = clock()
    code = process.exit()
    if code != 0:
        raise RuntimeError(f"{command} ends with {code} by itself: see {log}")
    return Times(alive - began, clock() - alive)


def killed(command, folder, log, kill, times):
    """One session, stopped at its moment if it does not end before.

    Returns:
        The exit status, and the moment in seconds, or None where it ended before.
    """
    before = sign_of_life(folder)
    done = units_done(command, folder) / UNITS[command]
    process = Process(run_command, arguments_of(command, folder), log)
    if kill.early:
        moment = kill.share * times.before
    else:
        process.wait(MOST_SECONDS, lambda: sign_of_life(folder) != before)
        moment = kill.share * times.after * (1 - (1 - COMPILING) * done)
    if not process.wait(moment):
        return process.exit(), None
    process.signal(kill.signals[0])
    for name in kill.signals[1:]:
        if process.wait(kill.pause):
            process.signal(name)
    return process.exit(), moment


def units_done(command, folder):
    """Epochs that were done, or trials."""
    if command == "tune":
        return sum(r["status"] == "COMPLETED" for r in read(folder / "trials.csv"))
    return len(read(folder / "history.csv"))


# -- a run ---------------------------------------------------------------------------


class Case:
    """The runs of one command on one backend.

    Args:
        command, backend: of `CASES`.
        work: the folder for runs.
        out: the folder for results.
        kills: how many to make in all.
        seed: of the moments.
    """

    def __init__(self, command, backend, work, out, kills, seed):
        self.command, self.backend, self.out = command, backend, out
        self.work = work / f"{command}_{backend}"
        self.seed = seed
        rows = [r for r in read(out / "runs.csv") if self._is_own(r)]
        numbers = [int(row["run"]) for row in rows if row["run"].isdecimal()]
        self.left = kills - sum(int(row["kills"]) for row in rows)
        self.next = max(numbers, default=-1) + 1

    def _is_own(self, row):
        return (row["command"], row["backend"]) == (self.command, self.backend)

    def go(self):
        """All kills that are missing."""
        if self.left <= 0:
            return
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.began, self.made = clock(), 0
        self._note(self.undisturbed())
        while self.left > 0:
            row = self.run(self.next, min(self.left, MOST_KILLS))
            self.next += 1
            self.left -= row["kills"]
            self.made += row["kills"]
            self._note(row)

    def undisturbed(self):
        """Two runs that nothing stops: the row of the second."""
        self.reference, again = self.work / "undisturbed", self.work / "again"
        for folder in (self.reference, again):  # JAX compiles in the first one
            self.times = undisturbed(self.command, folder, folder.with_suffix(".log"))
        largest, problems = self._compared(again)
        return {
            "run": "undisturbed",
            "kills": 0,
            "resumes": 0,
            "alike": not problems,
            "difference": largest,
            "seconds": round(self.times.before + self.times.after, 1),
            "problems": "; ".join(problems[:MOST_TOLD]),
        }

    def _compared(self, folder):
        return compare(folder, self.reference, TOLERANCES[self.command])

    def run(self, number, most):
        """One run, killed so often at most: its row."""
        folder = self.work / f"run{number}"
        log, began = folder.with_suffix(".log"), clock()
        name = zlib.crc32(f"{self.command} {self.backend}".encode())
        rng = np.random.default_rng([self.seed, name, number])
        made, sessions, problems, rows = 0, 0, [], []
        while True:
            sessions += 1
            if made == most:
                code = Process(
                    run_command, arguments_of(self.command, folder), log
                ).exit()
                moment = None
            else:
                kill = draw(rng)
                code, moment = killed(self.command, folder, log, kill, self.times)
            if moment is None:
                break
            made += 1
            row = self._after(folder, kill, code)
            problems += row["problems"]
            row |= {"run": number, "session": sessions, "moment": round(moment, 2)}
            row["problems"] = "; ".join(row["problems"])
            rows.append(row)
        if code != 0:
            problems.append(f"ended with {code}")
        if not made:
            self.times = self.times.within(clock() - began)
        largest, found = self._judged(folder, log)
        problems += found
        if not problems:
            shutil.rmtree(folder)
        for row in rows:  # now: a run that is not in the table is made again
            self.write("kills.csv", KILL_FIELDS, row)
        return {
            "run": number,
            "kills": made,
            "resumes": sessions - 1,
            "alike": not problems,
            "difference": largest,
            "seconds": round(clock() - began, 1),
            "problems": "; ".join(problems[:MOST_TOLD]),
        }

    def _after(self, folder, kill, code):
        """What a kill has left: a row."""
        problems = damage(folder)
        expected = {0, *(-getattr(signal, name) for name in kill.signals)}
        if not (folder / "run.json").exists():  # nothing to go on with
            expected.add(130)
        if code not in expected:
            problems.append(f"{'+'.join(kill.signals)} ended it with {code}")
        return {
            "signals": "+".join(kill.signals),
            "early": kill.early,
            "exit": code,
            "done": units_done(self.command, folder),
            "half_written": " ".join(half_written(folder)),
            "problems": problems,
        }

    def _judged(self, folder, log):
        """The end: the largest difference, and what is wrong with it."""
        largest, problems = self._compared(folder)
        problems += [f"{name} is half-written" for name in half_written(folder)]
        problems += [f"{name} was refused" for name in refused(folder)]
        if Process(load_checkpoints, folder, log).exit() != 0:
            problems.append("a checkpoint cannot be loaded")
        return largest, problems

    def write(self, name, fields, row):
        """Add a row to a CSV file."""
        own = {"command": self.command, "backend": self.backend}
        with (self.out / name).open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, fields).writerow(own | row)

    def _note(self, row):
        """Write a run's row, and print how far it is."""
        self.write("runs.csv", RUN_FIELDS, row)
        rate = (clock() - self.began) / max(self.made, 1)
        left = f", about {duration(rate * self.left)}" if self.made else ""
        what = "alike" if row["alike"] else f"NOT ALIKE: {row['problems']}"
        print(
            f"{self.command} {self.backend}, run {row['run']}: {row['kills']} kills, "
            f"{what}, largest difference {row['difference']:.1g}; {self.left} kills "
            f"left{left}",
            flush=True,
        )


# -- results -------------------------------------------------------------------------


def read(path):
    """Rows of a CSV file, none where it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def begin(path, fields):
    """Make a CSV file without rows, if it is not there."""
    if not path.exists():
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, fields).writeheader()


def table(runs, kills):
    """A row per command and backend, as Markdown."""
    lines = [
        "| command | backend | runs | kills | SIGKILL | SIGTERM | Ctrl-C "
        "| two signals | before `run.json` | while a file was written | resumes "
        "| alike | largest difference | two undisturbed | seconds a run |",
        "|---|---|" + "---:|" * 13,
    ]
    for case in CASES:
        rows = [r for r in runs if (r["command"], r["backend"]) == case]
        mine = [r for r in kills if (r["command"], r["backend"]) == case]
        if rows:
            lines.append("| " + " | ".join(map(str, cells(case, rows, mine))) + " |")
    return "\n".join(lines) + "\n"


def cells(case, rows, kills):
    """Of one row of the table."""
    killed = [row for row in rows if row["run"].isdecimal()]
    whole = [row for row in rows if not row["run"].isdecimal()]
    signals = [row["signals"] for row in kills]
    alike = sum(row["alike"] == "True" for row in killed)
    return [
        *case,
        len(killed),
        sum(int(row["kills"]) for row in killed),
        *(signals.count(name) for name in ("SIGKILL", "SIGTERM", "SIGINT")),
        sum("+" in each for each in signals),
        sum(row["early"] == "True" for row in kills),
        sum(bool(row["half_written"]) for row in kills),
        sum(int(row["resumes"]) for row in killed),
        f"{alike} of {len(killed)}",
        f"{max((float(row['difference']) for row in killed), default=0):.1g}",
        f"{max((float(row['difference']) for row in whole), default=0):.1g}",
        f"{np.mean([float(row['seconds']) for row in killed]):.0f}" if killed else "",
    ]


def on_backend(backend, arguments):
    """All cases of one backend, in this process."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # What JAX has compiled once is not compiled in each session.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(arguments.work.resolve() / "compiled")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    SERVER.set_forkserver_preload(list(IMPORTED))
    cases = [c for c in CASES if c[1] == backend and c[0] in arguments.commands]
    for command, _ in cases:
        Case(
            command,
            backend,
            arguments.work,
            arguments.out,
            arguments.share,
            arguments.seed,
        ).go()


def at_the_same_time(arguments):
    """Each backend in a process of its own, which forks for that one alone."""
    share = ["--share", str(arguments.share), "--backends"]
    processes = [
        subprocess.Popen([sys.executable, *sys.argv, *share, backend])
        for backend in arguments.backends
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        sys.exit("Not all backends came to an end, or to the same one")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="in all")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"))
    parser.add_argument("--work", type=Path, default=Path("runs/chaos-work"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", choices=ARGUMENTS, default=ARGUMENTS)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--share", type=int, help="kills of each case, for --kills")
    arguments = parser.parse_args()
    chosen = [
        case
        for case in CASES
        if case[0] in arguments.commands and case[1] in arguments.backends
    ]
    if arguments.share is None:
        arguments.share = -(-arguments.kills // len(chosen))
    arguments.out.mkdir(parents=True, exist_ok=True)
    begin(arguments.out / "runs.csv", RUN_FIELDS)
    begin(arguments.out / "kills.csv", KILL_FIELDS)
    if len(arguments.backends) == 1:
        on_backend(arguments.backends[0], arguments)
    else:
        at_the_same_time(arguments)
    runs, kills = (read(arguments.out / f"{name}.csv") for name in ("runs", "kills"))
    text = table(runs, kills)
    (arguments.out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    if any(row["alike"] != "True" for row in runs):
        sys.exit("Not all runs ended alike: runs.csv says which")


if __name__ == "__main__":
    main()
