"""A Faster R-CNN small enough for tests, and a batch with all that batches may have."""

import weakref

import keras
import numpy as np

from keras_attention import applications
from keras_attention.detection import BoxHead, FasterRCNN, RegionProposals


def small_backbone(size=(None, None)):
    return applications.ResNet(
        (1, 1, 1, 1),
        (16, 16, 16, 32),
        "basic",
        stem_width=16,
        pyramid=True,
        input_shape=(*size, 3),
    )


def small_faster_rcnn(**changes):
    """Four classes of things, 16 channels; few proposals, so that it is quick."""
    options = {
        "backbone": small_backbone(),
        "num_classes": 5,
        "channels": 16,
        "proposals": RegionProposals(
            anchor_sizes=(8, 16, 32, 64, 128),
            pre_nms=50,
            post_nms=40,
            training_pre_nms=50,
            training_post_nms=40,
            samples=32,
        ),
        "head": BoxHead(units=24, samples=24, detections=10, min_score=0.01),
    }
    return FasterRCNN(**{**options, **changes})


def batch(rng, images=3, size=(64, 96)):
    """Images of different sizes, the second without boxes, the third with a crowd."""
    sizes = np.array([size, (48, 96), (64, 70)], "int32")[:images]
    pixels = np.zeros((images, *size, 3), "float32")
    for n, (height, width) in enumerate(sizes):
        pixels[n, :height, :width] = rng.uniform(0, 255, (height, width, 3))
    corners = rng.uniform(0, 30, (images, 3, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 30, corners.shape)], -1)
    labels = rng.integers(1, 5, (images, 3)).astype("int32")
    crowd = np.zeros((images, 3), bool)
    labels[0, 2:] = -1
    labels[1:2] = -1
    crowd[2:, 1] = True
    boxes[labels < 0] = 0
    return {
        "images": pixels,
        "sizes": sizes,
        "boxes": boxes.astype("float32"),
        "labels": labels,
        "crowd": crowd,
    }


_compiled = weakref.WeakKeyDictionary()  # JAX: a model's functions by `training`


def call(model, inputs, training=False):
    """The model's outputs as arrays.

    Eagerly on TensorFlow, where tracing takes longer than running once; compiled on
    JAX, once per model and mode.
    """
    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    if keras.backend.backend() == "jax":
        functions = _compiled.setdefault(model, {})
        if training not in functions:
            functions[training] = _compile(model, training)
        outputs = functions[training]([v.value for v in model.variables], inputs)
    else:
        outputs = model(inputs, training=training)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs)


def _compile(model, training):
    import jax

    def run(values, inputs):
        mapping = list(zip(model.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return model(inputs, training=training)

    return jax.jit(run)
