"""Object detectors: train, measure, and find objects in images."""

import argparse
from pathlib import Path

from keras_attention.cli.options import (
    add_bad_images,
    add_distribute,
    add_json,
    add_run,
    add_saving,
    add_size,
    given,
    present,
    saving,
    session,
    show,
)


def add_command(commands) -> list[argparse.ArgumentParser]:
    parser = commands.add_parser(
        "detect",
        help="object detectors: train, evaluate, predict, export",
        description="Object detectors with attention: Faster R-CNN and SSD.",
    )
    actions = parser.add_subparsers(required=True, metavar="action")
    return [declare(actions) for declare in (_train, _evaluate, _predict, _export)]


def _train(actions) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "train",
        help="train a detector, or go on with a run",
        description="Train a detector. With --resume, all but --out may be left out.",
    )
    parser.set_defaults(
        run=train,
        command="detect train",
        repeat=False,
        go_on="after the last step",
    )
    add = parser.add_argument
    add_run(parser)
    add_distribute(parser)
    add("--data", help="a folder as COCO's, or coco/2017, voc/2007, … of TFDS")
    add("--data-dir", help="where TensorFlow Datasets are, or the folder is now")
    add("--train-split", help="train2017 of a folder, train of TFDS")
    add("--validation-split", help="val2017, validation; none: nothing is measured")
    add("--limit", type=int, metavar="N", help="most images in each split")
    add_bad_images(parser)
    add("--detector", help="faster_rcnn (default), ssd or ssd300")
    add("--backbone", help="such as resnet18 (resnet50; vgg16 for ssd300)")
    add("--backbone-attention", help="in the backbone: cbam, aw_se, …; none by default")
    add("--attention", help="in the pyramid: aw_cbam, …; before SSD's heads: se, …")
    add("--channels", type=int, help="of the pyramid's levels (256)")
    add(
        "--anchor-sizes",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="of each level (32 64 128 256 512)",
    )
    add("--head-units", type=int, help="of Faster R-CNN's dense layers (1024)")
    add("--proposals", type=int, metavar="N", help="most of an image (1000 to 2000)")
    add("--samples", type=int, metavar="N", help="proposals that learn (512)")
    add("--recipe", help="coco (default), ssd (default of SSDs), quick")
    add("--epochs", type=int, help="in place of the recipe's")
    add("--batch-size", type=int, help="in place of the recipe's")
    add("--learning-rate", type=float, help="in place of the recipe's")
    add("--schedule", help="step or cosine, in place of the recipe's")
    add("--warmup-steps", type=int, help="in place of the recipe's")
    add("--weight-decay", type=float, help="in place of the recipe's")
    add("--clip-norm", type=float, help="of all gradients together")
    add("--short-side", type=int, metavar="PIXELS", help="of the images (800)")
    add("--long-side", type=int, metavar="PIXELS", help="at most (1333)")
    add("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="to squash to")
    for name, what in (
        ("flip", "mirror half of the images"),
        ("crops", "crop images as SSD does"),
        ("freeze-norms", "keep batch norms as they are"),
    ):
        add(f"--{name}", action=argparse.BooleanOptionalAction, help=what)
    add("--evaluate-every", type=int, metavar="EPOCHS", help="and after the last (1)")
    add("--seed", type=int, help="of weights, order, augmentation, choices (0)")
    add("--dtype", help="float32 (default), mixed_bfloat16 or mixed_float16")
    add_saving(parser)
    return parser


def _evaluate(actions) -> argparse.ArgumentParser:
    parser = actions.add_parser("evaluate", help="COCO's numbers, and AP50 by class")
    parser.set_defaults(run=evaluate)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("--split", help="of the data (the run's validation split)")
    add("--data", help="in place of the run's, with the same classes")
    add("--data-dir", help="where the data is now, if it moved")
    add("--limit", type=int, metavar="N", help="most images")
    add("--batch-size", type=int, default=1, help="images at a time (1)")
    add("--quiet", action="store_true", help="no progress bar")
    add_json(parser)
    return parser


def _predict(actions) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "predict",
        help="find objects in image files",
        description="Write detections.json, in COCO's result format, and a picture of "
        "each image with its boxes.",
    )
    parser.set_defaults(run=predict)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("images", nargs="+", help="image files: JPEG, PNG, BMP, GIF")
    add("--out", required=True, help="folder of detections.json and pictures")
    add(
        "--min-score",
        type=float,
        default=0.5,
        help="least score that pictures and the text show (0.5)",
    )
    add("--batch-size", type=int, default=1, help="images at a time (1)")
    add("--quiet", action="store_true", help="no progress bar")
    return parser


def _export(actions) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "export",
        help="a SavedModel, compared with the detector",
        description="Write a detector as a SavedModel with its suppression: images "
        "(batch, H, W, 3), 0 to 255, to boxes, scores and labels.",
    )
    parser.set_defaults(run=export)
    add = parser.add_argument
    add("path", help="folder of a run (its best network) or a .keras file in it")
    add("--format", default="saved_model", choices=("saved_model",))
    add("--out", help="the folder (best_saved_model beside the network)")
    add_size(parser)
    batch = parser.add_mutually_exclusive_group().add_argument
    batch("--batch-size", type=int, default=1, metavar="N", help="images at a time (1)")
    batch("--any-batch-size", action="store_true", help="leave it open")
    add("--split", help="to compare on (the run's validation split)")
    add("--data", help="in place of the run's, with the same classes")
    add("--data-dir", help="where the data is now, if it moved")
    add("--overwrite", action="store_true", help="replace what is there")
    return parser


def train(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.detection import runs

    history = runs.train(
        out=arguments.out,
        resume=arguments.resume,
        **saving(arguments),
        **session(arguments, argv),
        **present(arguments, ("distribute",)),
        **given(arguments, runs.DetectionRequest),
    )
    last = history[-1]
    shown = [
        f"{name} {last[name]:.4g}" for name in ("loss", "AP", "AP50") if name in last
    ]
    print(f"{arguments.out}: epoch {int(last['epoch']) + 1}, {', '.join(shown)}")


def evaluate(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.detection import runs
    from keras_attention.detection.prediction import listed

    found = runs.evaluate_run(
        arguments.path,
        split=arguments.split,
        data=arguments.data,
        data_dir=arguments.data_dir,
        limit=arguments.limit,
        batch_size=arguments.batch_size,
        verbose=0 if arguments.quiet or arguments.json else 1,
    )
    show(listed(found), found, arguments.json)


def predict(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.detection import runs

    found = runs.predict_run(
        arguments.path,
        arguments.images,
        out=arguments.out,
        min_score=arguments.min_score,
        batch_size=arguments.batch_size,
        verbose=0 if arguments.quiet else 1,
    )
    for each in found:
        scores = {}
        for name, score in zip(each["names"], each["scores"], strict=True):
            if score >= arguments.min_score:
                scores.setdefault(name, []).append(f"{score:.2f}")
        shown = [" ".join([name, *values]) for name, values in scores.items()]
        print(f"{each['file']}: {', '.join(shown) or 'nothing'}")
    print(Path(arguments.out) / "detections.json")


def export(arguments: argparse.Namespace, argv: list[str]) -> None:
    from keras_attention.detection import runs

    print(
        runs.export_run(
            arguments.path,
            batch_size=None if arguments.any_batch_size else arguments.batch_size,
            overwrite=arguments.overwrite,
            **present(arguments, ("out", "image_size", "split", "data", "data_dir")),
        )
    )
