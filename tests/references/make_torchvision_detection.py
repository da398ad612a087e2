"""Writes what torchvision's Faster R-CNN and SSD300 give for weights made by name.

In an environment of its own, from `tests/`:

    pip install torch==2.14.1 torchvision==0.29.1
    python -m references.make_torchvision_detection

Every parameter and buffer is `detection_weights.weight(name, shape)`, every image
`detection_weights.image(seed, height, width)`. Maps are (batch, channels, h, w) and
boxes (x1, y1, x2, y2), as torchvision has them; a trailing `_0` or `_1` is the image.
Both files have

    weight_check: the first 8 numbers of `weight(name, shape)` for `CHECKED`
    parameters: number of trainable parameters

`torchvision_faster_rcnn.npz`: images `FASTER_RCNN_IMAGES` as (seed, height, width),
normalised by ImageNet's mean and deviation, then padded with zeros to 128×160.

    P2, P3, P4, P5, P6: the pyramid, channels [::16]
    objectness_P2 … P6: the RPN's logits, (2, 3, h, w)
    deltas_P2 … P6: the RPN's box deltas, (2, 12, h, w)
    anchors: of all levels, the same for both images
    proposals_0, _1: the RPN's boxes at torchvision's defaults for tests
    proposal_scores_0, _1: their objectness after the sigmoid, falling
    roi_align_0, _1: pooled maps of the first 50 proposals, channels [::32]
    box_features: of these 50 and 50, after the second dense layer, [:, ::16]
    class_logits: of these, (100, 91)
    box_regression: of these, (100, 364)
    detection_boxes_0, _1: the final boxes
    detection_scores_0, _1: their scores, falling
    detection_labels_0, _1: their classes, 0 is the background
    first_boxes_0, _1: the final boxes when the first 50 proposals are all there are,
        at a score threshold of 0.005
    first_scores_0, _1: their scores
    first_labels_0, _1: their classes
    true_boxes_0, _1: the ground truth of the losses
    true_labels_0, _1: its classes
    training_proposals_0, _1: the RPN's boxes in training, at most 200
    losses: objectness, RPN box, class, box; row 0: both images' ground truth; row 1:
        image 0's, and image 1 without a box. Batch norms at inference; no sampling:
        each anchor and proposal that is positive or negative counts
    rpn_samples: [row, image] = (positives, negatives) among the anchors
    roi_samples: the same among the training proposals and the true boxes
    gradient_norms: [row, i], of the losses' sum by `FASTER_RCNN_GRADIENTS[i]`
    align_fine, align_coarse: random maps of strides 4 and 8 of two 192×256 images
    align_rois_0, _1: boxes on them
    align_cotangent: random, (24, 2, 7, 7)
    align_output: MultiScaleRoIAlign(7, sampling_ratio=2), (24, 2, 7, 7)
    align_by_fine, align_by_coarse: d Σ(output · cotangent) by the maps
    align_single_output: roi_align on align_fine alone, aligned=False
    align_single_by_fine: its d Σ(output · cotangent)

`torchvision_ssd300.npz`: image `SSD_IMAGES[0]`, normalised as torchvision's SSD does;
the losses with both images.

    map_0 … map_5: the feature maps, (1, channels [::32], h, w)
    boxes_per_map: how many default boxes each has
    default_boxes: [::7]
    class_logits: [::7], (1248, 21)
    deltas: [::7], (1248, 4)
    detection_boxes, detection_scores, detection_labels: the final ones
    seventh_boxes, seventh_scores, seventh_labels: the final ones when the anchors of
        [::7] are all there are, with at most 5 candidates per class
    true_boxes_0, _1: the ground truth of the losses
    true_labels_0, _1: its classes
    losses: box, class; rows as for Faster R-CNN
    positives: [row, image], matched default boxes
    gradient_norms: [row, i], of the losses' sum by `SSD_GRADIENTS[i]`
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn, ssd300_vgg16
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign, box_iou, roi_align

from references.detection_weights import image, weight

FOLDER = Path(__file__).parent
CHECKED = ("rpn.head.conv.0.0.weight", (256, 256, 3, 3))
# (seed, height, width); of 24 and 9 seeds tried, far from ties at cuts and in NMS
FASTER_RCNN_IMAGES = ((1, 128, 160), (24, 96, 128))
FASTER_RCNN_GRADIENTS = (
    "backbone.body.conv1.weight",
    "rpn.head.conv.0.0.weight",
    "roi_heads.box_predictor.bbox_pred.weight",
)
SSD_IMAGES = ((6, 300, 300), (9, 300, 300))
SSD_GRADIENTS = (
    "backbone.scale_weight",
    "backbone.features.0.weight",
    "head.regression_head.module_list.1.weight",
)
FASTER_RCNN_TRUTH = (
    (
        [
            [15.3, 20.4, 58.1, 94.6],
            [72.7, 7.9, 151.6, 64.2],
            [97.2, 71.3, 126.8, 120.9],
            [2.1, 0.7, 32.8, 36.4],
        ],
        [3, 17, 90, 1],
    ),
    ([[23.1, 16.6, 91.1, 82.5], [66.5, 38.1, 120.2, 89.3]], [22, 5]),
)
SSD_TRUTH = (
    (
        [
            [20.3, 31.7, 130.9, 160.2],
            [150.6, 40.8, 280.1, 110.7],
            [60.4, 180.3, 100.2, 270.6],
            [200.9, 200.1, 224.3, 221.8],
        ],
        [7, 1, 20, 12],
    ),
    ([[33.8, 55.1, 268.4, 251.3], [120.2, 10.7, 170.6, 75.9]], [15, 4]),
)


class CountingSampler(BalancedPositiveNegativeSampler):
    """Takes every positive and every negative, and holds how many they are."""

    def __init__(self):
        super().__init__(100_000, 0.5)

    def __call__(self, labels):
        self.counts = [[int((x >= 1).sum()), int((x == 0).sum())] for x in labels]
        return super().__call__(labels)


def fill(model):
    """Sets every float parameter and buffer; counters of batches are 0."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(weight(name, tuple(tensor.shape))))
        else:
            tensor.zero_()
    return model.eval()


def common(model):
    return {
        "weight_check": weight(*CHECKED).ravel()[:8],
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def truth(table):
    """The targets of both rows of `losses`."""
    both = [
        {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}
        for boxes, labels in table
    ]
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return both, [both[0], none]


def gradient_norms(model, losses, names):
    model.zero_grad()
    sum(losses.values()).backward()
    parameters = dict(model.named_parameters())
    return [float(parameters[name].grad.norm()) for name in names]


def per_image(results, prefix, pattern="{prefix}_{kind}_{i}"):
    return {
        pattern.format(prefix=prefix, kind=kind, i=i): result[kind]
        for i, result in enumerate(results)
        for kind in ("boxes", "scores", "labels")
    }


def faster_rcnn_images():
    mean = np.array([0.485, 0.456, 0.406], "float32")
    deviation = np.array([0.229, 0.224, 0.225], "float32")
    batch = torch.zeros(len(FASTER_RCNN_IMAGES), 3, 128, 160)
    for i, (seed, height, width) in enumerate(FASTER_RCNN_IMAGES):
        pixels = (image(seed, height, width) / 255 - mean) / deviation
        batch[i, :, :height, :width] = torch.from_numpy(pixels.transpose(2, 0, 1))
    return ImageList(
        batch, [(height, width) for _, height, width in FASTER_RCNN_IMAGES]
    )


def faster_rcnn_model():
    return fill(
        fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    )


def faster_rcnn():
    model, images = faster_rcnn_model(), faster_rcnn_images()
    with torch.no_grad():
        arrays = common(model) | faster_rcnn_inference(model, images)
    return arrays | faster_rcnn_training(model, images) | align()


def faster_rcnn_inference(model, images):
    heads, sizes = model.roi_heads, images.image_sizes
    features = model.backbone(images.tensors)
    maps = list(features.values())
    arrays = {f"P{i}": x[:, ::16] for i, x in enumerate(maps, 2)}
    for i, (logits, deltas) in enumerate(zip(*model.rpn.head(maps), strict=True), 2):
        arrays |= {f"objectness_P{i}": logits, f"deltas_P{i}": deltas}
    arrays["anchors"] = model.rpn.anchor_generator(images, maps)[0]
    # forward() keeps the boxes alone, the filter gives their scores too
    kept = {}
    select = model.rpn.filter_proposals

    def keep(*arguments):
        kept["boxes"], kept["scores"] = select(*arguments)
        return kept["boxes"], kept["scores"]

    model.rpn.filter_proposals = keep
    proposals, _ = model.rpn(images, features)
    del model.rpn.filter_proposals
    first = [boxes[:50] for boxes in proposals]
    pooled = heads.box_roi_pool(features, first, sizes)
    box_features = heads.box_head(pooled)
    class_logits, box_regression = heads.box_predictor(box_features)
    for i, boxes in enumerate(proposals):
        arrays[f"proposals_{i}"] = boxes
        arrays[f"proposal_scores_{i}"] = kept["scores"][i]
        arrays[f"roi_align_{i}"] = pooled[50 * i : 50 * i + 50, ::32]
    detections, _ = heads(features, proposals, sizes)
    heads.score_thresh, default = 0.005, heads.score_thresh
    of_first, _ = heads(features, first, sizes)
    heads.score_thresh = default
    return arrays | {
        "box_features": box_features[:, ::16],
        "class_logits": class_logits,
        "box_regression": box_regression,
        **per_image(detections, "detection"),
        **per_image(of_first, "first"),
    }


def faster_rcnn_training(model, images):
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    model.rpn._post_nms_top_n["training"] = 200  # 2000 would take a test too long
    rpn_sampler = model.rpn.fg_bg_sampler = CountingSampler()
    roi_sampler = model.roi_heads.fg_bg_sampler = CountingSampler()
    rows = {k: [] for k in ("losses", "rpn_samples", "roi_samples", "gradient_norms")}
    for targets in truth(FASTER_RCNN_TRUTH):
        features = model.backbone(images.tensors)
        proposals, losses = model.rpn(images, features, targets)
        of_heads = model.roi_heads(features, proposals, images.image_sizes, targets)
        losses |= of_heads[1]
        names = ("objectness", "rpn_box_reg", "classifier", "box_reg")
        rows["losses"].append([losses[f"loss_{name}"].item() for name in names])
        rows["rpn_samples"].append(rpn_sampler.counts)
        rows["roi_samples"].append(roi_sampler.counts)
        norms = gradient_norms(model, losses, FASTER_RCNN_GRADIENTS)
        rows["gradient_norms"].append(norms)
    arrays = {f"training_proposals_{i}": boxes for i, boxes in enumerate(proposals)}
    for i, (boxes, labels) in enumerate(FASTER_RCNN_TRUTH):
        arrays |= {f"true_boxes_{i}": boxes, f"true_labels_{i}": labels}
    return arrays | rows


def align():
    """ROIAlign alone: inside, over each border, outside, tiny, large, at 112 pixels."""
    rng = np.random.Generator(np.random.PCG64(0))

    def normal(*shape):
        return torch.from_numpy(rng.standard_normal(shape, dtype="float32"))

    fine = normal(2, 2, 48, 64).requires_grad_()
    coarse = normal(2, 2, 24, 32).requires_grad_()
    rois = []
    for _ in range(2):
        corners = rng.uniform(0, (200, 140), (4, 2))
        sizes = rng.uniform(5, 150, (4, 2))
        boxes = [
            *np.concatenate([corners, corners + sizes], 1).tolist(),
            [-30.3, -20.7, 25.1, 31.9],
            [220.4, 150.2, 290.8, 230.6],
            [270.5, 210.5, 330.5, 260.5],
            [100.3, 60.2, 100.9, 60.7],
            [17.5, 33.1, 17.5, 80.3],
            [0.0, 0.0, 256.0, 192.0],
            [10.0, 20.0, 122.0, 132.0],
            [10.0, 20.0, 121.9, 132.0],
        ]
        rois.append(torch.tensor(boxes))
    cotangent = normal(24, 2, 7, 7)
    pool = MultiScaleRoIAlign(["fine", "coarse"], 7, 2)
    maps = {"fine": fine, "coarse": coarse}
    output = pool(maps, rois, [(192, 256)] * 2)
    by_fine, by_coarse = torch.autograd.grad((output * cotangent).sum(), (fine, coarse))
    single = roi_align(fine, rois, 7, 0.25, sampling_ratio=2, aligned=False)
    (by_single,) = torch.autograd.grad((single * cotangent).sum(), fine)
    return {
        "align_fine": fine,
        "align_coarse": coarse,
        "align_rois_0": rois[0],
        "align_rois_1": rois[1],
        "align_cotangent": cotangent,
        "align_output": output,
        "align_by_fine": by_fine,
        "align_by_coarse": by_coarse,
        "align_single_output": single,
        "align_single_by_fine": by_single,
    }


def ssd_model():
    return fill(ssd300_vgg16(weights=None, weights_backbone=None, num_classes=21))


def ssd_images():
    """In 0..1, as torchvision takes them."""
    return [
        torch.from_numpy(image(*seed_and_size).transpose(2, 0, 1).copy() / 255)
        for seed_and_size in SSD_IMAGES
    ]


def ssd():
    model, pixels = ssd_model(), ssd_images()
    with torch.no_grad():
        arrays = common(model) | ssd_inference(model, pixels[:1])
    return arrays | ssd_training(model, pixels)


def ssd_inference(model, pixels):
    images, _ = model.transform(pixels)
    maps = list(model.backbone(images.tensors).values())
    outputs, defaults = model.head(maps), model.anchor_generator(images, maps)
    counts = [
        x.shape[2] * x.shape[3] * n
        for x, n in zip(
            maps, model.anchor_generator.num_anchors_per_location(), strict=True
        )
    ]
    detections = model(pixels)
    seventh = {name: x[:, ::7] for name, x in outputs.items()}
    boxes = [x[::7] for x in defaults]
    model.topk_candidates, default = 5, model.topk_candidates
    of_seventh = model.postprocess_detections(seventh, boxes, images.image_sizes)
    model.topk_candidates = default
    return {
        **{f"map_{i}": x[:, ::32] for i, x in enumerate(maps)},
        "boxes_per_map": counts,
        "default_boxes": boxes[0],
        "class_logits": seventh["cls_logits"][0],
        "deltas": seventh["bbox_regression"][0],
        **per_image(detections, "detection", "{prefix}_{kind}"),
        **per_image(of_seventh, "seventh", "{prefix}_{kind}"),
    }


def ssd_training(model, pixels):
    model.train()
    rows = {"losses": [], "positives": [], "gradient_norms": []}
    for targets in truth(SSD_TRUTH):
        losses = model(pixels, targets)
        names = ("bbox_regression", "classification")
        rows["losses"].append([losses[name].item() for name in names])
        rows["positives"].append(ssd_positives(model, targets))
        rows["gradient_norms"].append(gradient_norms(model, losses, SSD_GRADIENTS))
    for i, (boxes, labels) in enumerate(SSD_TRUTH):
        rows |= {f"true_boxes_{i}": boxes, f"true_labels_{i}": labels}
    return rows


def ssd_positives(model, targets):
    images = ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)])
    maps = [torch.zeros(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
    (defaults,) = model.anchor_generator(images, maps)
    return [
        int((model.proposal_matcher(box_iou(target["boxes"], defaults)) >= 0).sum())
        if len(target["boxes"])
        else 0
        for target in targets
    ]


def save(name, arrays):
    """Floats as float32, the rest as int32."""
    path = FOLDER / name
    converted = {}
    for key, value in arrays.items():
        value = value.detach() if torch.is_tensor(value) else value
        value = np.asarray(value)
        kind = "float32" if value.dtype.kind == "f" else "int32"
        converted[key] = value.astype(kind)
        print(f"{key:24} {kind:8} {value.shape}")
    np.savez_compressed(path, **converted)
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    for key in ("parameters", "losses", "gradient_norms"):
        print(key, converted[key].tolist())


if __name__ == "__main__":
    torch.set_num_threads(2)
    save("torchvision_faster_rcnn.npz", faster_rcnn())
    save("torchvision_ssd300.npz", ssd())
