"""Faster R-CNN against torchvision's, both with weights made from their names.

`references/make_torchvision_detection.py` wrote the arrays and says what they are.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from references.autodiff import run
from references.detection_weights import image, weight
from references.torchvision_rcnn_names import fill

from keras_attention.detection import BoxHead, FasterRCNN, RegionProposals
from keras_attention.detection.box_head import detect
from keras_attention.detection.faster_rcnn import LOSSES
from keras_attention.detection.region_proposals import select_proposals

FILE = Path(__file__).parents[1] / "references" / "torchvision_faster_rcnn.npz"
SIZES = np.array([[128, 160], [96, 128]], "int32")
LEVELS = ("P2", "P3", "P4", "P5", "P6")
ALL = 100_000  # every anchor and proposal learns, so that nothing is drawn


@pytest.fixture(scope="module")
def theirs():
    with np.load(FILE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def model():
    model = FasterRCNN("resnet50", 91, seed=0)
    fill(model, (3, 4, 6, 3))
    return model


@pytest.fixture(scope="module")
def images():
    batch = np.zeros((2, 128, 160, 3), "float32")
    for i, (seed, (height, width)) in enumerate(zip((1, 24), SIZES, strict=True)):
        batch[i, :height, :width] = image(seed, height, width)
    # What lies in the padding must not matter.
    batch[1, 96:] = 77.0
    return batch


@pytest.fixture(scope="module")
def stages(model, images):
    """What the detector makes of the images, stage by stage."""
    normal = model._normalize(images, SIZES)
    features = run(model.feature_extractor, normal)
    maps, logits, deltas, anchors = model._propose(features, (128, 160))
    boxes, scores = select_proposals(
        logits, deltas, anchors, SIZES, model.proposals, training=False
    )
    first = model._pool(maps, boxes[:, :50])
    classes, box_deltas = model.box_predictor(first)
    found = {
        "maps": maps,
        "logits": logits,
        "deltas": deltas,
        "boxes": boxes,
        "scores": scores,
        "first": first,
        "classes": classes,
        "box_deltas": box_deltas,
    }
    return keras.tree.map_structure(keras.ops.convert_to_numpy, found), anchors


def close(ours, theirs, tolerance=1e-4):
    """Equal to `tolerance` of the largest value."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * abs(theirs).max())


def test_the_weights_are_those_of_the_reference(theirs):
    name, shape = "rpn.head.conv.0.0.weight", (256, 256, 3, 3)
    np.testing.assert_array_equal(
        weight(name, shape).ravel()[:8], theirs["weight_check"]
    )


def test_parameters(model, theirs):
    counted = sum(np.prod(v.shape) for v in model.trainable_weights)
    assert counted == theirs["parameters"]


@pytest.mark.parametrize("level", LEVELS)
def test_pyramid_and_proposal_network(stages, theirs, level):
    found, _ = stages
    i = LEVELS.index(level)
    ours = found["maps"][i].transpose(0, 3, 1, 2)
    close(ours[:, ::16], theirs[level])
    for kind, ours, per_anchor in (
        ("objectness", "logits", 1),
        ("deltas", "deltas", 4),
    ):
        expected = theirs[f"{kind}_{level}"]  # (2, 3 · per_anchor, h, w)
        expected = expected.transpose(0, 2, 3, 1).reshape(2, -1, per_anchor)
        close(found[ours][i].reshape(expected.shape), expected)


def test_anchors(stages, theirs):
    np.testing.assert_array_equal(np.concatenate(stages[1]), theirs["anchors"])


@pytest.mark.parametrize("i", (0, 1))
def test_proposals(stages, theirs, i):
    """As sets: among 1000 logits some neighbours differ by rounding alone."""
    found, _ = stages
    present = np.isfinite(found["scores"][i])
    probability = 1 / (1 + np.exp(-found["scores"][i][present]))
    ours = np.c_[found["boxes"][i][present] / 160, probability]
    expected = np.c_[theirs[f"proposals_{i}"] / 160, theirs[f"proposal_scores_{i}"]]
    nearest = abs(ours[:, None] - expected[None]).max(axis=-1).argmin(axis=0)
    assert sorted(nearest) == list(range(len(ours)))
    np.testing.assert_allclose(ours[nearest], expected, atol=1e-5)


def test_heads(stages, theirs):
    found, _ = stages
    pooled = found["first"].transpose(0, 1, 4, 2, 3)
    for i in (0, 1):
        close(pooled[i][:, ::32], theirs[f"roi_align_{i}"])
    close(found["classes"].reshape(100, 91), theirs["class_logits"])
    close(found["box_deltas"].reshape(100, 364), theirs["box_regression"])


def check_detections(ours, theirs, kind):
    for i in (0, 1):
        count = len(theirs[f"{kind}_scores_{i}"])
        labels = keras.ops.convert_to_numpy(ours["labels"])[i]
        assert (labels >= 0).sum() == count > 5
        np.testing.assert_array_equal(labels[:count], theirs[f"{kind}_labels_{i}"])
        for part in ("boxes", "scores"):
            array = keras.ops.convert_to_numpy(ours[part])[i, :count]
            close(array, theirs[f"{kind}_{part}_{i}"])


def test_detections(model, images, theirs):
    ours = model.predict({"images": images, "sizes": SIZES}, verbose=0)
    check_detections(ours, theirs, "detection")


def test_detections_of_a_low_threshold(stages, theirs):
    found, _ = stages
    ours = detect(
        found["classes"],
        found["box_deltas"],
        found["boxes"][:, :50],
        found["scores"][:, :50],
        SIZES,
        BoxHead(min_score=0.005),
    )
    check_detections(ours, theirs, "first")


@pytest.fixture(scope="module")
def learning():
    """A function of a batch: the training losses, and three gradients' norms."""
    proposals = RegionProposals(samples=ALL, training_post_nms=200)
    learner = FasterRCNN("resnet50", 91, proposals=proposals, head=BoxHead(samples=ALL))
    fill(learner, (3, 4, 6, 3))
    for layer in learner.feature_extractor.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # at inference, as the reference's
    variables = [
        learner.feature_extractor.get_layer("stem_conv").kernel,
        learner.region_proposals.conv.kernel,
        learner.box_predictor.deltas.kernel,
    ]
    losses_and_gradients = compiled(learner, variables)

    def learn(batch):
        batch = keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
        losses, gradients = losses_and_gradients(batch)
        norms = [np.linalg.norm(keras.ops.convert_to_numpy(g)) for g in gradients]
        return [float(losses[name]) for name in LOSSES], norms

    return learn


def compiled(model, variables):
    """A function of a batch: the losses, and the gradients of their sum."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def differentiate(batch):
            with tf.GradientTape() as tape:
                losses = model(batch, training=True)
                total = sum(losses.values())
            return losses, tape.gradient(total, [v.value for v in variables])

        return differentiate
    import jax

    def total(values, batch):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            losses = model(batch, training=True)
        return sum(losses.values()), losses

    gradient = jax.jit(jax.grad(total, has_aux=True))
    return lambda batch: gradient([v.value for v in variables], batch)[::-1]


@pytest.mark.parametrize("row", ("boxes in both images", "in the first only"))
def test_training_losses_and_gradients(learning, images, theirs, row):
    first_only = row == "in the first only"
    boxes = np.zeros((2, 4, 4), "float32")
    labels = np.full((2, 4), -1, "int32")
    for i in (0,) if first_only else (0, 1):
        count = len(theirs[f"true_labels_{i}"])
        boxes[i, :count] = theirs[f"true_boxes_{i}"]
        labels[i, :count] = theirs[f"true_labels_{i}"]
    batch = {"images": images, "sizes": SIZES, "boxes": boxes, "labels": labels}
    losses, norms = learning(batch)
    np.testing.assert_allclose(losses, theirs["losses"][int(first_only)], rtol=1e-4)
    expected = theirs["gradient_norms"][int(first_only)]
    np.testing.assert_allclose(norms, expected, rtol=1e-3)
