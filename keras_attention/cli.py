"""The command line: arguments in, text out, one line per error."""

import argparse
import json
import shlex
import sys

USER_ERRORS = (ValueError, ImportError, OSError, FloatingPointError)
FAILED = 2
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments, without the program's name; by default the process'.

    Returns:
        The exit status: 0; 2 for an error of the user's, which is printed to
        standard error in one line; 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments, argv) or 0
    except KeyboardInterrupt:
        print(f"\nInterrupted. {_remedy(arguments)}", file=sys.stderr)
        return INTERRUPTED
    except USER_ERRORS as error:
        if arguments.debug:
            raise
        print(f"keras-attention: error: {_one_line(error)}", file=sys.stderr)
        return FAILED


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _remedy(arguments: argparse.Namespace) -> str:
    if arguments.command != "train":
        return "Nothing was changed."
    out = shlex.quote(arguments.out)
    return (
        f"Go on after the last whole epoch: keras-attention train --resume --out {out}"
    )


def _train(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training

    history = training.train(
        out=arguments.out,
        resume=arguments.resume,
        stop_after=arguments.stop_after,
        download=arguments.download,
        command=shlex.join(["keras-attention", *argv]),
        verbose=0 if arguments.quiet else 1,
        **_given(arguments, training.Request),
    )
    last = history[-1]
    errors = [f"{name} {value:.4g}" for name, value in last.items() if "error" in name]
    print(f"{arguments.out}: epoch {int(last['epoch']) + 1}, {', '.join(errors)}")


def _given(arguments: argparse.Namespace, request: type) -> dict:
    """The fields of a request that are on the command line."""
    names = request.__dataclass_fields__
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _evaluate(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training

    evaluation = training.evaluate_run(
        arguments.path,
        split=arguments.split,
        data_dir=arguments.data_dir,
        batch_size=arguments.batch_size,
        limit=arguments.limit,
    )
    _show(evaluation, evaluation.to_dict(), arguments.json)


def _predict(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training

    predictions = training.predict_run(
        arguments.path, arguments.images, top=arguments.top
    )
    text = "\n".join(map(str, predictions))
    _show(text, [each.to_dict() for each in predictions], arguments.json)


def _summary(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import applications
    from keras_attention.counting import complexity

    options = {"input_shape": arguments.input_shape, "classes": arguments.classes}
    given = {name: value for name, value in options.items() if value is not None}
    if "input_shape" in given:
        given["input_shape"] = tuple(given["input_shape"])
    model = applications.build(arguments.model, attention=arguments.attention, **given)
    found = complexity(model)
    _show(found, found.to_dict(), arguments.json)


def _show(text: object, content: object, as_json: bool) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False) if as_json else text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="keras-attention",
        description="Convolutional networks with attention: train and measure them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for add in (_add_train, _add_evaluate, _add_predict, _add_summary):
        add(commands).add_argument(
            "--debug", action="store_true", help="show the traceback of an error"
        )
    return parser


def _add_train(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "train",
        help="train a network, or go on with a run",
        description="Train a network. With --resume, all but --out may be left out.",
    )
    parser.set_defaults(run=_train)
    add = parser.add_argument
    add("--out", required=True, help="folder of the run")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--model", help="such as resnet18, wideresnet-28-10, mobilenet-0.5")
    add("--attention", help="such as cbam, aw_se; none by default")
    add("--stem", choices=("imagenet", "cifar"), help="by default by the image size")
    add("--data", help="digits, folder, or a TensorFlow Datasets name (cifar10)")
    add("--data-dir", help="where the data is")
    add("--download", action="store_true", help="download data that is not there")
    add("--recipe", help="cifar (default), cifar-cosine, imagenet, mobilenet, quick")
    add("--epochs", type=int, help="in place of the recipe's")
    add("--batch-size", type=int, help="in place of the recipe's")
    add("--learning-rate", type=float, help="in place of the recipe's")
    add("--schedule", help="step or cosine, in place of the recipe's")
    add("--validation", type=float, help="fraction held out of training (0.1)")
    _add_size(parser)
    add("--limit", type=int, metavar="N", help="most images in each split")
    add("--seed", type=int, help="of weights, splits, order, augmentation (0)")
    add("--dtype", help="float32 (default), mixed_bfloat16 or mixed_float16")
    add("--stop-after", type=int, metavar="EPOCHS", help="stop, to resume later")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--image-size",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="of the network's input in pixels; by default the data's",
    )


def _add_evaluate(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("evaluate", help="errors and accuracy by class")
    parser.set_defaults(run=_evaluate)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("--split", default="test", help="test (default), validation or train")
    add("--data-dir", help="where the data is now, if it moved")
    add("--batch-size", type=int, default=256, help="images at a time (256)")
    add("--limit", type=int, metavar="N", help="most images")
    _add_json(parser)
    return parser


def _add_predict(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("predict", help="classify image files")
    parser.set_defaults(run=_predict)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("images", nargs="+", help="image files: JPEG, PNG, BMP, GIF")
    add("--top", type=int, default=5, help="classes to list (5)")
    _add_json(parser)
    return parser


def _add_summary(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser("summary", help="parameters and multiply-adds")
    parser.set_defaults(run=_summary)
    add = parser.add_argument
    add("model", help="such as resnet50, wideresnet-28-10, mobilenet-0.5")
    add("--attention", help="such as cbam, aw_se; none by default")
    add("--input-shape", type=int, nargs=3, metavar=("H", "W", "C"))
    add("--classes", type=int, help="of the classifier")
    _add_json(parser)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
