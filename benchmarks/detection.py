"""Faster R-CNN: the variants of table 3 in numbers, and where its time goes.

    python benchmarks/detection.py --output runs/benchmarks [--torch PYTHON]

`detection_variants.csv`: parameters of ResNet-101-FPN with each attention of table 3
(arXiv:2108.08205) at its lateral and output convolutions.

`detection.csv`: ResNet-50-FPN on one image of 800×1344, float32, TensorFlow's graph,
random weights. Each case runs once in each round, in one process. "suppression" is all
of NMS: five levels of 1000 boxes, and 100 detections out of 1000 proposals in 90
classes, all above the threshold, which no trained network has: an upper bound.
`--torch` names a Python that has torchvision; its model then runs in the same rounds,
in a process of its own. About six minutes.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from interleaved import ratio_row, write
from peer import TorchPeer

from keras_attention import applications
from keras_attention.detection import FasterRCNN
from keras_attention.ops.nms import keep_mask, select_detections
from keras_attention.ops.roi_align import roi_align
from keras_attention.timing import interleave, machine

HEIGHT, WIDTH, PROPOSALS, CLASSES = 800, 1344, 1000, 91
VARIANTS = (None, "aw", "se", "aw_se", "cbam", "aw_cbam")
STRIDES = (4, 8, 16, 32)
# (case, its baseline): the target of their ratio
TARGETS = {
    ("network", "torchvision network"): 1.2,
    ("suppression + ROIAlign", "whole"): 0.15,
    ("whole", "torchvision whole"): None,
}


def variants():
    """Rows of table 3's networks, counted."""
    for attention in VARIANTS:
        print(f"R101-FPN, {attention}", file=sys.stderr)
        backbone = applications.ResNet101(pyramid=True, input_shape=(None, None, 3))
        model = FasterRCNN(backbone, CLASSES, attention=attention)
        pyramid = trainable(model.feature_extractor) - trainable(backbone)
        yield {
            "attention": attention or "none",
            "pyramid_parameters": pyramid,
            "detector_parameters": trainable(model),
        }


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def random_boxes(rng, *shape):
    """Sizes as proposals have them: log-uniform, 16 to 500 pixels."""
    sides = np.exp(rng.uniform(np.log(16), np.log(500), (*shape, 2)))
    centres = rng.uniform((0, 0), (WIDTH, HEIGHT), (*shape, 2))
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1)
    return tf.constant(boxes.clip(0, (WIDTH, HEIGHT, WIDTH, HEIGHT)), tf.float32)


def cases():
    """{name: function of nothing}."""
    rng = np.random.default_rng(0)
    model = FasterRCNN("resnet50", CLASSES)
    image = tf.constant(rng.uniform(0, 255, (1, HEIGHT, WIDTH, 3)), tf.float32)
    maps = [
        tf.constant(rng.normal(size=(1, HEIGHT // s, WIDTH // s, 256)), tf.float32)
        for s in STRIDES
    ]
    pooled = tf.constant(rng.normal(size=(1, PROPOSALS, 7, 7, 256)), tf.float32)
    boxes = random_boxes(rng, 1, PROPOSALS)
    levels = [random_boxes(rng, 1, 1000) for _ in range(5)]
    logits = [tf.constant(rng.normal(size=(1, 1000)), tf.float32) for _ in range(5)]
    of_classes = random_boxes(rng, 1, CLASSES - 1, PROPOSALS)
    scores = tf.constant(rng.uniform(0.05, 1, (1, CLASSES - 1, PROPOSALS)), tf.float32)

    @tf.function(autograph=False)
    def network():
        features = list(model.feature_extractor(image).values())
        outputs = (features, model.region_proposals(features))
        # A graph leaves out what nobody reads; sums read all and are small.
        read = tf.nest.map_structure(tf.reduce_sum, outputs)
        return read, model.box_predictor(pooled)

    @tf.function(autograph=False)
    def whole():
        return model(image)

    @tf.function(autograph=False)
    def suppression():
        kept = [keep_mask(b, s, 0.7) for b, s in zip(levels, logits, strict=True)]
        return kept, select_detections(of_classes, scores, 0.5, 100)

    @tf.function(autograph=False)
    def align():
        return roi_align(maps, boxes, STRIDES)

    functions = {
        "network": network,
        "whole": whole,
        "suppression": suppression,
        "ROIAlign": align,
    }
    return {name: waiting(function) for name, function in functions.items()}


def waiting(function):
    def run():
        tf.nest.map_structure(lambda tensor: tensor.numpy(), function())

    return run


def speed(peer, rounds):
    """Rows of ratios, and the medians in seconds."""
    timed = cases()
    if peer:
        timed |= {f"torchvision {w}": peer.case(w) for w in ("network", "whole")}

    def progress(number):
        print(f"\rround {number} of {rounds}", end="", file=sys.stderr)

    seconds = interleave(timed, rounds, progress)
    print(file=sys.stderr)
    seconds["suppression + ROIAlign"] = seconds["suppression"] + seconds["ROIAlign"]
    pairs = [*TARGETS, ("suppression", "whole"), ("ROIAlign", "whole")]
    for name, baseline in pairs:
        if baseline in seconds:
            yield {
                "case": name,
                "baseline": baseline,
                **ratio_row(seconds, name, baseline),
                "target": TARGETS.get((name, baseline)),
            }
    for name, values in seconds.items():
        print(f"{name}: {np.median(values):.2f} s", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--torch", help="a Python that has torchvision")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    write(list(variants()), arguments.output / "detection_variants.csv")
    peer = None
    if arguments.torch:
        sizes = (HEIGHT, WIDTH, PROPOSALS)
        peer = TorchPeer(arguments.torch, "torchvision_peer.py", *sizes)
    rows = list(speed(peer, arguments.rounds))
    path = arguments.output / "detection.csv"
    write(rows, path)
    if peer:
        peer.close()
    for row in rows:
        print(*list(row.values())[:5], "target", row["target"])
    note = f", torchvision {peer.version}" if peer else ", torchvision: not given"
    print(f"written: {path}; {machine()}{note}", file=sys.stderr)


if __name__ == "__main__":
    main()
