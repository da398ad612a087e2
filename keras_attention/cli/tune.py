"""Choose network, attention and training by Keras Tuner."""

import argparse

from keras_attention.cli.options import add_data, add_run, given, session


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "tune",
        help="choose network, attention, its place and its training by Keras Tuner",
        description="Try networks, and report the best. With --resume, all but --out "
        "may be left out. Several processes search together where Keras Tuner's "
        "environment variables are set and the arguments are the same: "
        "KERASTUNER_TUNER_ID (chief for one, any other names for the workers), "
        "KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT (the chief's).",
    )
    parser.set_defaults(
        run=run, repeat=False, go_on="with the trials that were under way"
    )
    add = parser.add_argument
    add_run(parser)
    add("--models", nargs="+", help="to choose from: resnet18 wideresnet-16-4 …")
    add("--algorithm", help="hyperband (default), random or bayesian")
    add("--attentions", nargs="+", help="to choose from, with none; all by default")
    add("--reduction-ratios", type=int, nargs="+", help="to choose from (4 8 16)")
    add("--spatial-kernel-sizes", type=int, nargs="+", help="odd ones (3 5 7)")
    add("--optimizers", nargs="+", help="to choose from (sgd adam)")
    add("--trials", type=int, help="for random and bayesian (20)")
    add("--factor", type=int, help="hyperband: one trial in FACTOR goes on (3)")
    add("--max-model-size", type=int, metavar="N", help="most trainable parameters")
    add_data(parser)
    # Not `add_recipe`: the learning rate is searched.
    add("--recipe", help="cifar (default), cifar-cosine, imagenet, mobilenet, quick")
    add("--epochs", type=int, help="of the longest trial, in place of the recipe's")
    add("--batch-size", type=int, help="in place of the recipe's")
    add("--schedule", help="step or cosine, in place of the recipe's")
    add("--seed", type=int, help="of proposals, weights, splits, order (0)")
    add(
        "--worker-timeout",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="after which a silent chief or worker counts as dead (300)",
    )
    return parser


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.tuning import tuners

    trials = tuners.tune(
        out=arguments.out,
        resume=arguments.resume,
        worker_timeout=arguments.worker_timeout,
        **session(arguments, argv),
        **given(arguments, tuners.TuneRequest),
    )
    if not trials:  # a worker's; the chief tells
        return
    best = trials[0]
    done = sum(trial["status"] == "COMPLETED" for trial in trials)
    rate = best[f"{best['optimizer']}_learning_rate"]
    print(
        f"{arguments.out}: {done} of {len(trials)} trials completed; best, trial "
        f"{best['trial']}: {best['model']}, val_top1_error "
        f"{best['val_top1_error']:.4g}, {best['parameters']:,} parameters, "
        f"{best['optimizer']}, learning rate {rate:.3g}"
    )
    print(f"Its attention by block: {arguments.out}/genotype.json")
