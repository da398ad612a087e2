"""torchvision's names of Faster R-CNN's weights, and their values by name."""

import numpy as np

from references import torch_names
from references.detection_weights import weight
from references.torch_names import conv, dense


def fill(model, depths):
    """Gives every weight of a `FasterRCNN` the value of its torchvision name."""
    table = _table(model, depths)
    torch_names.load(model, {name: _value(name, v) for name, v, _ in table}, table)


def _table(model, depths):
    layers = {layer.name: layer for layer in model.feature_extractor.layers}
    table = torch_names.resnet_body(layers, depths, "backbone.body.")
    for i in range(4):
        fpn = "backbone.fpn."
        table += conv(f"{fpn}inner_blocks.{i}.0", layers[f"fpn_lateral{i + 2}"])
        table += conv(f"{fpn}layer_blocks.{i}.0", layers[f"fpn_output{i + 2}"])
    rpn, boxes = model.region_proposals, model.box_predictor
    table += conv("rpn.head.conv.0.0", rpn.conv)
    table += conv("rpn.head.cls_logits", rpn.objectness)
    table += conv("rpn.head.bbox_pred", rpn.deltas)
    heads = "roi_heads.box_"
    (name, kernel, _), bias = dense(f"{heads}head.fc6", boxes.fc6)
    table += [(name, kernel, _flattened), bias]
    table += dense(f"{heads}head.fc7", boxes.fc7)
    table += dense(f"{heads}predictor.cls_score", boxes.classes)
    return table + dense(f"{heads}predictor.bbox_pred", boxes.deltas)


def _flattened(array):
    """Of a pooled map PyTorch flattens the channels first, we last."""
    units, features = array.shape
    maps = array.reshape(units, features // 49, 7, 7)
    return maps.transpose(2, 3, 1, 0).reshape(features, units)


def _value(name, variable):
    shape = tuple(variable.shape)
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[len(shape)]
    return weight(name, tuple(np.array(shape)[list(order)].tolist()))
