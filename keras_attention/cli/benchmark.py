"""How long exported networks take."""

import argparse

from keras_attention.cli.options import add_json, show


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "benchmark",
        help="latency of exported networks, side by side",
        description="Time exported networks side by side: every round runs every file "
        "once. Ratios are to the first file, within a round.",
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add(
        "files", nargs="+", metavar="file", help=".tflite, .onnx or SavedModel's folder"
    )
    add("--threads", type=int, default=1, metavar="N", help="of the runtimes (1)")
    add("--runs", type=int, default=50, metavar="N", help="timed calls of each (50)")
    add("--out", metavar="FOLDER", help="save benchmark.csv and benchmark.svg here")
    add_json(parser)
    add("--quiet", action="store_true", help="no progress bar; --json shows none")
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.saved_models import benchmark

    found = benchmark(
        arguments.files,
        threads=arguments.threads,
        runs=arguments.runs,
        verbose=not (arguments.quiet or arguments.json),
    )
    show(found, found.to_dict(), arguments.json)
    if arguments.out is not None:
        found.save(arguments.out)
