"""Train a network, or go on with a run."""

import argparse

from keras_attention.cli.options import (
    add_attention,
    add_data,
    add_recipe,
    add_run,
    add_saving,
    add_seeds,
    add_sharing,
    given,
    load_genotype,
    saving,
    session,
    sharing,
)


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "train",
        help="train a network, or go on with a run",
        description="Train a network. With --resume, all but --out may be left out.",
    )
    parser.set_defaults(run=run, repeat=False, go_on="after the last step")
    add = parser.add_argument
    add_run(parser)
    add_sharing(parser)
    add("--model", help="such as resnet18, wideresnet-28-10, mobilenet-0.5")
    add_attention(parser)
    add_data(parser)
    add_recipe(parser)
    add_seeds(parser)
    add_saving(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training
    from keras_attention.training.distribution import is_chief

    asked = given(arguments, training.Request)
    if arguments.genotype is not None:
        asked["attention"] = load_genotype(arguments.genotype)
    history = training.train(
        out=arguments.out,
        resume=arguments.resume,
        **saving(arguments),
        **session(arguments, argv),
        **sharing(arguments),
        **asked,
    )
    if not is_chief():
        return
    last = history[-1]
    errors = [f"{name} {value:.4g}" for name, value in last.items() if "error" in name]
    print(f"{arguments.out}: epoch {int(last['epoch']) + 1}, {', '.join(errors)}")
