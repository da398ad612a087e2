"""What searches found against controls."""

import argparse

from keras_attention.cli.options import add_recipe, add_run, present, session


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "compare",
        help="what searches found against controls, over seeds",
        description="Train what searches found, the plain network and controls, all "
        "alike, and test each network once.",
    )
    parser.set_defaults(run=run, repeat=True, go_on="with the run that was interrupted")
    add = parser.add_argument
    add("runs", nargs="+", help="folders of searches")
    add_run(parser)
    add("--seeds", type=int, default=3, metavar="N", help="runs of each (3)")
    add("--random", type=int, default=3, metavar="N", help="random structures (3)")
    add(
        "--uniform",
        action="append",
        default=[],
        metavar="OPERATION",
        help="an operation that stands everywhere, such as CA+SA; may be repeated",
    )
    add(
        "--seconds",
        type=float,
        help="of searching and training for each, in place of epochs",
    )
    add_recipe(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.tuning.comparison import compare
    from keras_attention.tuning.contenders import candidates_of

    candidates, shared = candidates_of(
        arguments.runs, random=arguments.random, uniform=arguments.uniform
    )
    names = ("recipe", "epochs", "batch_size", "learning_rate", "schedule")
    print(
        compare(
            candidates,
            out=arguments.out,
            seeds=range(arguments.seeds),
            seconds=arguments.seconds,
            resume=arguments.resume,
            **session(arguments, argv),
            **shared,
            **present(arguments, names),
        )
    )
