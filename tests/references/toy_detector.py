"""A detector that is compiled in a second, for what happens around detectors."""

import keras
import numpy as np
from keras import ops

from keras_attention.detection.detector import Detector


@keras.saving.register_keras_serializable("keras_attention_tests")
class ToyDetector(Detector):
    """Learns noise; detects each image's own part, as class 1, by a learned score.

    It has what a checkpoint must hold: weights, a batch norm, random numbers.
    `traces` counts how often its losses and detections are traced.
    """

    def __init__(self, num_classes=4, seed=0, name="toy", **kwargs):
        kwargs = {"mean": (0, 0, 0), "std": (255, 255, 255), **kwargs}
        inputs = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
        x = keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
        features = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
        super().__init__(features, ("noise_loss",), num_classes, name=name, **kwargs)
        self.seed = seed
        self.seeds = keras.random.SeedGenerator(seed)
        self.score = keras.layers.Dense(1, name="score")
        self.score.build((None, 4))
        self.built = True
        self.traces = {"training": 0, "prediction": 0}

    def training_losses(self, features, image_shape, sizes, targets):
        self.traces["training"] += 1
        noise = keras.random.uniform(ops.shape(features), seed=self.seeds)
        wanted = ops.mean(targets["boxes"]) / 100.0
        score = self.score(features + noise)
        return {"noise_loss": ops.mean(ops.square(score - wanted))}

    def detections(self, features, image_shape, sizes):
        self.traces["prediction"] += 1
        height, width = ops.split(ops.cast(sizes, "float32"), 2, axis=1)
        nothing = ops.zeros_like(height)
        boxes = ops.stack([nothing, nothing, width, height], axis=-1)
        return {
            "boxes": ops.concatenate([boxes, ops.zeros_like(boxes)], axis=1),
            "scores": ops.concatenate(
                [ops.sigmoid(self.score(features)), nothing], axis=1
            ),
            "labels": ops.concatenate(
                [ops.ones_like(height, "int32"), -ops.ones_like(height, "int32")],
                axis=1,
            ),
        }

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def noise_images(count, sizes=((40, 64),), boxes=None):
    """`BoxedImages` of three classes: noise of these sizes in turn, a box in each."""
    from keras_attention.detection.data import BoxedImage, BoxedImages

    rng = np.random.default_rng(count)
    images = []
    for key in range(1, count + 1):
        height, width = sizes[key % len(sizes)]
        images.append(
            BoxedImage(
                key,
                height,
                width,
                boxes=np.array(boxes or [[4, 4, 30, 20 + key]]),
                labels=np.ones(1, int),
                pixels=rng.integers(0, 256, (height, width, 3), np.uint8),
            )
        )
    return BoxedImages(tuple(images), ("red", "green", "blue"), (3, 7, 8))
