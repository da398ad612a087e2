"""Small networks whose residual branches and stages are known by hand."""

import keras
import numpy as np
from keras import layers
from references.weights import randomize

SHAPE = (16, 16, 3)


def conv(x, filters, name, kernel_size=3, strides=1, **kwargs):
    return layers.Conv2D(
        filters, kernel_size, strides=strides, padding="same", name=name, **kwargs
    )(x)


def norm_relu(x, name, axis=-1):
    return layers.ReLU(name=f"{name}_relu")(
        layers.BatchNormalization(axis, name=f"{name}_norm")(x)
    )


def small(data_format="channels_last"):
    """One residual block of 16 channels."""
    axis = -1 if data_format == "channels_last" else 1
    # Not square, nor as wide as it is deep: there Keras takes one axis for the other.
    image = keras.Input(SHAPE if axis == -1 else (3, 12, 20), name="image")
    options = {"data_format": data_format}
    x = norm_relu(conv(image, 16, "stem", **options), "stem", axis)
    y = layers.BatchNormalization(axis, name="norm")(conv(x, 16, "conv", **options))
    x = layers.GlobalAveragePooling2D(**options)(layers.Add(name="add")([y, x]))
    return keras.Model(image, layers.Dense(5, name="top")(x), name="small")


def residual(name="residual"):
    """Two stages: an identity shortcut, then a projection; then another identity."""
    image = keras.Input(SHAPE, name="image")
    x = norm_relu(conv(image, 16, "stem"), "stem")
    x = _block(x, 16, 1, "b1")
    x = _block(x, 32, 2, "b2")
    x = _block(x, 32, 1, "b3")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(5, name="top")(x), name=name)


def _block(x, filters, strides, name):
    shortcut = x
    if strides > 1:
        shortcut = conv(x, filters, f"{name}_shortcut", 1, strides)
    x = norm_relu(conv(x, filters, f"{name}_a", 3, strides), name)
    x = conv(x, filters, f"{name}_b")
    x = layers.BatchNormalization(name=f"{name}_last")(x)
    # Either order, as decided by what stands on the ways.
    both = [shortcut, x] if name == "b1" else [x, shortcut]
    return layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")(both))


def pre_activation():
    """Norms before convolutions; additions by `+`."""
    image = keras.Input(SHAPE, name="image")
    x = conv(image, 16, "stem")
    for name, strides in (("p1", 1), ("p2", 2)):
        active = norm_relu(x, f"{name}_0")
        shortcut = x if strides == 1 else conv(active, 16, f"{name}_short", 1, 2)
        y = norm_relu(conv(active, 16, f"{name}_a", 3, strides), f"{name}_1")
        x = shortcut + conv(y, 16, f"{name}_b")
    return keras.Model(image, layers.Flatten()(norm_relu(x, "post")), name="pre")


def vgg():
    """A `Sequential` of three stages, with a pooling behind the last one too."""
    model = keras.Sequential(name="vgg")
    model.add(keras.Input(SHAPE, name="image"))
    for stage in (1, 2, 3):
        for i in (1, 2):
            model.add(
                layers.Conv2D(
                    16,
                    3,
                    padding="same",
                    activation="relu",
                    name=f"conv{stage}_{i}",
                )
            )
        model.add(layers.MaxPooling2D(name=f"pool{stage}"))
    model.add(layers.Flatten(name="flatten"))
    model.add(layers.Dense(4, name="top"))
    return model


def nested(trainable=True):
    """A network as a layer of another, called as in transfer learning."""
    whole = residual(name="whole")
    backbone = keras.Model(whole.input, whole.get_layer("b3_out").output, name="body")
    backbone.trainable = trainable
    image = keras.Input(SHAPE, name="image")
    x = layers.Rescaling(2.0, name="scaled")(image)
    x = backbone(x, training=False)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(2, name="top")(x), name="outer")


def siamese():
    """Two inputs, two outputs, as dicts; one block's layers called for both."""
    first = layers.Conv2D(16, 3, padding="same", name="first")
    block = [
        layers.Conv2D(16, 3, padding="same", name="shared_conv"),
        layers.BatchNormalization(name="shared_norm"),
    ]
    top = layers.Dense(3, name="top")
    inputs = {side: keras.Input(SHAPE, name=side) for side in ("right", "left")}
    outputs = {}
    for side, x in inputs.items():
        shortcut = x = first(x)
        for layer in block:
            x = layer(x)
        x = layers.Add(name=f"{side}_add")([x, shortcut])
        outputs[f"of_{side}"] = top(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, outputs, name="siamese")


def settled(model, seed=0):
    """The model with values in all weights that make each of them matter."""
    randomize(model, np.random.default_rng(seed))
    return model


def images(count=2, shape=SHAPE):
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, *shape)).astype("float32")


def outputs(model, inputs=None):
    """The model's outputs in inference, as a structure of arrays.

    Not compiled, so that two models that compute the same do it by the same steps.
    """
    found = model(images() if inputs is None else inputs, training=False)
    return keras.tree.map_structure(
        lambda x: keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")), found
    )


def assert_same(model, other, inputs=None, **tolerance):
    """Whether two models compute the same: to the last bit by default."""
    found, wanted = outputs(other, inputs), outputs(model, inputs)
    assert keras.tree.flatten(wanted)[0].any()
    keras.tree.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, **(tolerance or {"rtol": 0})),
        found,
        wanted,
    )


def producers(model, name):
    """The names of what goes into a layer of the model, by its configuration."""
    config = next(c for c in model.get_config()["layers"] if c["name"] == name)
    found = []

    def look(node):
        if isinstance(node, dict) and "keras_history" in node:
            found.append(node["keras_history"][0])
        elif isinstance(node, dict | list | tuple):
            for child in node.values() if isinstance(node, dict) else node:
                look(child)

    look(config["inbound_nodes"])
    return found
