"""Grad-CAM in closed form: known features, their mean over positions, one Dense."""

import keras
import numpy as np
import pytest
from references.backend import need_channels_first
from references.numpy_nn import softmax

from keras_attention.applications import CifarResNet
from keras_attention.visualization import grad_cam

SIZE = (4, 6, 3)
CLASSES = 5


def head(style, weights, bias):
    """Layers from pooled features to the classes, by how the softmax is there."""
    dense = {"units": CLASSES, "name": "dense"}
    layers = {
        "dense": [keras.layers.Dense(**dense, activation="softmax")],
        "softmax": [keras.layers.Dense(**dense), keras.layers.Softmax()],
        "activation": [keras.layers.Dense(**dense), keras.layers.Activation("softmax")],
        "logits": [keras.layers.Dense(**dense)],
    }[style]
    layers[0].build((None, len(weights)))
    layers[0].set_weights([weights, bias])
    return layers


def linear(rng, style="logits", data_format="channels_last"):
    """The model whose features are twice its images; weights and bias of its Dense."""
    weights = rng.normal(size=(3, CLASSES)).astype("float32")
    bias = rng.normal(size=CLASSES).astype("float32")
    shape = SIZE if data_format == "channels_last" else (SIZE[2], *SIZE[:2])
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Rescaling(2.0, name="features"),
            keras.layers.GlobalAveragePooling2D(data_format=data_format),
            *head(style, weights, bias),
        ]
    )
    return model, weights, bias


def images_of(rng, count=4, shape=SIZE):
    return rng.normal(size=(count, *shape)).astype("float32")


def logits_of(images, weights, bias):
    return 2 * images.mean(axis=(1, 2)) @ weights + bias


def expected_maps(images, by_feature):
    """α_k = (∂y/∂ mean of A_k) / positions, and A = 2 x."""
    alpha = by_feature / (SIZE[0] * SIZE[1])
    return np.maximum((2 * images * alpha[:, None, None]).sum(axis=3), 0)


def by_feature(images, weights, bias, classes, score):
    """∂y_c / ∂ mean of A_k."""
    rows = weights.T[classes]
    if score == "logits":
        return rows
    p = softmax(logits_of(images, weights, bias))
    own = p[np.arange(len(images)), classes][:, None]
    return own * (rows - p @ weights.T)


@pytest.mark.parametrize("score", ["logits", "softmax"])
@pytest.mark.parametrize("style", ["dense", "softmax", "activation", "logits"])
def test_a_linear_model(style, score, rng):
    model, weights, bias = linear(rng, style)
    images = images_of(rng)
    before = keras.ops.convert_to_numpy(model(images, training=False))
    found = grad_cam(model, images, score=score)
    own = logits_of(images, weights, bias).argmax(axis=1)
    assert (found.layer, found.score) == ("features", score)
    assert found.maps.dtype == np.float32
    np.testing.assert_array_equal(found.classes, own)
    slope = by_feature(images, weights, bias, own, score)
    expected = expected_maps(images, slope)
    assert (expected == 0).any() and (expected > 0).any()
    np.testing.assert_allclose(found.maps, expected, atol=1e-6)
    after = keras.ops.convert_to_numpy(model(images, training=False))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("classes", [3, [0, 4, 1, 1], np.array([2, 2, 0, 1])])
def test_classes_and_batches(classes, rng):
    model, weights, _ = linear(rng, "dense")
    images = images_of(rng)
    found = grad_cam(model, images, classes=classes, batch_size=3)
    wanted = np.broadcast_to(classes, 4)
    np.testing.assert_array_equal(found.classes, wanted)
    expected = expected_maps(images, weights.T[wanted])
    np.testing.assert_allclose(found.maps, expected, atol=1e-6)


def test_channels_first(rng):
    model, weights, _ = linear(rng, data_format="channels_first")
    images = images_of(rng)
    found = grad_cam(model, images.transpose(0, 3, 1, 2), classes=1)
    expected = expected_maps(images, weights.T[[1] * 4])
    np.testing.assert_allclose(found.maps, expected, atol=1e-6)


def test_a_branch_that_gives_its_input_counts_alone(rng):
    """y = mean(2 x) w + mean(2 x) v: at the branch of v, the slope is v."""
    image = keras.Input(SIZE)
    features = keras.layers.Rescaling(2.0)(image)
    branch = keras.layers.Dropout(0.5, name="branch")(features)
    pool = keras.layers.GlobalAveragePooling2D
    one = keras.layers.Dense(CLASSES, use_bias=False)
    other = keras.layers.Dense(CLASSES, use_bias=False)
    joined = keras.layers.Add()([one(pool()(features)), other(pool()(branch))])
    model = keras.Model(image, keras.layers.Activation("linear")(joined))
    images = images_of(rng)
    v = keras.ops.convert_to_numpy(other.kernel)
    found = grad_cam(model, images, classes=2, layer="branch")
    expected = expected_maps(images, v.T[[2] * 4])
    np.testing.assert_allclose(found.maps, expected, atol=1e-6)


def test_second_call_of_a_shared_layer(rng):
    """y = mean(2 (2 x)) w: for the second call A = 4 x, and the slope is w."""
    model, weights, _ = linear(rng)
    scale = model.get_layer("features")
    twice = keras.Sequential(
        [keras.Input(SIZE), scale, keras.Sequential([scale, *model.layers[1:]])]
    )
    images = images_of(rng)
    first = grad_cam(twice, images, classes=1, layer="features")
    second = grad_cam(twice, images, classes=1, layer="features#2")
    expected = 2 * expected_maps(images, weights.T[[1] * 4])
    np.testing.assert_allclose(second.maps, expected, atol=1e-6)
    # α is twice as large where A is half as large.
    np.testing.assert_allclose(first.maps, expected, atol=1e-6)


# -- networks ----------------------------------------------------------------------


def small(**options):
    return CifarResNet(8, input_shape=(8, 8, 3), **options)


def test_names_of_layers(rng):
    model, images = small(), images_of(rng, 1, (8, 8, 3))
    chosen = {
        None: "stage3_block1_out",
        "stage2": "stage2_block1_out",
        "stage1_block1": "stage1_block1_out",
        "stem": "stem_relu",
        "stage2_block1_conv1": "stage2_block1_conv1",
    }
    sides = {"stage1": 8, "stem": 8, "stage2": 4, "stage3": 2}
    for layer, name in chosen.items():
        found = grad_cam(model, images, layer=layer)
        assert found.layer == name
        side = sides[name.split("_")[0]]
        assert found.maps.shape == (1, side, side)
    nested = keras.Sequential([keras.Input((8, 8, 3)), small(name="inner")])
    inside = grad_cam(nested, images, layer="stage2")
    assert inside.layer == "inner/stage2_block1_out"
    with pytest.raises(ValueError, match=r"'stage4'. Choose from: '[^']*stage"):
        grad_cam(model, images, layer="stage4")


def test_inside_a_residual_branch_against_differences(rng):
    """α_k is what a score gains where channel k is moved everywhere, by β."""
    model, image = small(attention="se"), images_of(rng, 1, (8, 8, 3))
    norm = model.get_layer("stage1_block1_norm2")
    every = {"classes": range(10), "layer": norm.name}
    found = grad_cam(model, np.repeat(image, 10, axis=0), **every)
    tensors = [norm.output, model.layers[-1].input]
    parts = keras.Model(model.input, tensors)
    kernel = model.layers[-1].get_weights()[0]
    features = parts(image, training=False)[0]
    features = keras.ops.convert_to_numpy(features)
    beta, step, alpha = norm.get_weights()[1], 1e-3, []
    for k in range(len(beta)):
        pooled = []
        for sign in (1, -1):
            norm.beta.assign(beta + sign * step * np.eye(len(beta))[k])
            moved = parts(image, training=False)[1]
            pooled.append(keras.ops.convert_to_numpy(moved))
        alpha.append((pooled[0] - pooled[1])[0] @ kernel / (2 * step * 8 * 8))
    norm.beta.assign(beta)
    expected = np.maximum(features[0] @ np.array(alpha), 0).transpose(2, 0, 1)
    scale = expected.max()
    np.testing.assert_allclose(found.maps / scale, expected / scale, atol=0.02)


def convolved(data_format):
    """Convolution, norm, ReLU: only the first of them knows its layout."""
    last = data_format == "channels_last"
    return keras.Sequential(
        [
            keras.Input(SIZE if last else (SIZE[2], *SIZE[:2])),
            keras.layers.Conv2D(8, 3, data_format=data_format),
            keras.layers.BatchNormalization(axis=-1 if last else 1, name="norm"),
            keras.layers.ReLU(name="relu"),
            keras.layers.GlobalAveragePooling2D(data_format=data_format),
            keras.layers.Dense(CLASSES),
        ]
    )


@pytest.mark.parametrize("layer", ["norm", "relu"])
def test_layers_that_do_not_know_their_layout(layer, rng):
    need_channels_first()
    last, first = convolved("channels_last"), convolved("channels_first")
    first.set_weights(last.get_weights())
    images = images_of(rng, 2)
    one = grad_cam(last, images, layer=layer)
    other = grad_cam(first, images.transpose(0, 3, 1, 2), layer=layer)
    assert one.maps.max() > 0.01
    np.testing.assert_allclose(one.maps, other.maps, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, rng):
    keras.config.set_dtype_policy(policy)
    model, weights, _ = linear(rng)
    images = images_of(rng)
    found = grad_cam(model, images, classes=1)
    assert found.maps.dtype == np.float32
    expected = expected_maps(images, weights.T[[1] * 4])
    scale = expected.max()  # bfloat16 has eight bits
    np.testing.assert_allclose(found.maps / scale, expected / scale, atol=2**-6)


# -- errors ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 5}, r"0 … 4. Received: 5"),
        ({"classes": -1}, r"0 … 4. Received: -1"),
        ({"classes": [0, 1]}, "one for each of 4 images"),
        ({"classes": 1.0}, "integer"),
        ({"classes": True}, "integer"),
        ({"score": "probability"}, r"score.*'softmax'"),
        ({"layer": "feature"}, r"'feature'. Choose from: 'features'"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_wrong_arguments(options, message, rng):
    model, _, _ = linear(rng, "dense")
    with pytest.raises(ValueError, match=message):
        grad_cam(model, images_of(rng), **options)
    assert model.layers[-1].activation is keras.activations.softmax


def test_models_that_do_not_tell(rng):
    images = images_of(rng)

    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = keras.layers.Dense(3)

        def call(self, images):
            return self.dense(keras.ops.mean(images, (1, 2)))

    with pytest.raises(ValueError, match=r"'own'.*Own.*functional"):
        grad_cam(Own(), images)
    image = keras.Input(SIZE)
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    with pytest.raises(ValueError, match=r"operation 'softmax.*Softmax\(\)"):
        grad_cam(keras.Model(image, keras.ops.softmax(pooled)), images)
    with pytest.raises(ValueError, match="softmax or in nothing"):
        grad_cam(keras.Model(image, keras.layers.Dense(3, "relu")(pooled)), images)
    with pytest.raises(ValueError, match="no layer with a 4-D output"):
        grad_cam(keras.Model(image, keras.layers.Dense(3)(pooled)), images)
