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
    if arguments.command not in ("train", "search", "compare"):
        return "Nothing was changed."
    what = {
        "train": "after the last whole epoch",
        "search": "after the last checkpoint",
        "compare": "with the run that was interrupted",
    }[arguments.command]
    words = ["keras-attention", arguments.command]
    words += map(str, getattr(arguments, "runs", []))
    words += ["--resume", "--out", arguments.out]
    return f"Go on {what}: {shlex.join(words)}"


def _train(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention import training

    given = _given(arguments, training.Request)
    if arguments.genotype is not None:
        from keras_attention.tuning.genotype import Genotype

        given["attention"] = Genotype.load(arguments.genotype)
    history = training.train(
        out=arguments.out,
        resume=arguments.resume,
        stop_after=arguments.stop_after,
        **_session(arguments, argv),
        **given,
    )
    last = history[-1]
    errors = [f"{name} {value:.4g}" for name, value in last.items() if "error" in name]
    print(f"{arguments.out}: epoch {int(last['epoch']) + 1}, {', '.join(errors)}")


def _search(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.tuning.searching import SearchRequest, search

    genotype = search(
        out=arguments.out,
        resume=arguments.resume,
        stop_after=arguments.stop_after,
        checkpoint_steps=arguments.checkpoint_steps,
        **_session(arguments, argv),
        **_given(arguments, SearchRequest),
    )
    print(genotype)


def _derive(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.tuning.deriving import derive_run

    genotype = derive_run(
        arguments.run_folder,
        rule=arguments.rule,
        budget=arguments.budget,
        cost=arguments.cost.replace("-", "_"),
    )
    if arguments.out is not None:
        genotype.save(arguments.out)
    print(genotype)


def _compare(arguments: argparse.Namespace, argv: list[str]) -> None:
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
            **_session(arguments, argv),
            **shared,
            **_present(arguments, names),
        )
    )


def _session(arguments: argparse.Namespace, argv: list[str]) -> dict:
    """What every command that trains is told."""
    return {
        "download": arguments.download,
        "command": shlex.join(["keras-attention", *argv]),
        "verbose": 0 if arguments.quiet else 1,
    }


def _given(arguments: argparse.Namespace, request: type) -> dict:
    """The fields of a request that are on the command line."""
    return _present(arguments, request.__dataclass_fields__)


def _present(arguments: argparse.Namespace, names) -> dict:
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
    for add in (
        _add_train,
        _add_evaluate,
        _add_predict,
        _add_summary,
        _add_search,
        _add_derive,
        _add_compare,
    ):
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
    _add_run(parser)
    add("--model", help="such as resnet18, wideresnet-28-10, mobilenet-0.5")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--attention", help="such as cbam, aw_se; none by default")
    where.add_argument("--genotype", metavar="FILE", help="what a search found")
    _add_data(parser)
    _add_recipe(parser)
    add("--seed", type=int, help="of weights, splits, order, augmentation (0)")
    add("--stop-after", type=int, metavar="EPOCHS", help="stop, to resume later")
    return parser


def _add_search(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "search",
        help="search for the attention of each block, or go on with a search",
        description="Search for the attention of each block. With --resume, all but "
        "--out may be left out.",
    )
    parser.set_defaults(run=_search)
    add = parser.add_argument
    _add_run(parser)
    add("--model", help="such as resnet18, cifarresnet-20, mobilenet-0.5")
    add("--space", help="sscbam (default), ssmvam, ssmvam_biased, or none,se,eca,…")
    add("--aw", action="store_true", default=None, help="search AW-convolution, too")
    add("--reduction-ratio", type=int, help="of the attentions, in place of theirs")
    add("--spatial-kernel-size", type=int, help="in place of the attentions' own")
    _add_data(parser)
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
    add("--alpha-learning-rate", type=float, help="of the architecture (0.0003)")
    add("--alpha-l2", type=float, help="L2 of the architecture (0.001)")
    add("--clip-norm", type=float, help="of the weights' gradient (5); 0: no limit")
    add("--control", help="penalty-only: the null run, which sees no image")
    add("--seed", type=int, help="of weights, parts, order, augmentation (0)")
    add("--stop-after", type=int, metavar="EPOCHS", help="stop, to resume later")
    add(
        "--checkpoint-steps",
        type=int,
        default=500,
        metavar="N",
        help="steps between two checkpoints (500); each epoch's end has one, too",
    )
    return parser


def _add_derive(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "derive", help="the structure that a search found, by a rule or in a budget"
    )
    parser.set_defaults(run=_derive)
    add = parser.add_argument
    add("run_folder", metavar="run", help="folder of a search")
    add("--rule", help="paper (where the space has it, the default) or argmax")
    add("--budget", type=float, help="most that all attentions together may cost")
    add(
        "--cost",
        default="parameters",
        help="of the budget: parameters (default), multiply-adds, or latency in ms",
    )
    add("--out", metavar="FILE", help="save it, for train --genotype")
    return parser


def _add_compare(commands) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "compare",
        help="what searches found against controls, over seeds",
        description="Train what searches found, the plain network and controls, all "
        "alike, and test each network once.",
    )
    parser.set_defaults(run=_compare)
    add = parser.add_argument
    add("runs", nargs="+", help="folders of searches")
    _add_run(parser)
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
    _add_recipe(parser)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, help="folder of the run")
    add("--resume", action="store_true", help="go on with the run in --out")
    add("--download", action="store_true", help="download data that is not there")
    add("--quiet", action="store_true", help="no progress bar")


def _add_data(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--stem", choices=("imagenet", "cifar"), help="by default by the image size")
    add("--data", help="digits, folder, or a TensorFlow Datasets name (cifar10)")
    add("--data-dir", help="where the data is")
    add("--validation", type=float, help="fraction held out of training (0.1)")
    add("--limit", type=int, metavar="N", help="most images in each split")
    add("--dtype", help="float32 (default), mixed_bfloat16 or mixed_float16")
    _add_size(parser)


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--recipe", help="cifar (default), cifar-cosine, imagenet, mobilenet, quick")
    add("--epochs", type=int, help="in place of the recipe's")
    add("--batch-size", type=int, help="in place of the recipe's")
    add("--learning-rate", type=float, help="in place of the recipe's")
    add("--schedule", help="step or cosine, in place of the recipe's")


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
