"""The structure that a search found."""

import argparse


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "derive", help="the structure that a search found, by a rule or in a budget"
    )
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("run_folder", metavar="run", help="folder of a search")
    add("--rule", help="paper (where the space has it, the default) or argmax")
    add("--budget", type=float, help="most that all attentions together may cost")
    add(
        "--cost",
        help="of the budget: parameters (default), multiply-adds, or latency in ms",
    )
    add("--out", metavar="FILE", help="save it, for train --genotype")
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.tuning.deriving import derive_run

    genotype = derive_run(
        arguments.run_folder,
        rule=arguments.rule,
        budget=arguments.budget,
        cost=arguments.cost and arguments.cost.replace("-", "_"),
    )
    if arguments.out is not None:
        genotype.save(arguments.out)
    print(genotype)
