"""Train a small detector to know a few photographs by heart, and look at it.

    python examples/detection_overfit.py FOLDER --detector faster_rcnn --out runs/known

FOLDER is as COCO's, with `annotations/instances_{split}.json`. If the losses, the
matching, the anchors and the suppression are right, a detector that is trained and
measured on the same few images gets nearly all of them; a new detector is worth
training on many only after that. An hour for 28 images on two cores, Faster R-CNN with
AW-convolutions and SE in its pyramid, or SSD on a pyramid with SE before its heads.

The run's folder gets curves.png and detections.png besides what every run has;
`--resume` goes on with it. Needs the extras "coco" and "viz".
"""

import argparse
from pathlib import Path

import keras

from keras_attention import applications
from keras_attention.detection import (
    SSD,
    BoxHead,
    DefaultBoxes,
    FasterRCNN,
    FeaturePyramid,
    RegionProposals,
    detect,
    detection_recipe,
    fit,
)
from keras_attention.detection.data import read_coco_folder
from keras_attention.detection.drawing import write_detection_panels
from keras_attention.detection.fitting import sizing_of
from keras_attention.extras import require
from keras_attention.training.history import read_some
from keras_attention.visualization.style import COLOURS

SIDE = 256  # of the images' shorter sides, or of all of SSD's


def backbone(size=(None, None)):
    return applications.ResNet(
        (1, 1, 1, 1),
        (32, 64, 128, 256),
        "basic",
        stem_width=32,
        pyramid=True,
        input_shape=(*size, 3),
    )


def faster_rcnn(num_classes):
    """With anchors for objects that are a few pixels wide at this size."""
    return FasterRCNN(
        backbone(),
        num_classes,
        attention="aw_se",
        channels=48,
        proposals=RegionProposals(
            anchor_sizes=(8, 16, 36, 80, 180),
            pre_nms=300,
            post_nms=300,
            training_pre_nms=300,
            training_post_nms=300,
            samples=128,
        ),
        head=BoxHead(units=256, samples=128, positive_fraction=0.5),
    )


def ssd(num_classes):
    """With smaller default boxes than the paper's, for objects at this size."""
    return SSD(
        FeaturePyramid(backbone((SIDE, SIDE)), channels=64),
        num_classes,
        image_size=(SIDE, SIDE),
        attention="se",
        levels=(3, 4, 5, 6),
        maps=5,
        boxes=DefaultBoxes(scales=(0.04, 0.1, 0.25, 0.5, 0.8, 1.0)),
    )


DETECTORS = {"faster_rcnn": faster_rcnn, "ssd": ssd}


def recipe(detector, epochs):
    # SSD's losses are sums over a few boxes, not means over many samples.
    changes = {
        "faster_rcnn": {"learning_rate": 0.02, "short_side": SIDE},
        "ssd": {"learning_rate": 0.005, "size": (SIDE, SIDE)},
    }[detector]
    return detection_recipe(
        "quick",
        epochs=epochs,
        batch_size=2,
        schedule="step",
        milestones=(0.75, 0.92),
        warmup_steps=100,
        weight_decay=1e-5,
        clip_norm=10.0,
        flip=False,
        **changes,
    )


def draw_curves(history, path):
    """Loss and AP50 over the epochs."""
    require("matplotlib", extra="viz", purpose="The curves' picture")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.set_prop_cycle(color=COLOURS)
    epochs = [row["epoch"] + 1 for row in history]
    for name in (key for key in history[0] if key.endswith("loss")):
        left.plot(epochs, [row[name] for row in history], label=name.replace("_", " "))
    left.set(xlabel="epoch", title="Training losses", yscale="log")
    left.legend(frameon=False, fontsize="small", loc="lower left")
    measured = [row for row in history if row.get("AP50") is not None]
    for name in ("AP50", "AP"):
        values = [row[name] for row in measured]
        right.plot([row["epoch"] + 1 for row in measured], values, "o-", label=name)
    right.axhline(0.8, color="#666666", linewidth=0.8, linestyle="--")
    right.set(xlabel="epoch", title="Precision on the training images", ylim=(0, 1))
    right.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="as COCO's")
    parser.add_argument("--split", default="train2017")
    parser.add_argument("--detector", choices=DETECTORS, default="faster_rcnn")
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--out", required=True, type=Path, help="the run's folder")
    parser.add_argument("--resume", action="store_true", help="go on with it")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    images = read_coco_folder(arguments.folder, arguments.split)
    print(images)
    model = DETECTORS[arguments.detector](images.num_classes)
    settings = recipe(arguments.detector, arguments.epochs)
    fit(
        model,
        images,
        images,
        settings,
        out=arguments.out,
        evaluate_every=10,
        resume=arguments.resume,
    )
    history = read_some(arguments.out / "history.csv")
    draw_curves(history, arguments.out / "curves.png")
    found = detect(model, images, sizing=sizing_of(settings))
    write_detection_panels(arguments.out / "detections.png", images, found)
    print(f"written: {arguments.out}/curves.png and detections.png")


if __name__ == "__main__":
    main()
