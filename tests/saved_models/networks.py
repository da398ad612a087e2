"""Small networks whose numbers are like those of trained ones (eager)."""

import keras
import numpy as np

from keras_attention import applications

SHAPE = (16, 16, 3)


def settle(model, seed=0):
    """Batch norms as after training: a batch's own statistics, γ and β drawn."""
    rng = np.random.default_rng(seed)
    norms = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.gamma.assign(rng.uniform(0.5, 1.5, norm.gamma.shape))
        norm.beta.assign(rng.normal(0, 0.3, norm.beta.shape))
    model(images_for(model, 32), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model


def images_for(model, count, seed=0):
    """Random images of the network's size."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *model.input_shape[1:])).astype("float32")


def network(attention="aw_se", classes=10, **options):
    """A CIFAR ResNet-8 of 16×16 images."""
    keras.utils.set_random_seed(0)
    model = applications.CifarResNet(
        8, classes, attention=attention, input_shape=SHAPE, **options
    )
    return settle(model)
