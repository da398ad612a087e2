"""Search for the attention of each block."""

import argparse

from keras_attention.cli.options import (
    add_data,
    add_run,
    add_saving,
    add_seeds,
    add_sharing,
    given,
    saving,
    session,
    sharing,
)


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "search",
        help="search for the attention of each block, or go on with a search",
        description="Search for the attention of each block. With --resume, all but "
        "--out may be left out.",
    )
    parser.set_defaults(run=run, repeat=False, go_on="after the last step")
    add = parser.add_argument
    add_run(parser)
    add_sharing(parser)
    add("--model", help="such as resnet18, cifarresnet-20, mobilenet-0.5")
    add("--space", help="sscbam (default), ssmvam, ssmvam_biased, or none,se,eca,…")
    add("--aw", action="store_true", default=None, help="search AW-convolution, too")
    add("--reduction-ratio", type=int, help="of the attentions, in place of theirs")
    add("--spatial-kernel-size", type=int, help="in place of the attentions' own")
    add_data(parser)
    add("--augmentation", help="cifar (default), imagenet or none")
    add(
        "--architecture-fraction",
        type=float,
        help="of the training images, for the architecture (0.5)",
    )
    add(
        "--penalty",
        help="cost (default, by parameters), cost-multiply-adds, paper, released, none",
    )
    add("--penalty-weight", type=float, help="in place of the penalty's own")
    add("--order", type=int, help="1 (default), or 2: through a step of the weights")
    add("--epochs", type=int, help="passes over the weights' images (50)")
    add("--warmup-epochs", type=int, help="in which only the weights move (0)")
    add("--weight-steps", type=int, help="per step of the architecture (1)")
    add("--batch-size", type=int, help="of either part (64)")
    add("--learning-rate", type=float, help="of the weights at the start (0.025)")
    add("--least-learning-rate", type=float, help="of the weights at the end (0.001)")
    add("--weight-decay", type=float, help="L2 of the weights (0.0003)")
    add(
        "--alpha-learning-rate",
        type=float,
        help="of the architecture (0.0003; released: 0.1)",
    )
    add("--alpha-l2", type=float, help="L2 of the architecture (0.001; released: 0)")
    add("--clip-norm", type=float, help="of the weights' gradient (5); 0: no limit")
    add("--control", help="penalty-only: the null run, which sees no image")
    add_seeds(parser)
    add_saving(parser)
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.tuning.searching import SearchRequest, search

    genotype = search(
        out=arguments.out,
        resume=arguments.resume,
        **saving(arguments),
        **session(arguments, argv),
        **sharing(arguments),
        **given(arguments, SearchRequest),
    )
    print(genotype)
