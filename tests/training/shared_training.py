"""One training, for one device and for several, in programs of their own."""

import dataclasses

import keras
import numpy as np

from keras_attention import training
from keras_attention.data import Augmentation, load

RECIPE = training.finetune_recipe(
    "quick",
    epochs=2,
    batch_size=16,
    learning_rate=0.1,
    augmentation=Augmentation(flip=True, pad_crop=1),
    ema=0.9,
)
STEPS = 10  # of an epoch


def data():
    """160 training images and a few, which fill no batch; 45 to validate."""
    digits = load("digits", seed=1)
    return dataclasses.replace(
        digits,
        train=digits.train.take(np.arange(165)),
        validation=digits.validation.take(np.arange(45)),
        test=None,
    )


def network(norm=True):
    """Dropout only where several devices drop what one does."""
    keras.utils.set_random_seed(7)
    dropout = [keras.layers.Dropout(0.3)] * (keras.backend.backend() == "jax")
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, use_bias=False),
            *[keras.layers.BatchNormalization(momentum=0.9)] * norm,
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            *dropout,
            keras.layers.Dense(10),
        ]
    )


def fit(out, batch_size=RECIPE.batch_size, **options):
    """The network after the training."""
    model = network()
    recipe = dataclasses.replace(RECIPE, batch_size=batch_size)
    training.fit(model, data(), recipe, out=out, verbose=0, seed=3, **options)
    return model


def difference(found, wanted):
    """The largest between the weights of two networks."""
    pairs = zip(found.get_weights(), wanted.get_weights(), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)
