"""torchvision's names of SSD300-VGG16's weights, and their values by name."""

from references import torch_names
from references.detection_weights import weight
from references.torch_names import conv

DEPTHS = (2, 2, 3, 3, 3)


def fill(model):
    """Gives every weight of an `SSD300` the value of its torchvision name."""
    table = _table(model)
    torch_names.load(model, {name: _value(name, v) for name, v, _ in table}, table)


def _table(model):
    layers = {layer.name: layer for layer in model.feature_extractor.layers}
    table = [("backbone.scale_weight", layers["ssd_scale"].scale, lambda x: x)]
    place = 0  # in `features`: a convolution and a ReLU each, a pool behind each stage
    for s, depth in enumerate(DEPTHS, 1):
        for b in range(1, depth + 1):
            # conv5_1 is behind the fourth pool, which is `extra.0.0`
            name = f"features.{place}" if s < 5 else f"extra.0.{2 * b - 1}"
            table += conv(f"backbone.{name}", layers[f"stage{s}_block{b}_conv"])
            place += 2
        place += 1
    table += conv("backbone.extra.0.7.1", layers["ssd_fc6"])
    table += conv("backbone.extra.0.7.3", layers["ssd_fc7"])
    for i in range(1, 5):
        table += conv(f"backbone.extra.{i}.0", layers[f"ssd_extra{i + 2}_reduce"])
        table += conv(f"backbone.extra.{i}.2", layers[f"ssd_extra{i + 2}"])
    for i in range(6):
        lists = f"module_list.{i}"
        table += conv(f"head.classification_head.{lists}", model.head.classes[i])
        table += conv(f"head.regression_head.{lists}", model.head.deltas[i])
    return table


def _value(name, variable):
    shape = tuple(variable.shape)
    return weight(name, (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape)
