"""Go on from weights that know other images, or go on with such a run."""

import argparse

from keras_attention.cli.options import (
    add_data,
    add_run,
    add_saving,
    add_schedule,
    add_seeds,
    add_sharing,
    given,
    saving,
    session,
    sharing,
)


def add_command(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "finetune",
        help="train a network with weights on other images",
        description="Fine-tune a network on a folder of classes. With --resume, all "
        "but --out may be left out.",
    )
    parser.set_defaults(run=run, repeat=False, go_on="after the last step")
    add_run(parser)
    add_sharing(parser)
    _add_network(parser)
    add_data(parser)
    _add_recipe(parser)
    add_seeds(parser)
    add_saving(parser)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--weights",
        help="a .keras file or a run's folder; with --model also imagenet, "
        "hf://owner/name, or a .safetensors, .pth or .h5 file",
    )
    add("--model", help="the network that the weights are of, such as resnet50")
    add(
        "--pixels",
        choices=("byte", "unit", "signed", "imagenet"),
        help="what the network wants, where nothing tells: 0 to 255, 0 to 1, -1 to 1, "
        "or ImageNet's mean and deviation",
    )
    add("--attention", help="to build --model with, such as cbam; none by default")
    add("--attach", metavar="ATTENTION", help="put an attention into the network")
    add(
        "--where",
        nargs="+",
        metavar="PLACE",
        help="before_add, after_add, between_stages, or names of layers that it stands "
        "behind; by default where its paper has it",
    )


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--recipe", help="finetune (default), probe (only what is new trains), quick")
    add_schedule(parser)
    add(
        "--freeze",
        nargs="+",
        metavar="N|LAYER",
        help="stages, from the input on, that stay; or names of layers: 'stem*'",
    )
    add(
        "--layer-decay", type=float, help="of the learning rate, per stage to the input"
    )
    add(
        "--new-learning-rate-factor",
        type=float,
        metavar="FACTOR",
        help="of the learning rate of new layers",
    )
    add(
        "--freeze-batch-norm",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether batch norms keep the statistics of the weights",
    )
    add("--ema", type=float, metavar="MOMENTUM", help="of averaged weights; 0 for none")
    add("--mixup", type=float, metavar="ALPHA", help="of mixup; 0 for none")
    add("--label-smoothing", type=float, metavar="SHARE", help="0 for none")


def run(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training
    from keras_attention.training.distribution import is_chief

    asked = given(arguments, training.FinetuneRequest)
    if "freeze" in asked:
        asked["freeze"] = _freeze(asked["freeze"])
    if len(asked.get("where", ())) == 1:
        (asked["where"],) = asked["where"]
    history = training.finetune(
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
    print(f"{arguments.out}/model.keras: the network of the best epoch so far")


def _freeze(words: list[str]) -> int | list[str]:
    """A number of stages, or names of layers."""
    try:
        (number,) = words
        return int(number)
    except ValueError:
        return words
