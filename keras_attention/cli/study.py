"""Studies of attention by one command."""

import argparse

from keras_attention.cli.options import (
    add_data,
    add_recipe,
    add_run,
    present,
    session,
)

SHARED = (
    "stem",
    "data",
    "data_dir",
    "validation",
    "limit",
    "dtype",
    "image_size",
    "on_bad_image",
    "recipe",
    "epochs",
    "batch_size",
    "learning_rate",
    "schedule",
)


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "study",
        help="a study of attention, with its report",
        description="ablation: a CNN without attention, with CBAM's channel part, its "
        "spatial part, both in parallel and both in series, and ResNet-34 without and "
        "with CBAM, all trained alike over seeds, each tested once.",
    )
    parser.set_defaults(run=run, repeat=True, go_on="with the run that was interrupted")
    add = parser.add_argument
    add("study", choices=("ablation",))
    add_run(parser)
    add("--model", nargs="+", help="networks (cnn3 resnet34)")
    add("--forms", nargs="+", help="of none, channel, spatial, parallel, series")
    add("--seeds", type=int, default=3, metavar="N", help="runs of each (3)")
    add("--images", type=int, default=10, metavar="N", help="in the report (10)")
    add_data(parser)
    add_recipe(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.studies import ablation

    chosen = present(arguments, ("model", "forms"))
    if "model" in chosen:
        chosen["models"] = chosen.pop("model")
    print(
        ablation(
            out=arguments.out,
            seeds=arguments.seeds,
            resume=arguments.resume,
            **chosen,
            **session(arguments, argv),
            **present(arguments, SHARED),
        )
    )
    _report(arguments)


def _report(arguments: argparse.Namespace) -> None:
    from keras_attention.reports import write_report

    verbose = 0 if arguments.quiet else 1
    try:
        print(write_report(arguments.out, images=arguments.images, verbose=verbose))
    except ImportError as error:
        print(f"There is no report: {error}")
