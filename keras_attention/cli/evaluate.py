"""Errors of a trained network."""

import argparse

from keras_attention.cli.options import add_json, show


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("evaluate", help="errors and accuracy by class")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("--split", default="test", help="test (default), validation or train")
    add("--data-dir", help="where the data is now, if it moved")
    add("--batch-size", type=int, default=256, help="images at a time (256)")
    add("--limit", type=int, metavar="N", help="most images")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training

    evaluation = training.evaluate_run(
        arguments.path,
        split=arguments.split,
        data_dir=arguments.data_dir,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
    )
    show(evaluation, evaluation.to_dict(), arguments.json)
