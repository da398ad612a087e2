"""ROIAlign against a loop in NumPy and against torchvision's, gradients included."""

from pathlib import Path

import keras
import numpy as np
import pytest
from references import detection_numpy
from references.modes import MODES, in_mode

from keras_attention.ops.roi_align import roi_align, roi_levels

FILE = Path(__file__).parents[1] / "references" / "torchvision_faster_rcnn.npz"


@pytest.fixture(scope="module")
def torchvision():
    """Maps (batch, h, w, c), boxes (batch, R, 4), cotangent and what came out."""
    with np.load(FILE) as file:
        arrays = {k: v for k, v in file.items() if k.startswith("align")}
    maps_last = {
        k: v.transpose(0, 2, 3, 1) for k, v in arrays.items() if "rois" not in k
    }
    maps_last["rois"] = np.stack([arrays["align_rois_0"], arrays["align_rois_1"]])
    return maps_last


def value_and_gradients(features, boxes, cotangent, strides, **options):
    """The output, and d Σ(cotangent · output) by each map."""
    boxes = keras.ops.convert_to_tensor(boxes)
    features = [keras.ops.convert_to_tensor(f) for f in features]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(features)
            output = roi_align(features, boxes, strides, **options)
            total = tf.reduce_sum(output * cotangent)
        gradients = tape.gradient(total, features)
        gradients = [tf.convert_to_tensor(g) for g in gradients]
    else:
        import jax

        def total(features):
            output = roi_align(features, boxes, strides, **options)
            return (output * cotangent).sum(), output

        gradients, output = jax.grad(total, has_aux=True)(features)
    return keras.tree.map_structure(keras.ops.convert_to_numpy, (output, gradients))


@pytest.mark.parametrize("mode", MODES)
def test_a_pyramid_against_a_loop(mode, rng):
    strides = (4, 8, 16, 32)
    maps = [rng.normal(size=(2, 320 // s, 480 // s, 3)) for s in strides]
    sides = np.array([12, 30, 60, 111, 113, 223, 225, 300, 440])
    corners = rng.uniform(-30, 60, (2, len(sides), 2))
    boxes = np.concatenate([corners, corners + sides[:, None]], axis=-1)
    boxes = boxes.astype("float32")
    arrays = [m.astype("float32") for m in maps]
    align = in_mode(lambda b, *m: roi_align(list(m), b, strides, 5, 3), mode)
    found = align(boxes, *arrays)
    levels = [[detection_numpy.level_of(box) for box in image] for image in boxes]
    assert set(levels[0]) == {2, 3, 4}
    for n in range(2):
        for r, level in enumerate(levels[n]):
            expected = detection_numpy.roi_align(
                arrays[level - 2][n].astype("float64"), boxes[n, r], 2**level, 5, 3
            )
            np.testing.assert_allclose(found[n, r], expected, atol=1e-5)


def test_gradients_against_a_loop(rng):
    features = rng.normal(size=(2, 9, 12, 2)).astype("float32")
    corners = rng.uniform(-12, 60, (2, 7, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 70, corners.shape)], -1)
    cotangent = rng.normal(size=(2, 7, 4, 4, 2)).astype("float32")
    _, (gradient,) = value_and_gradients(
        [features], boxes.astype("float32"), cotangent, (8,), output_size=4
    )
    for n in range(2):
        expected = sum(
            detection_numpy.roi_align(
                features[n].astype("float64"), boxes[n, r], 8, 4, 2, cotangent[n, r]
            )
            for r in range(7)
        )
        np.testing.assert_allclose(gradient[n], expected, atol=1e-5)


def test_torchvision_two_levels(torchvision):
    maps = [torchvision["align_fine"], torchvision["align_coarse"]]
    cotangent = torchvision["align_cotangent"].reshape(2, 12, 7, 7, 2)
    output, gradients = value_and_gradients(
        maps, torchvision["rois"], cotangent, (4, 8)
    )
    expected = torchvision["align_output"].reshape(output.shape)
    np.testing.assert_allclose(output, expected, atol=1e-5)
    for gradient, name in zip(gradients, ("fine", "coarse"), strict=True):
        np.testing.assert_allclose(gradient, torchvision[f"align_by_{name}"], atol=1e-5)


def test_torchvision_one_level(torchvision):
    cotangent = torchvision["align_cotangent"].reshape(2, 12, 7, 7, 2)
    output, (gradient,) = value_and_gradients(
        [torchvision["align_fine"]], torchvision["rois"], cotangent, (4,)
    )
    expected = torchvision["align_single_output"].reshape(output.shape)
    np.testing.assert_allclose(output, expected, atol=1e-5)
    np.testing.assert_allclose(gradient, torchvision["align_single_by_fine"], atol=1e-5)


def test_no_gradient_goes_to_the_boxes(rng):
    """Proposals are the first stage's, which learns by its own losses."""
    features = keras.ops.convert_to_tensor(rng.normal(size=(1, 8, 8, 1)), "float32")
    boxes = keras.ops.convert_to_tensor([[[3.0, 4.0, 20.0, 22.0]]])
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(boxes)
            total = tf.reduce_sum(roi_align([features], boxes, (4,)))
        assert tape.gradient(total, boxes) is None
    else:
        import jax

        gradient = jax.grad(lambda b: roi_align([features], b, (4,)).sum())(boxes)
        assert not np.asarray(gradient).any()


@pytest.mark.parametrize(
    ("side", "level"), [(1, 0), (111.9, 0), (112, 1), (223, 1), (224, 2), (900, 3)]
)
def test_levels_change_at_the_papers_sizes(side, level):
    box = np.array([[10, 20, 10 + side, 20 + side]], "float32")
    assert keras.ops.convert_to_numpy(roi_levels(box, 4)).tolist() == [level]


def test_half_precision_keeps_its_type(rng):
    features = keras.ops.cast(rng.normal(size=(1, 64, 64, 4)), "float16")
    boxes = rng.uniform(0, 128, (1, 5, 2))
    boxes = np.concatenate([boxes, boxes + 90.0], axis=-1).astype("float32")
    half = roi_align([features], boxes, (4,))
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    full = roi_align([keras.ops.cast(features, "float32")], boxes, (4,))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(half).astype("float32"),
        keras.ops.convert_to_numpy(full),
        atol=5e-3,
    )
