"""Start the processes of one training, or of several at once.

Several processes that train one network together (JAX; the command has
`--distribute hosts`), all on this host or, with `--coordinator`, on several:

    python -m keras_attention.training.launch --processes 2 -- \\
        keras-attention train … --distribute hosts --out runs/x

The same command for several seeds, each on its own:

    python -m keras_attention.training.launch --seeds 0 1 2 --at-once 2 -- \\
        keras-attention search … --seed {seed} --out runs/s{seed}

One process drives all accelerators of its host; several on one host are for CPUs.
"""

from __future__ import annotations

import argparse
import os
import sys

from keras_attention.training.launch.jobs import Job, free_port, program
from keras_attention.training.launch.members import Place, say
from keras_attention.training.launch.running import Runner

SEED, STOP = "{seed}", "--stop"
LOOPBACK = "127.0.0.1"


def main(argv: list[str] | None = None) -> int:
    """Run the command of the arguments.

    Returns:
        Exit status: 0; of a process that did not end well, or 1 if a seed did not.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    # Python's own; `argparse` keeps the first of them.
    command = arguments.command[arguments.command[:1] == ["--"] :]
    if not command:
        parser.error("a command is needed, after --")
    try:
        _refuse_stop_after(arguments, command)
        if arguments.seeds:
            return _seeds(arguments, command)
        return _hosts(arguments, command)
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _hosts(arguments: argparse.Namespace, command: list[str]) -> int:
    here = arguments.processes if arguments.here is None else arguments.here
    last = arguments.first + here
    if min(arguments.processes, here) < 1 or last > arguments.processes:
        raise ValueError(
            f"--first {arguments.first} and --here {here} must be of the --processes "
            f"{arguments.processes}"
        )
    if here < arguments.processes and arguments.coordinator is None:
        raise ValueError("--coordinator HOST:PORT is needed for processes elsewhere")

    def places() -> list[Place]:
        address = arguments.coordinator or f"{LOOPBACK}:{free_port()}"
        return [
            _place(number, address, arguments)
            for number in range(arguments.first, last)
        ]

    name = "the processes"
    job = Job(name, program(command), places, arguments.restarts)
    return Runner([job], 1).run()[name]


def _refuse_stop_after(arguments: argparse.Namespace, command: list[str]) -> None:
    """Raise ValueError for `--stop-after`, or an abbreviation, if starts may repeat."""
    found = [word for word in command if word.startswith(STOP)]
    if found and arguments.restarts:
        raise ValueError(
            f"{found[0]} would count its epochs anew at each start: say how long to "
            "train with the recipe's --epochs, or do without starts (--restarts 0)"
        )


def _place(number: int, address: str, arguments: argparse.Namespace) -> Place:
    return Place(
        f"process {number}",
        {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(arguments.processes),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
            "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax"),
        },
        None if number == 0 else f"[{number}] ",
    )


def _seeds(arguments: argparse.Namespace, command: list[str]) -> int:
    if len(set(arguments.seeds)) < len(arguments.seeds):
        raise ValueError(f"Each of --seeds once. Received: {arguments.seeds}")
    if arguments.at_once < 1:
        raise ValueError(f"--at-once must be at least 1. Received: {arguments.at_once}")
    jobs = [_seed(seed, command, arguments) for seed in arguments.seeds]
    folders = [job.out for job in jobs]
    if None in folders or len(set(folders)) < len(folders):
        raise ValueError(f"The command needs a folder for each: --out runs/s{SEED}")
    statuses = Runner(jobs, arguments.at_once).run()
    for job in jobs:
        say(_summary(job, statuses[job.name]))
    return int(any(statuses.values()))


def _seed(seed: int, command: list[str], arguments: argparse.Namespace) -> Job:
    words = [word.replace(SEED, str(seed)) for word in command]
    if words == command:
        raise ValueError(f"The command must have {SEED}, as in --seed {SEED}")
    name = f"seed {seed}"
    places = [Place(name, {}, f"[{name}] ")]
    return Job(name, program(words), lambda: places, arguments.restarts)


def _summary(job: Job, status: int) -> str:
    if not job.began:
        return f"{job.name}: not started"
    how = "done" if status == 0 else f"failed with exit status {status}"
    again = f", restarted {job.restarted} times" if job.restarted else ""
    return f"{job.name}: {how} after {job.seconds:.0f} s{again}, {job.out}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m keras_attention.training.launch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--processes", type=int, default=1, metavar="N", help="in all (1)")
    add("--coordinator", metavar="HOST:PORT", help="of process 0; here by default")
    add("--first", type=int, default=0, metavar="N", help="of this host's (0)")
    add("--here", type=int, metavar="N", help="how many on this host (all)")
    add("--seeds", type=int, nargs="+", metavar="N", help="a run for each instead")
    add("--at-once", type=int, default=1, metavar="N", help="seeds at a time (1)")
    add(
        "--restarts",
        type=int,
        default=3,
        metavar="N",
        help="starts after a death, at most, without a new checkpoint between (3)",
    )
    add("command", nargs=argparse.REMAINDER, help="after --: what to run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
