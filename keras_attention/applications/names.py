"""Networks by name, for the command line and for files."""

import inspect
import math

from keras_attention.applications import (
    cifar,
    cnn,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    vgg,
)
from keras_attention.choices import unknown

# name -> (constructor, the arguments that "-" may append)
_NETWORKS = {
    "cnn3": (cnn.CNN3, ()),
    "resnet18": (resnet.ResNet18, ()),
    "resnet34": (resnet.ResNet34, ()),
    "resnet50": (resnet.ResNet50, ()),
    "resnet101": (resnet.ResNet101, ()),
    "resnet152": (resnet.ResNet152, ()),
    "resnext50": (resnet.ResNeXt50, ()),
    "resnext101": (resnet.ResNeXt101, ()),
    "wideresnet50": (resnet.WideResNet50, ()),
    "wideresnet101": (resnet.WideResNet101, ()),
    "wideresnet18": (resnet.WideResNet18, ("width",)),
    "wideresnet": (cifar.WideResNet, ("depth", "width")),
    "aawideresnet": (cifar.AAWideResNet, ("depth", "width", "aw_variant")),
    "cifarresnet": (cifar.CifarResNet, ("depth",)),
    "mobilenet": (mobilenet.MobileNet, ("alpha",)),
    "mobilenetv2": (mobilenet_v2.MobileNetV2, ("alpha",)),
    "mobilenetv3large": (mobilenet_v3.MobileNetV3Large, ("alpha",)),
    "mobilenetv3small": (mobilenet_v3.MobileNetV3Small, ("alpha",)),
    "vgg16": (vgg.VGG16, ()),
}


def names():
    """The networks' names; `"cifarresnet"` takes its depth as `"cifarresnet-20"`."""
    return sorted(_NETWORKS)


def usage():
    """Each name with the arguments that `"-"` may append, for help texts."""
    return ["-".join((name, *_NETWORKS[name][1])) for name in names()]


def takes(name, argument):
    """Whether the network of that name has an argument of its own, such as `stem`.

    Raises:
        ValueError: an unknown name.
    """
    return argument in inspect.signature(_split(name)[0]).parameters


def build(name, **kwargs):
    """A network by name.

    Args:
        name: a name of `names()`, arguments appended with `"-"`:
            `"resnet50"`, `"cifarresnet-20"`, `"wideresnet-28-10"`,
            `"wideresnet18-1.5"`, `"mobilenet-0.5"`.
        **kwargs: of the constructor, e.g. `attention="aw_se"`.

    Raises:
        ValueError: an unknown name, or arguments that do not fit it.
    """
    network, positions, tail = _split(name)
    for position, text in zip(positions, tail, strict=False):
        try:
            kwargs[position] = _number(text)
        except ValueError:
            raise ValueError(
                f"In model {name!r}, {position} must be a number. Received: {text!r}."
            ) from None
    return network(**kwargs)


def _number(text):
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not finite")
    return number


def _split(name):
    """(constructor, the arguments it takes in names, those that this name has)."""
    head, *tail = str(name).lower().split("-")
    if head not in _NETWORKS:
        raise unknown("model", name, usage())
    network, positions = _NETWORKS[head]
    if len(tail) > len(positions):
        form = "-".join((head, *positions))
        raise ValueError(f"Model {name!r} does not read as {form!r}.")
    return network, positions, tail
