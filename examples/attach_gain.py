"""Does an attention that is put into a trained network gain anything?

    python examples/attach_gain.py DATA_DIR --out runs/gain

Half of CIFAR-10's classes train a plain network; then the network goes on with the
other half, as it is, and with each attention attached, for as many steps, on the same
images in the same order. Three seeds, each with a pretraining of its own. DATA_DIR is
where TensorFlow Datasets has CIFAR-10.

The folder gets the images as class folders, every run, gain.csv (test errors) and
gain.md (mean and 95% interval, and the difference to no attention, seed by seed). A
second call goes on where the first one stopped. Needs the extra "data".
"""

import argparse
import csv
from pathlib import Path

import keras
import numpy as np

from keras_attention.data import load
from keras_attention.intervals import mean_and_interval
from keras_attention.training import evaluate_run, finetune, train

PLAIN = "none"
HALVES = {"first": range(5), "second": range(5, 10)}


def write_images(folder, data, limits):
    """The images of each half's classes as `half/split/class/number.png`."""
    names = data.preprocessing.class_names
    for half, labels in HALVES.items():
        for split, limit in (("train", limits[half]), ("test", None)):
            images, found = data.split(split).images, data.split(split).labels
            for label in labels:
                place = folder / half / split / names[label]
                place.mkdir(parents=True)
                for i in np.flatnonzero(found == label)[:limit]:
                    keras.utils.save_img(place / f"{i}.png", images[i], scale=False)


def begun(out):
    return {"out": out, "resume": (out / "run.json").exists(), "verbose": 2}


def pretrain(arguments, seed):
    out = arguments.out / f"seed{seed}" / "pretrained"
    train(
        **begun(out),
        model=arguments.model,
        data="folder",
        data_dir=str(arguments.out / "images" / "first"),
        image_size=(32, 32),
        recipe="cifar-cosine",
        epochs=arguments.epochs[0],
        learning_rate=0.1,
        seed=seed,
    )
    return out


def go_on(arguments, seed, attention, pretrained):
    out = arguments.out / f"seed{seed}" / attention
    finetune(
        **begun(out),
        weights=str(pretrained / "last.keras"),
        attach=None if attention == PLAIN else attention,
        data=str(arguments.out / "images" / "second"),
        recipe="finetune",
        epochs=arguments.epochs[1],
        seed=seed,
    )
    return evaluate_run(out / "last.keras").top1_error


def write_table(path, errors, attentions):
    """Mean ± 95% interval, and the same of the difference to no attention."""

    def shown(values, sign=""):
        mean, half = mean_and_interval(values)
        return f"{mean:{sign}.2f}" + ("" if half is None else f" ± {half:.2f}")

    seeds = sorted({seed for seed, _ in errors})
    lines = ["| attached | top-1 error | less no attention's |", "|---|---:|---:|"]
    for attention in attentions:
        values = [errors[seed, attention] for seed in seeds]
        differences = [errors[s, attention] - errors[s, PLAIN] for s in seeds]
        compared = "" if attention == PLAIN else shown(differences, "+")
        lines.append(f"| {attention} | {shown(values)} | {compared} |")
    path.write_text("\n".join(lines) + "\n")
    print(path.read_text())


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir")
    parser.add_argument("--out", type=Path, default=Path("runs/gain"))
    parser.add_argument("--model", default="cifarresnet-20")
    parser.add_argument("--attentions", nargs="+", default=["se", "cbam", "aw"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--images",
        type=int,
        nargs=2,
        default=(2000, 1000),
        metavar=("FIRST", "SECOND"),
        help="of each class, to train with",
    )
    parser.add_argument(
        "--epochs", type=int, nargs=2, default=(10, 5), metavar=("FIRST", "SECOND")
    )
    return parser.parse_args()


def main():
    arguments = parse()
    if not (arguments.out / "images").exists():
        data = load("cifar10", data_dir=arguments.data_dir, validation=0.0)
        limits = dict(zip(HALVES, arguments.images, strict=True))
        write_images(arguments.out / "writing", data, limits)
        (arguments.out / "writing").rename(arguments.out / "images")
    attentions, errors = [PLAIN, *arguments.attentions], {}
    for seed in range(arguments.seeds):
        pretrained = pretrain(arguments, seed)
        for attention in attentions:
            errors[seed, attention] = go_on(arguments, seed, attention, pretrained)
    with (arguments.out / "gain.csv").open("w", newline="") as file:
        rows = [(*key, f"{error:.2f}") for key, error in errors.items()]
        csv.writer(file).writerows([("seed", "attached", "top1_error"), *rows])
    write_table(arguments.out / "gain.md", errors, attentions)


if __name__ == "__main__":
    main()
