"""The command line: arguments in, text out, one line per error.

Each command is a module with `add_command`, which declares its arguments, and gives
its parser, or those of its actions.
"""

import argparse
import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from keras_attention.cli import (
    benchmark,
    compare,
    derive,
    detect,
    evaluate,
    explain,
    export,
    finetune,
    predict,
    report,
    search,
    study,
    summary,
    train,
    tune,
)

COMMANDS = (
    train,
    finetune,
    evaluate,
    predict,
    summary,
    search,
    derive,
    compare,
    tune,
    export,
    benchmark,
    study,
    explain,
    report,
    detect,
)
USER_ERRORS = (ValueError, ImportError, OSError, FloatingPointError, MemoryError)
FAILED = 2
# Of a run, in its folder; importing the module that writes it would import Keras.
RECORD = "run.json"
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments, without the program's name; by default the process'.

    Returns:
        The exit status: 0; 2 for an error of the user's, which is printed to
        standard error in one line. After Ctrl-C or SIGTERM 0, if `--resume` can go on
        with what is done, and 130 if there is nothing to go on with.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    try:
        with _terminated_as_interrupted():
            return arguments.run(arguments, argv) or 0
    except KeyboardInterrupt as stopped:  # a run that saved its state says so
        said = str(stopped) or "Interrupted"
        print(f"\n{said}. {_remedy(arguments, argv)}", file=sys.stderr)
        return 0 if _begun(arguments) else INTERRUPTED
    except USER_ERRORS as error:
        if arguments.debug:
            raise
        print(f"keras-attention: error: {_one_line(error)}", file=sys.stderr)
        _leave_others(FAILED)
        return FAILED


def _leave_others(status: int) -> None:
    """End at once where other processes, which this one trained with, would wait."""
    processes = sys.modules.get("keras_attention.training.processes")
    if processes is not None:  # else none were joined, and Keras is not imported
        processes.leave(status)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Within the block SIGTERM does what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _remedy(arguments: argparse.Namespace, argv: list[str]) -> str:
    if not _begun(arguments):
        return "Nothing was changed."
    words = [*arguments.command.split(), "--out", arguments.out]
    if arguments.repeat:  # the folder does not say what is to be done
        words = [word for word in argv if word != "--resume"]
    command = shlex.join(["keras-attention", *words, "--resume"])
    return f"Go on {arguments.go_on}: {command}"


def _begun(arguments: argparse.Namespace) -> bool:
    """Whether there is something to go on with."""
    if not hasattr(arguments, "go_on"):
        return False
    out = Path(arguments.out)
    # A comparison or a study has the records of its runs in folders below.
    return out.is_dir() if arguments.repeat else (out / RECORD).exists()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-attention",
        description="Convolutional networks with attention: train, search, export.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in COMMANDS:
        parsers = command.add_command(commands)
        for each in parsers if isinstance(parsers, list) else [parsers]:
            each.add_argument(
                "--debug", action="store_true", help="show the traceback of an error"
            )
    return parser
