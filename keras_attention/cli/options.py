"""Options that commands share, and what becomes of them."""

import argparse
import json
import shlex


def add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, help="folder of the run")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--download", action="store_true", help="download data that is not there")
    add("--quiet", action="store_true", help="no progress bar")


def add_saving(parser: argparse.ArgumentParser) -> None:
    """When a run saves its state, and stops."""
    add = parser.add_argument
    add("--stop-after", type=int, metavar="EPOCHS", help="stop, to resume later")
    add(
        "--checkpoint-steps",
        type=int,
        metavar="N",
        help="steps between two checkpoints (500); each epoch's end has one, too",
    )
    add("--keep", type=int, metavar="N", help="checkpoints to keep (2)")


def add_sharing(parser: argparse.ArgumentParser) -> None:
    add_distribute(parser)
    parser.add_argument(
        "--batch-norm",
        help="synchronized (default), or per_replica: each device's own images",
    )


def add_distribute(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--distribute",
        metavar="DEVICES",
        help="devices (all of this machine), hosts (of all processes, on JAX: "
        "python -m keras_attention.training.launch), cpu:N (the CPU as N devices), or "
        "none; with --resume as last time by default",
    )


def add_attention(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--attention", help="such as cbam, aw_se; none by default")
    where.add_argument("--genotype", metavar="FILE", help="what a search found")


def add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--stem", choices=("imagenet", "cifar"), help="by default by the image size")
    add("--data", help="digits, folder, or a TensorFlow Datasets name (cifar10)")
    add("--data-dir", help="where the data is")
    add("--validation", type=float, help="fraction held out of training (0.1)")
    add("--limit", type=int, metavar="N", help="most images in each split")
    add("--dtype", help="float32 (default), mixed_bfloat16 or mixed_float16")
    add_bad_images(parser)
    add_size(parser)


def add_bad_images(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-bad-image",
        choices=("error", "skip"),
        help="image files of a folder that cannot be used: error (default), or skip "
        "to leave them out; they are named in bad_images.json",
    )


def add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--recipe", help="cifar (default), cifar-cosine, imagenet, mobilenet, quick"
    )
    add_schedule(parser)


def add_schedule(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--epochs", type=int, help="in place of the recipe's")
    add("--batch-size", type=int, help="in place of the recipe's")
    add("--learning-rate", type=float, help="in place of the recipe's")
    add("--schedule", help="step or cosine, in place of the recipe's")


def add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="of the network's input in pixels; by default the data's",
    )


def add_seeds(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seed", type=int, help="of weights, order, augmentation (0)")
    add("--split-seed", type=int, help="of the division of the data (--seed)")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def session(arguments: argparse.Namespace, argv: list[str]) -> dict:
    """What every command that trains is told."""
    return {
        "download": arguments.download,
        "command": shlex.join(["keras-attention", *argv]),
        "verbose": 0 if arguments.quiet else 1,
    }


def saving(arguments: argparse.Namespace) -> dict:
    """What `add_saving` declares, where it is on the command line."""
    return present(arguments, ("stop_after", "checkpoint_steps", "keep"))


def sharing(arguments: argparse.Namespace) -> dict:
    """What a command that trains on several devices is told, too."""
    return present(arguments, ("distribute", "batch_norm"))


def given(arguments: argparse.Namespace, request: type) -> dict:
    """The fields of a request that are on the command line."""
    return present(arguments, request.__dataclass_fields__)


def present(arguments: argparse.Namespace, names) -> dict:
    """Those of the options that are on the command line."""
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def load_genotype(path: str):
    """What `attention=` takes in place of a name."""
    from keras_attention.tuning.genotype import Genotype

    return Genotype.load(path)


def show(text: object, content: object, as_json: bool) -> None:
    """Print the text, or the content as JSON."""
    print(json.dumps(content, indent=2, ensure_ascii=False) if as_json else text)
