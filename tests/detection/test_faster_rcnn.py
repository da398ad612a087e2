"""Faster R-CNN: counts, batches of every kind, training, files, precision, errors."""

import json

import keras
import numpy as np
import pytest
from references.modes import MODES, in_mode
from references.small_detector import batch, call, small_backbone, small_faster_rcnn
from references.weights import randomize

from keras_attention import applications, spec
from keras_attention.detection import BoxHead, FasterRCNN, RegionProposals
from keras_attention.detection.detector import _targets, crowds, present
from keras_attention.layers.aw_conv import AW

TABLE_3 = (None, "aw", "se", "aw_se", "cbam", "aw_cbam")
LOSSES = ("objectness_loss", "proposal_loss", "class_loss", "box_loss")


@pytest.fixture(scope="module")
def model():
    return small_faster_rcnn()


@pytest.fixture
def inputs(rng):
    return batch(rng)


def test_parameters_of_the_papers_network():
    """ResNet-101 with 91 classes, trainable batch norms; facts of torchvision's."""
    model = FasterRCNN("resnet101", 91)
    assert sum(np.prod(v.shape) for v in model.trainable_weights) == 60_800_534
    assert model.backbone.get_layer("stage3_block23_conv2")


def as_array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def images_only(inputs):
    return {key: inputs[key] for key in ("images", "sizes")}


def test_detections_are_padded_and_sorted(model, inputs):
    found = call(model, images_only(inputs))
    assert found["boxes"].shape == (3, 10, 4)
    assert (np.diff(found["scores"], axis=1) <= 0).all()
    present = found["labels"] >= 0
    assert (found["labels"][present] >= 1).all() and (found["labels"] <= 4).all()
    assert not found["scores"][~present].any() and not found["boxes"][~present].any()
    for n, (height, width) in enumerate(inputs["sizes"]):
        assert (found["boxes"][n] <= [width, height, width, height]).all()
    assert present[:, 0].all()


def test_padding_does_not_matter(model, inputs):
    """What lies in it, and to the detections of an image whether it is there at all."""
    found = call(model, images_only(inputs))
    pixels = inputs["images"].copy()
    pixels[1, 48:], pixels[2, :, 70:] = 200, 13
    noisy = call(model, {"images": pixels, "sizes": inputs["sizes"]})
    for key in found:
        np.testing.assert_array_equal(found[key], noisy[key])


def test_each_image_is_detected_alone(model, inputs):
    found = call(model, images_only(inputs))
    order = [2, 2, 0]
    other = call(model, {k: v[order] for k, v in images_only(inputs).items()})
    for key, atol in (("labels", 0), ("scores", 1e-5), ("boxes", 1e-3)):
        np.testing.assert_allclose(other[key], found[key][order], atol=atol)


@pytest.mark.parametrize("mode", MODES[1:])
def test_every_execution_mode(model, inputs, mode):
    """The graph does not know how many images there are."""
    expected = call(model, images_only(inputs))

    def detect(images, sizes):
        return model({"images": images, "sizes": sizes})

    found = in_mode(detect, mode)(inputs["images"], inputs["sizes"])
    for key, atol in (("labels", 0), ("scores", 1e-5), ("boxes", 1e-3)):
        np.testing.assert_allclose(found[key], expected[key], atol=atol)


def test_images_alone_have_no_padding(model, inputs):
    full = np.tile(np.array([[64, 96]], "int32"), (3, 1))
    expected = call(model, {"images": inputs["images"], "sizes": full})
    found = call(model, inputs["images"])
    for key in found:
        np.testing.assert_array_equal(found[key], expected[key])


class TestLosses:
    def test_are_named_and_finite(self, model, inputs):
        losses = call(model, inputs, training=True)
        assert sorted(losses) == sorted(LOSSES)
        assert all(np.isfinite(v) and v > 0 for v in losses.values())

    def test_without_any_box_the_boxes_cost_nothing(self, model, inputs):
        inputs["labels"][:] = -1
        losses = call(model, inputs, training=True)
        assert losses["proposal_loss"] == losses["box_loss"] == 0
        assert losses["objectness_loss"] > 0 and losses["class_loss"] > 0

    def test_a_batch_may_have_no_room_for_boxes(self, inputs):
        none = {k: v[:, :0] for k, v in inputs.items() if k in ("boxes", "labels")}
        targets = _targets({**none, "crowd": inputs["crowd"][:, :0]})
        assert targets["boxes"].shape == (3, 1, 4)
        assert not as_array(present(targets)).any()
        assert not as_array(crowds(targets)).any()

    def test_crowds_are_neither_objects_nor_background(self, inputs):
        """All is covered by a crowd: there is nothing left to learn."""
        everything = RegionProposals(
            anchor_sizes=(8, 16, 32, 64, 128), samples=10_000, training_post_nms=40
        )
        model = small_faster_rcnn(proposals=everything)
        inputs["boxes"][:, 0] = (-500, -500, 900, 900)
        inputs["labels"][:] = -1
        inputs["labels"][:, 0] = 2
        crowd = np.zeros((3, 3), bool)
        without = call(model, {**inputs, "crowd": crowd}, training=True)
        assert without["class_loss"] > 0
        crowd[:, 0] = True
        losses = call(model, {**inputs, "crowd": crowd}, training=True)
        assert not any(losses.values())

    def test_proposals_carry_no_gradient(self, inputs):
        """The second stage's losses do not move the first stage's boxes."""
        model = small_faster_rcnn()
        kernel = model.region_proposals.deltas.kernel
        by_box = gradient(model, inputs, "box_loss", kernel)
        assert by_box is None or not np.asarray(by_box).any()
        assert np.asarray(gradient(model, inputs, "proposal_loss", kernel)).any()


def gradient(model, inputs, loss, variable):
    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = model(inputs, training=True)[loss]
        return tape.gradient(value, variable.value)
    import jax

    def value(kernel):
        with keras.StatelessScope(state_mapping=[(variable, kernel)]):
            return model(inputs, training=True)[loss]

    return jax.jit(jax.grad(value))(variable.value)


@pytest.mark.parametrize(
    "attention",
    [
        # The parts of these are in the others; each compiles for a minute.
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("cbam", "aw_se")))
        for name in TABLE_3
    ],
)
def test_table_3_trains_saves_and_reloads(attention, inputs, rng, tmp_path):
    """On one image per batch, and an optimizer step moves every trainable weight."""
    # All anchors learn, so that none of the levels is left out by the draw.
    proposals = RegionProposals(
        anchor_sizes=(8, 16, 32, 64, 128), training_post_nms=40, samples=10_000
    )
    model = small_faster_rcnn(attention=attention, channels=32, proposals=proposals)
    one = {key: value[:1] for key, value in inputs.items()}
    randomize(model.feature_extractor, rng)
    for variable in model.trainable_weights:
        if variable.path.endswith("reduce/bias"):  # no unit of a gate starts dead
            variable.assign(np.full(variable.shape, 4.0))
    before = [v.numpy().copy() for v in model.trainable_weights]
    eagerly = keras.backend.backend() == "tensorflow"  # see `call`
    model.compile(
        keras.optimizers.SGD(100.0), run_eagerly=eagerly, jit_compile=not eagerly
    )
    history = model.fit(x=one, batch_size=1, epochs=1, verbose=0).history
    assert np.isclose(history["loss"][0], sum(history[name][0] for name in LOSSES))
    still = [
        v.path
        for v, old in zip(model.trainable_weights, before, strict=True)
        if np.array_equal(v.numpy(), old)
    ]
    assert not still
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert again.attention == attention
    assert [v.path for v in again.weights] == [v.path for v in model.weights]
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    "attention",
    [
        ["aw_se"] * 8,
        (None,) * 7 + ("se",),
        ("aw",) * 8,
        {"output*": ["aw", "se"]},
        {"lateral2": None, "output2": AW(norm="batch")},
        (AW(norm="batch"), spec("se", reduction_ratio=4)),
        spec("aw", reduction_ratio=4),
    ],
    ids=str,
)
def test_attention_of_every_form_survives_its_configuration(attention):
    model = small_faster_rcnn(attention=attention, channels=32)
    config = json.loads(json.dumps(model.get_config()))
    again = FasterRCNN.from_config(config)
    ours, theirs = (
        [(w.path, tuple(w.shape)) for w in m.feature_extractor.weights]
        for m in (model, again)
    )
    assert ours == theirs
    norms = [
        [getattr(layer, "norm", None) for layer in m.feature_extractor.layers]
        for m in (model, again)
    ]
    assert norms[0] == norms[1]


def test_configuration_through_a_file_keeps_specs(tmp_path):
    specs = {
        "lateral*": (AW(norm="frozen"), spec("se", reduction_ratio=4)),
        "output2": "se",
    }
    model = small_faster_rcnn(attention=specs, mean=(1, 2, 3), std=(4, 5, 6), seed=7)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    ours, theirs = model.get_config(), again.get_config()
    ours.pop("backbone"), theirs.pop("backbone")  # its objects' numbers differ
    assert ours == theirs
    assert again.feature_extractor.get_layer("fpn_lateral4").norm == "frozen"
    assert (again.mean, again.std, again.seed) == ((1, 2, 3), (4, 5, 6), 7)
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_aw_with_batch_norms_refuses_a_batch_of_one(inputs):
    model = small_faster_rcnn(attention=AW(norm="batch"), channels=32)
    one = {key: value[:1] for key, value in inputs.items()}
    with pytest.raises(ValueError, match="fpn_lateral.*batch of one image"):
        model(one, training=True)


def test_a_reloaded_model_detects_the_same(model, inputs, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    ours, theirs = (call(m, images_only(inputs)) for m in (model, again))
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])


@pytest.mark.parametrize("policy", ("mixed_bfloat16", "mixed_float16"))
def test_mixed_precision(policy, model, inputs):
    keras.config.set_dtype_policy(policy)
    half = small_faster_rcnn(backbone=small_backbone())
    for ours, theirs in zip(half.weights, model.weights, strict=True):
        ours.assign(theirs)
    found = call(half, images_only(inputs))
    assert found["boxes"].dtype == found["scores"].dtype == "float32"
    assert (found["labels"][:, 0] > 0).all()
    if policy == "mixed_float16":
        return  # losses are computed alike
    half_losses = call(half, inputs, training=True)
    losses = call(model, inputs, training=True)
    # Samples are drawn alike; which proposals there are differs a little.
    assert np.isclose(
        half_losses["objectness_loss"], losses["objectness_loss"], rtol=0.02
    )
    assert all(np.isfinite(v) for v in half_losses.values())


def test_half_precision_does_not_round_the_boxes(inputs, monkeypatch):
    """Half of a pixel is much of a small object, and float16's step at 800."""
    keras.config.set_dtype_policy("mixed_float16")
    model = small_faster_rcnn(backbone=small_backbone())
    seen = {}

    def keep(features, image_shape, sizes, targets):
        seen.update(targets)
        return {name: keras.ops.sum(targets["boxes"]) for name in LOSSES}

    monkeypatch.setattr(model, "training_losses", keep)
    inputs["boxes"][0, 0] = (800.3, 700.1, 1200.7, 1300.9)
    model(inputs, training=True)
    np.testing.assert_array_equal(as_array(seen["boxes"]), inputs["boxes"])


def test_no_loss_in_evaluation(model, inputs):
    with pytest.raises(ValueError, match=r"average precision.*evaluate\(model"):
        model.compute_loss(inputs, None, {}, training=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "resnet51"}, "'resnet51'.*'resnet50'"),
        ({"backbone": 7}, "backbone.*7"),
        ({"num_classes": 1}, "background.*1"),
        ({"num_classes": "five"}, "num_classes.*'five'"),
        ({"mean": (1, 2)}, r"mean.*three.*\(1, 2\)"),
        ({"std": (1, 2, 0)}, r"std.*above 0.*\(1, 2, 0\)"),
        (
            {"proposals": {"anchor_size": 4}},
            "RegionProposals.*anchor_sizes.*anchor_size",
        ),
        ({"proposals": {"anchor_sizes": (8, 16)}}, "each level, P2, P3.*P6.*8, 16"),
        ({"head": {"units": 0}}, "units.*0"),
        ({"head": {"min_size": -5}}, "min_size.*-5"),
        ({"proposals": {"min_size": float("nan")}}, "min_size.*nan"),
        ({"proposals": {"background_iou": 0.9}}, "background_iou.*0.9 and 0.7"),
        ({"head": {"min_score": 2}}, r"min_score.*\[0, 1\].*2"),
        ({"attention": "wa"}, "'wa'.*'aw'"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        small_faster_rcnn(**change)


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="JAX traces with known sizes only"
)
def test_images_need_a_known_size(model):
    with pytest.raises(ValueError, match="height and width known.*None, None"):
        model(keras.Input((None, None, 3)))


def test_training_needs_ground_truth(model, inputs):
    with pytest.raises(ValueError, match="no boxes and no labels.*images.*sizes"):
        model(images_only(inputs), training=True)


def test_a_backbone_of_another_kind_of_network():
    backbone = applications.MobileNetV2(
        alpha=0.35, pyramid=True, input_shape=(None, None, 3)
    )
    model = small_faster_rcnn(backbone=backbone, head=BoxHead(units=8))
    assert list(model.feature_extractor.output) == ["P2", "P3", "P4", "P5", "P6"]
