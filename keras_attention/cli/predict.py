"""Classify image files."""

import argparse

from keras_attention.cli.options import add_json, show


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("predict", help="classify image files")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("images", nargs="+", help="image files: JPEG, PNG, BMP, GIF")
    add("--top", type=int, default=5, help="classes to list (5)")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training

    predictions = training.predict_run(
        arguments.path, arguments.images, top=arguments.top
    )
    text = "\n".join(map(str, predictions))
    show(text, [each.to_dict() for each in predictions], arguments.json)
