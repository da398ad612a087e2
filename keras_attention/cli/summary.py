"""What a network costs."""

import argparse

from keras_attention.cli.options import (
    add_attention,
    add_json,
    load_genotype,
    present,
    show,
)


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("summary", help="parameters and multiply-adds")
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("model", help="such as resnet50, wideresnet-28-10, mobilenet-0.5")
    add_attention(parser)
    add("--input-shape", type=int, nargs=3, metavar=("H", "W", "C"))
    add("--classes", type=int, help="of the classifier")
    add_json(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import applications
    from keras_attention.counting import complexity

    options = present(arguments, ("attention", "input_shape", "classes"))
    if arguments.genotype is not None:
        options["attention"] = load_genotype(arguments.genotype)
    if "input_shape" in options:
        options["input_shape"] = tuple(options["input_shape"])
    model = applications.build(arguments.model, **options)
    found = complexity(model)
    show(found, found.to_dict(), arguments.json)
