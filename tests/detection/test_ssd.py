"""SSD: torchvision's SSD300 with weights made from their names, and loops in NumPy.

`references/make_torchvision_detection.py` wrote the arrays and says what they are.
"""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.utils.bounding_boxes import compute_iou
from references.autodiff import gradients, run
from references.detection_weights import image, weight
from references.small_detector import batch, call, small_backbone
from references.torchvision_ssd_names import fill

from keras_attention import applications, spec
from keras_attention.detection import (
    SSD,
    SSD300,
    DefaultBoxes,
    FeaturePyramid,
    SSDOptions,
    ssd,
)
from keras_attention.detection.default_boxes import default_boxes
from keras_attention.detection.ssd_features import L2Scale, SSD300Features, SSDFeatures
from keras_attention.detection.ssd_head import (
    detect,
    hard_negatives,
    match_default_boxes,
    ssd_losses,
)
from keras_attention.layers import SE

FILE = Path(__file__).parents[1] / "references" / "torchvision_ssd300.npz"
MAPS = [f"map{n}" for n in range(1, 7)]
SIDES = (38, 19, 10, 5, 3, 1)  # of SSD300's maps


def count(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def once(function, *arrays):
    """Its result as arrays; compiled as one on JAX, where each operation would be."""
    if keras.backend.backend() == "jax":
        import jax

        function = jax.jit(function)
    arrays = keras.tree.map_structure(keras.ops.convert_to_tensor, arrays)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, function(*arrays))


def close(ours, theirs, tolerance=1e-4):
    """Equal to `tolerance` of the largest value."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * abs(theirs).max())


@pytest.fixture(scope="module")
def theirs():
    with np.load(FILE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def ssd300():
    model = SSD300(num_classes=21)
    fill(model)
    return model


@pytest.fixture(scope="module")
def pixels():
    return np.stack([image(6, 300, 300), image(9, 300, 300)])


@pytest.fixture(scope="module")
def outputs(ssd300, pixels):
    """The maps, and what the heads say, of the first image."""
    normal = ssd300._normalize(pixels[:1], np.array([[300, 300]]))
    features = run(ssd300.feature_extractor, normal)
    logits, deltas = ssd300.head([features[key] for key in MAPS])
    found = (features, logits, deltas)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, found)


@pytest.fixture(scope="module")
def learning(ssd300):
    """A function of a batch: the training losses, and three gradients."""
    variables = [
        ssd300.feature_extractor.get_layer("ssd_scale").scale,
        ssd300.feature_extractor.get_layer("stage1_block1_conv").kernel,
        ssd300.head.deltas[1].kernel,
    ]
    return losses_and_gradients(ssd300, variables)


def assigned(defaults, boxes, there):
    def match(defaults, boxes, there):
        overlap = compute_iou(boxes, defaults, "xyxy")
        return match_default_boxes(overlap, there, 0.5)

    return once(match, defaults, boxes, there)


class TestTorchvision:
    def test_the_weights_are_those_of_the_reference(self, theirs):
        values = weight("rpn.head.conv.0.0.weight", (256, 256, 3, 3)).ravel()[:8]
        np.testing.assert_array_equal(values, theirs["weight_check"])

    def test_parameters(self, ssd300, theirs):
        assert count(ssd300) == theirs["parameters"] == 26_285_486

    @pytest.mark.parametrize("i", range(6))
    def test_maps(self, outputs, theirs, i):
        ours = outputs[0][MAPS[i]].transpose(0, 3, 1, 2)
        close(ours[:, ::32], theirs[f"map_{i}"])

    def test_heads(self, outputs, theirs):
        _, logits, deltas = outputs
        close(logits[0, ::7], theirs["class_logits"])
        close(deltas[0, ::7], theirs["deltas"])

    def check_detections(self, ours, theirs, kind):
        ours = {k: v[0] for k, v in ours.items()}
        found = len(theirs[f"{kind}_scores"])
        assert (ours["labels"] >= 0).sum() == found > 40
        labels = ours["labels"][:found]
        np.testing.assert_array_equal(labels, theirs[f"{kind}_labels"])
        close(ours["boxes"][:found], theirs[f"{kind}_boxes"])
        close(ours["scores"][:found], theirs[f"{kind}_scores"])

    def test_detections(self, ssd300, pixels, theirs):
        ours = call(ssd300, {"images": pixels[:1]})
        self.check_detections(ours, theirs, "detection")

    def test_detections_of_few_candidates(self, ssd300, outputs, theirs):
        _, logits, deltas = outputs
        defaults = ssd300.default_boxes[::7]
        options = SSDOptions(pre_nms=5)
        ours = once(
            lambda *seventh: detect(*seventh, defaults, [[300, 300]], options),
            logits[:, ::7],
            deltas[:, ::7],
        )
        self.check_detections(ours, theirs, "seventh")

    @pytest.mark.parametrize("row", ("boxes in both images", "in the first only"))
    def test_training_losses_and_gradients(self, learning, pixels, theirs, row):
        first_only = row == "in the first only"
        boxes = np.zeros((2, 4, 4), "float32")
        labels = np.full((2, 4), -1, "int32")
        for i in (0,) if first_only else (0, 1):
            there = len(theirs[f"true_labels_{i}"])
            boxes[i, :there] = theirs[f"true_boxes_{i}"]
            labels[i, :there] = theirs[f"true_labels_{i}"]
        losses, grads = learning({"images": pixels, "boxes": boxes, "labels": labels})
        box, classification = theirs["losses"][int(first_only)]
        np.testing.assert_allclose(losses["box_loss"], box, rtol=1e-4)
        np.testing.assert_allclose(losses["class_loss"], classification, rtol=1e-4)
        norms = [np.linalg.norm(gradient) for gradient in grads]
        expected = theirs["gradient_norms"][int(first_only)]
        np.testing.assert_allclose(norms, expected, rtol=1e-3)

    def test_positives(self, theirs):
        defaults = default_boxes((300, 300), [(n, n) for n in SIDES], ssd.BOXES_300)
        boxes = np.stack([theirs["true_boxes_0"], np.zeros((4, 4), "float32")])
        boxes[1, :2] = theirs["true_boxes_1"]
        there = np.array([[True] * 4, [True, True, False, False]])
        counts = (assigned(defaults, boxes, there) >= 0).sum(axis=1)
        np.testing.assert_array_equal(counts, theirs["positives"][0])


def losses_and_gradients(model, variables):
    """A function of a batch: losses by name, and the gradients of their sum."""

    def losses_of(inputs):
        return model(inputs, training=True)

    def to_arrays(losses, grads):
        return keras.tree.map_structure(keras.ops.convert_to_numpy, (losses, grads))

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        @tf.function(autograph=False)
        def differentiate(inputs):
            with tf.GradientTape() as tape:
                losses = losses_of(inputs)
                total = sum(losses.values())
            return losses, tape.gradient(total, [v.value for v in variables])

        return lambda inputs: to_arrays(*differentiate(inputs))
    import jax

    def total(values, inputs):
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            losses = losses_of(inputs)
        return sum(losses.values()), losses

    gradient = jax.jit(jax.grad(total, has_aux=True))
    values = [v.value for v in variables]
    return lambda inputs: to_arrays(*gradient(values, inputs)[::-1])


def test_parameters_with_91_classes():
    with keras.StatelessScope(initialize_variables=False):
        model = SSD300()
    assert count(model) == 35_641_826
    assert len(model.default_boxes) == 8732


def ious(boxes, others):
    """(M, N) of xyxy boxes, float64."""
    boxes, others = np.float64(boxes)[:, None], np.float64(others)[None]
    sides = np.minimum(boxes[..., 2:], others[..., 2:])
    sides = sides - np.maximum(boxes[..., :2], others[..., :2])
    common = sides.clip(0).prod(-1)
    areas = [(x[..., 2:] - x[..., :2]).prod(-1) for x in (boxes, others)]
    return common / (areas[0] + areas[1] - common)


def matched(defaults, boxes, there, threshold):
    """torchvision's `SSDMatcher`, but a box that nothing overlaps has none."""
    overlap = ious(boxes, defaults)
    found = np.full(len(defaults), -1)
    for n in range(len(defaults)):
        best = max(there, key=lambda m: (overlap[m, n], -m), default=None)
        if best is not None and overlap[best, n] >= threshold:
            found[n] = best
    for m in there:
        if overlap[m].max() > 0:
            found[overlap[m].argmax()] = m
    return found


def random_boxes(rng, *shape, size=100):
    corners = rng.uniform(0, size * 0.8, (*shape, 2))
    sides = rng.uniform(size * 0.1, size * 0.6, (*shape, 2))
    return np.concatenate([corners, corners + sides], -1).astype("float32")


class TestMatching:
    def test_against_a_loop(self, rng):
        """Among 300 images: clashes, boxes that are not there, nothing there."""
        defaults, boxes = random_boxes(rng, 60), random_boxes(rng, 300, 6)
        boxes[:, 3] = boxes[:, 1] + rng.uniform(-2, 2, (300, 4))  # near one another
        boxes[:50, 5] = (500, 500, 520, 520)  # nothing overlaps it
        there = rng.uniform(size=(300, 6)) < 0.7
        there[:5] = False
        boxes[~there] = 0
        expected = [
            matched(defaults, b, np.flatnonzero(t), 0.5)
            for b, t in zip(boxes, there, strict=True)
        ]
        found = assigned(defaults, boxes, there)
        np.testing.assert_array_equal(found, expected)
        # The cases are there: many below the threshold, and boxes that lost theirs.
        below = 0
        lost = 0
        for b, t, f in zip(boxes, there, expected, strict=True):
            overlap = ious(b, defaults)
            below += sum(overlap[m, n] < 0.5 for n, m in enumerate(f) if m >= 0)
            lost += sum(m not in f and overlap[m].max() > 0 for m in np.flatnonzero(t))
        assert below > 300 and lost > 5

    def test_the_later_box_wins(self):
        defaults = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], "float32")
        boxes = np.array([[[0, 0, 9, 10], [0, 0, 8, 10]]], "float32")
        there = np.array([[True, True]])
        assert assigned(defaults, boxes, there).tolist() == [[1, -1]]

    def test_an_absent_box_takes_nothing(self):
        """Were it there, it would have the first default box."""
        defaults = np.array([[0, 0, 10, 10], [50, 50, 60, 60]], "float32")
        boxes = np.array([[[50, 50, 60, 60], [0, 0, 10, 10]]], "float32")
        there = np.array([[True, False]])
        assert assigned(defaults, boxes, there).tolist() == [[-1, 0]]


def test_hard_negatives_against_a_loop(rng):
    loss = rng.uniform(size=(50, 40)).astype("float32")
    kind = rng.choice(3, p=(0.15, 0.7, 0.15), size=loss.shape)  # object, none, neither
    kind[0] = 1  # no object
    kind[1, :20] = 0  # fewer negatives than three for each
    positive, negative = kind == 0, kind == 1
    expected = np.zeros(loss.shape, bool)
    for row, wanted in enumerate(3 * positive.sum(axis=1)):
        ranked = sorted(np.flatnonzero(negative[row]), key=lambda n: -loss[row, n])
        expected[row, ranked[:wanted]] = True
    assert not expected[0].any()
    assert expected[1].sum() == negative[1].sum() < 3 * positive[1].sum()
    found = once(lambda *given: hard_negatives(*given, 3), loss, positive, negative)
    np.testing.assert_array_equal(found, expected)


def looped_losses(logits, deltas, defaults, boxes, labels, crowd, share=0.7):
    """SSD's losses default box by default box, and how many crowds leave out."""
    classes = boxes_loss = positives = left_out = 0
    for i in range(len(logits)):
        there = np.flatnonzero((labels[i] > 0) & ~crowd[i])
        crowds = np.flatnonzero((labels[i] > 0) & crowd[i])
        found = matched(defaults, boxes[i], there, 0.5)
        log_sum = np.log(np.exp(np.float64(logits[i])).sum(-1))
        background = []
        for n, m in enumerate(found):
            x0, y0, x1, y1 = np.float64(defaults[n])
            w, h = x1 - x0, y1 - y0
            if m >= 0:
                positives += 1
                classes += log_sum[n] - logits[i, n, labels[i, m]]
                a0, b0, a1, b1 = np.float64(boxes[i, m])
                wanted = [
                    ((a0 + a1) / 2 - (x0 + x1) / 2) / w / 0.1,
                    ((b0 + b1) / 2 - (y0 + y1) / 2) / h / 0.1,
                    np.log((a1 - a0) / w) / 0.2,
                    np.log((b1 - b0) / h) / 0.2,
                ]
                d = abs(deltas[i, n] - np.array(wanted))
                boxes_loss += np.where(d < 1, d * d / 2, d - 0.5).sum()
                continue
            inside = [
                max(0, min(x1, c[2]) - max(x0, c[0]))
                * max(0, min(y1, c[3]) - max(y0, c[1]))
                / (w * h)
                for c in boxes[i, crowds]
            ]
            if max(inside, default=0) > share:
                left_out += 1
            else:
                background.append(log_sum[n] - logits[i, n, 0])
        background.sort(reverse=True)
        classes += sum(background[: 3 * (found >= 0).sum()])
    return classes / max(positives, 1), boxes_loss / max(positives, 1), left_out


class TestLosses:
    @pytest.fixture
    def case(self, rng):
        """Logits, deltas, defaults and ground truth of five images."""
        defaults, boxes = random_boxes(rng, 80), random_boxes(rng, 5, 4)
        labels = rng.integers(1, 4, (5, 4)).astype("int32")
        labels[2, 1:] = -1
        labels[3] = -1
        crowd = np.zeros((5, 4), bool)
        crowd[1, 2] = crowd[4, 0] = True
        boxes[1, 2] = (0, 0, 60, 60)
        boxes[labels < 0] = 0
        logits = rng.normal(size=(5, 80, 4)).astype("float32")
        deltas = rng.normal(size=(5, 80, 4)).astype("float32")
        return logits, deltas, defaults, boxes, labels, crowd

    def ours(self, logits, deltas, defaults, boxes, labels, crowd):
        targets = {"boxes": boxes, "labels": labels, "crowd": crowd}
        return once(
            lambda *given: ssd_losses(*given, SSDOptions()),
            logits,
            deltas,
            defaults,
            targets,
        )

    def test_against_a_loop(self, case):
        *expected, left_out = looped_losses(*case)
        assert left_out > 5
        np.testing.assert_allclose(self.ours(*case), expected, rtol=1e-5)

    def test_an_image_without_boxes_adds_nothing(self, case):
        *parts, labels, crowd = case
        all_but_it = [0, 1, 2, 4]
        logits, deltas, defaults, boxes = parts
        others = [x[all_but_it] for x in (logits, deltas, boxes, labels, crowd)]
        expected = self.ours(*others[:2], defaults, *others[2:])
        np.testing.assert_allclose(self.ours(*case), expected, rtol=1e-6)

    def test_no_image_with_boxes(self, case):
        *parts, labels, crowd = case
        assert self.ours(*parts, np.full_like(labels, -1), crowd) == (0, 0)

    def test_a_crowd_over_all_leaves_the_objects(self, case):
        """What is left is the objects' cross-entropy."""
        logits, deltas, defaults, boxes, labels, crowd = (x.copy() for x in case)
        boxes[:, 3], labels[:, 3], crowd[:, 3] = (-500, -500, 900, 900), 1, True
        found, positives = 0, 0
        for i in range(5):
            there = np.flatnonzero((labels[i] > 0) & ~crowd[i])
            for n, m in enumerate(matched(defaults, boxes[i], there, 0.5)):
                if m >= 0:
                    found += np.log(np.exp(logits[i, n]).sum())
                    found -= logits[i, n, labels[i, m]]
                    positives += 1
        ours, _ = self.ours(logits, deltas, defaults, boxes, labels, crowd)
        np.testing.assert_allclose(ours, found / positives, rtol=1e-5)


def test_nothing_above_the_threshold(rng):
    logits = rng.normal(size=(2, 30, 4)).astype("float32")
    defaults, sizes = random_boxes(rng, 30), [[100, 100]] * 2
    options = SSDOptions(min_score=1.0, detections=7)
    found = once(
        lambda *given: detect(*given, defaults, sizes, options),
        logits,
        np.zeros((2, 30, 4), "float32"),
    )
    assert (found["labels"] == -1).all() and not found["boxes"].any()
    assert found["scores"].shape == (2, 7)


class TestL2Scale:
    def test_formula(self, rng):
        x = rng.normal(size=(2, 3, 4, 8)).astype("float32")
        layer = L2Scale(initial=3.0)
        layer.build(x.shape)
        scale = rng.uniform(1, 5, 8).astype("float32")
        layer.scale.assign(scale)
        norms = np.sqrt((np.float64(x) ** 2).sum(-1, keepdims=True))
        np.testing.assert_allclose(layer(x), scale * x / norms, rtol=1e-5)

    def test_a_place_of_zeros_has_finite_gradients(self, rng):
        x = rng.normal(size=(1, 2, 2, 8)).astype("float32")
        x[0, 0, 0] = 0
        layer = L2Scale()
        layer.build(x.shape)
        outputs, by_input, by_weight = gradients(layer, x, np.ones_like(x))
        assert not outputs[0, 0, 0].any()
        assert np.isfinite(by_input).all() and np.isfinite(by_weight["scale"]).all()

    def test_large_maps_in_half_precision(self):
        """The square of 3000 is no float16."""
        layer = L2Scale(dtype="mixed_float16")
        outputs = keras.ops.convert_to_numpy(layer(np.full((1, 1, 1, 4), 3000.0)))
        assert outputs.dtype == "float16"
        np.testing.assert_allclose(outputs, 10.0)


def small_ssd(**changes):
    options = {
        "backbone": small_backbone(),
        "num_classes": 5,
        "image_size": (64, 96),
        "channels": 16,
        "options": SSDOptions(detections=10),
    }
    return SSD(**{**options, **changes})


@pytest.fixture(scope="module")
def model():
    return small_ssd()


@pytest.fixture
def inputs(rng):
    return batch(rng)


def images_only(inputs):
    return {key: inputs[key] for key in ("images", "sizes")}


def sizes_of(model, image_size):
    shapes = model.compute_output_shape((None, *image_size, 3))
    return {key: tuple(shape[1:3]) for key, shape in shapes.items()}


class TestFeatures:
    def test_pyramid_then_halves(self, model):
        assert sizes_of(model.feature_extractor, (64, 96)) == {
            "map1": (8, 12),
            "map2": (4, 6),
            "map3": (2, 3),
            "map4": (1, 2),
            "map5": (1, 1),
        }
        places = (8 * 12, 4 * 6, 2 * 3, 2, 1)
        expected = sum(n * p for n, p in zip((4, 6, 6, 4, 4), places, strict=True))
        assert len(model.default_boxes) == expected

    def test_levels_and_number_of_maps(self):
        features = SSDFeatures(small_backbone(), (64, 64), levels=(2, 3), maps=3)
        assert list(sizes_of(features, (64, 64)).values()) == [
            (16,) * 2,
            (8,) * 2,
            (4,) * 2,
        ]

    def test_a_network_without_coarse_levels(self):
        backbone = applications.CifarResNet(8, pyramid=True, input_shape=(32, 32, 3))
        features = SSDFeatures(backbone, (32, 32))
        assert list(sizes_of(features, (32, 32)).values()) == [
            (8, 8),
            (4, 4),
            (2, 2),
            (1, 1),
        ]

    def test_those_of_300_pixels_on_another_backbone(self):
        features = SSD300Features(small_backbone())
        sizes = sizes_of(features, (300, 300))
        assert list(sizes.values()) == [(n, n) for n in SIDES]

    def test_on_a_feature_pyramid(self, inputs):
        pyramid = FeaturePyramid(small_backbone(), channels=16, attention="se")
        model = small_ssd(backbone=pyramid)
        assert list(model.feature_extractor.output) == MAPS[:5]
        assert np.isfinite(call(model, images_only(inputs))["scores"]).all()

    def test_attention_stands_before_the_heads_alone(self, rng):
        """Map 4 is made of map 3 without it."""
        features = SSDFeatures(
            small_backbone(), (64, 64), channels=16, attention={"map3": "se"}
        )
        attention = features.get_layer("ssd_map3_attention")
        images = rng.normal(size=(1, 64, 64, 3)).astype("float32")
        before = run(features, images)
        for v in attention.weights:
            v.assign(rng.normal(size=v.shape) * 3)
        after = run(features, images)
        for key in MAPS[:4]:
            same = np.array_equal(np.asarray(before[key]), np.asarray(after[key]))
            assert same == (key != "map3")


def test_detections_are_padded_sorted_and_inside(model, inputs):
    found = call(model, images_only(inputs))
    assert found["boxes"].shape == (3, 10, 4)
    assert (np.diff(found["scores"], axis=1) <= 0).all()
    present = found["labels"] >= 0
    assert present[:, 0].all()
    assert (found["labels"][present] >= 1).all() and (found["labels"] <= 4).all()
    for n, (height, width) in enumerate(inputs["sizes"]):
        assert (found["boxes"][n] >= 0).all()
        assert (found["boxes"][n] <= [width, height, width, height]).all()


def test_prediction_in_batches(model, inputs):
    """In a graph that does not know the batch, and in one of another size."""
    found = call(model, images_only(inputs))
    model.compile(jit_compile="auto")
    predicted = model.predict(images_only(inputs), batch_size=2, verbose=0)
    np.testing.assert_array_equal(predicted["labels"], found["labels"])
    np.testing.assert_allclose(predicted["scores"], found["scores"], atol=1e-5)
    np.testing.assert_allclose(predicted["boxes"], found["boxes"], atol=1e-3)


def test_padding_does_not_matter(model, inputs):
    found = call(model, images_only(inputs))
    pixels = inputs["images"].copy()
    pixels[1, 48:], pixels[2, :, 70:] = 200, 13
    noisy = call(model, {"images": pixels, "sizes": inputs["sizes"]})
    for key in found:
        np.testing.assert_array_equal(found[key], noisy[key])


def test_a_batch_of_one(model, inputs):
    found = call(model, images_only(inputs))
    alone = call(model, {k: v[2:] for k, v in images_only(inputs).items()})
    assert alone["boxes"].shape == (1, 10, 4)
    np.testing.assert_allclose(alone["scores"][0], found["scores"][2], atol=1e-5)
    np.testing.assert_allclose(alone["boxes"][0], found["boxes"][2], atol=1e-3)
    losses = call(model, {k: v[:1] for k, v in inputs.items()}, training=True)
    assert sorted(losses) == ["box_loss", "class_loss"]
    assert all(np.isfinite(v) and v > 0 for v in losses.values())


def test_no_box_at_all(model, inputs):
    inputs["labels"][:] = -1
    losses = call(model, inputs, training=True)
    assert losses["class_loss"] == losses["box_loss"] == 0
    none = {k: v[:, :0] for k, v in inputs.items() if k in ("boxes", "labels")}
    losses = call(model, {**images_only(inputs), **none}, training=True)
    assert losses["class_loss"] == losses["box_loss"] == 0


def shallow_ssd(**changes):
    """Three maps, so that its gradients compile quickly.

    Not of 8 channels: with those, TensorFlow 2.21 (oneDNN, AVX-512) writes past its
    memory in the gradient of a 1×1 kernel at stride 2.
    """
    backbone = applications.ResNet(
        (1, 1, 1),
        (16, 16, 16),
        "basic",
        stem_width=16,
        pyramid=True,
        input_shape=(None, None, 3),
    )
    return small_ssd(backbone=backbone, maps=3, **changes)


def test_every_weight_learns_and_a_file_keeps_all(inputs, tmp_path):
    """Where boxes of every map learn an object: from an IoU of 0.01."""
    # As many hidden units as channels: of few, all may be dead behind their ReLU.
    attention = {
        "map[12]": spec("cbam", reduction_ratio=1),
        "map3": SE(reduction_ratio=1),
    }
    model = shallow_ssd(
        attention=attention, options=SSDOptions(foreground_iou=0.01, detections=10)
    )
    variables = model.trainable_variables
    _, grads = losses_and_gradients(model, variables)(inputs)
    assert all(np.isfinite(gradient).all() for gradient in grads)
    without = [
        v.path
        for v, gradient in zip(variables, grads, strict=True)
        if not gradient.any()
    ]
    assert not without
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    ours, theirs = (call(m, images_only(inputs)) for m in (model, again))
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])


def test_training_lowers_the_loss(inputs):
    model = shallow_ssd(attention="se")
    model.compile(keras.optimizers.SGD(0.02), jit_compile="auto")
    history = model.fit(x=inputs, batch_size=3, epochs=10, verbose=0).history
    total = np.add(history["class_loss"], history["box_loss"])
    np.testing.assert_allclose(history["loss"], total, rtol=1e-5)
    assert total[-1] < 0.7 * total[0]


def test_configuration_through_a_file(tmp_path):
    model = small_ssd(
        attention={"map2": SE(reduction_ratio=4)},
        levels=(2, 3, 4),
        maps=4,
        boxes=DefaultBoxes((0.1, 0.2, 0.4, 0.6, 0.8), ((2,), (2,), (), (3,))),
        mean=(1, 2, 3),
        std=(4, 5, 6),
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    configs = [json.dumps(m.get_config()) for m in (model, again)]  # tuples are lists
    assert configs[0] == configs[1]
    assert again.feature_extractor.get_layer("ssd_map2_attention").reduction_ratio == 4
    assert (again.mean, again.std) == ((1, 2, 3), (4, 5, 6))
    assert again.options == SSDOptions(detections=10)
    np.testing.assert_array_equal(again.default_boxes, model.default_boxes)
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_ssd300_through_a_file(tmp_path):
    model = SSD300(small_backbone(), 3, options=SSDOptions(nms_iou=0.3))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is SSD300 and again.num_classes == 3
    assert again.boxes == ssd.BOXES_300 and again.options.nms_iou == 0.3
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_bfloat16", 0.05), ("mixed_float16", 0.01)]
)
def test_mixed_precision(policy, tolerance, model, inputs, monkeypatch):
    """Losses near those of single precision, of ground truth that is not rounded."""
    keras.config.set_dtype_policy(policy)
    half = small_ssd()
    for ours, theirs in zip(half.weights, model.weights, strict=True):
        ours.assign(theirs)
    assert half.feature_extractor.layers[-1].compute_dtype == policy[len("mixed_") :]
    found = call(half, images_only(inputs))
    assert found["boxes"].dtype == found["scores"].dtype == "float32"
    expected = call(model, inputs, training=True)

    def with_boxes(logits, deltas, defaults, targets, options):
        assert logits.dtype == deltas.dtype == defaults.dtype
        classes, boxes = ssd_losses(logits, deltas, defaults, targets, options)
        return (classes, targets["boxes"]), boxes

    monkeypatch.setattr(ssd, "ssd_losses", with_boxes)
    losses = call(half, inputs, training=True)
    losses["class_loss"], boxes = losses["class_loss"]
    np.testing.assert_array_equal(boxes, inputs["boxes"])
    for name, value in expected.items():
        np.testing.assert_allclose(losses[name], value, rtol=tolerance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "vgg61"}, "'vgg61'.*'vgg16'"),
        ({"num_classes": 1}, "background.*1"),
        ({"image_size": 300}, "image_size.*300"),
        ({"image_size": (0, 300)}, "image_size.*0"),
        ({"levels": (1, 2)}, r"P2, P3, P4, P5.*\(1, 2\)"),
        ({"levels": ()}, r"`levels`.*\(\)"),
        ({"maps": 2}, "`maps`.*from 3.*to 5.*2"),
        ({"maps": 6}, "`maps`.*from 3.*to 5.*6"),
        ({"channels": 0}, "channels.*0"),
        ({"boxes": {"scale": 1}}, "DefaultBoxes.*scales.*scale"),
        ({"boxes": DefaultBoxes(steps=(8, 16))}, "`steps`.*here 5"),
        ({"options": {"nms_iou": 2}}, r"nms_iou.*\[0, 1\].*2"),
        ({"options": {"negatives": 0}}, "negatives.*0"),
        ({"attention": "es"}, "'es'.*'se'"),
        ({"attention": "bam"}, "bam stands between stages"),
        ({"attention": {"map6": "se"}}, "'map6'.*'map5'"),
        ({"attention": "aw_se"}, "aw replaces a convolution.*'map1'.*backbone.*'aw'"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        small_ssd(**change)


def test_a_backbone_without_levels():
    with pytest.raises(ValueError, match="pyramid=True.*Sequential"):
        small_ssd(backbone=keras.Sequential())


def test_a_backbone_for_other_images():
    with pytest.raises(ValueError, match="32×32.*64×96.*image_size"):
        small_ssd(backbone=small_backbone((32, 32)))


def test_ssd300_needs_two_levels():
    backbone = applications.CifarResNet(8, pyramid=True, input_shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"P0, P1, P2.*\(3, 4\)"):
        SSD300(backbone)


def test_ssd300_of_a_backbone_for_other_images():
    with pytest.raises(ValueError, match="224×224.*300×300"):
        SSD300(small_backbone((224, 224)))


@pytest.mark.parametrize("shape", ((2, 64, 64, 3), (None, None, None, 3)))
def test_images_of_another_size(model, shape):
    images = keras.Input(batch_shape=shape)
    with pytest.raises(ValueError, match="images of 64×96.*Received.*Resize or pad"):
        model(images)


def test_training_needs_ground_truth(model):
    with pytest.raises(ValueError, match="no boxes and no labels"):
        model({"images": keras.Input((64, 96, 3))}, training=True)


def test_a_batch_without_images(model, inputs):
    del inputs["images"]
    with pytest.raises(ValueError, match="needs `images`.*boxes"):
        model(inputs)
