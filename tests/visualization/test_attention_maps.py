"""Attention maps: NumPy's formulas on a layer's own input, in models of every kind."""

import keras
import numpy as np
import pytest
from keras import ops
from references.attentions import augmented_conv, aw_map, bam
from references.attentions import channel_attention as channel
from references.attentions import spatial_attention as spatial
from references.backend import need_channels_first
from references.weights import randomize, read

import keras_attention
from keras_attention.applications import AAWideResNet, CifarResNet
from keras_attention.attention import PerConv
from keras_attention.layers import AA, AW, BAM, CBAM, AWConv2D, Gate
from keras_attention.visualization import attention_maps, intercepted

SIZE = (8, 8, 3)
CHANNELS_FIRST = {"input_shape": (3, 8, 8), "data_format": "channels_first"}
BY_SITE = {"conv": {"kernel"}, "stage": {"volume"}, "block": {"channel"}}
KINDS = {
    "aa": {"positions"},
    "spatial": {"spatial"},
    "bam_block": {"volume"},
    "cbam_sum": {"volume"},
    **{
        name: {"channel", "spatial"}
        for name in keras_attention.names()
        if name.startswith(("cbam", "mvam")) and name not in ("cbam_sum",)
    },
    "cbam_maxpool": {"channel"},
}


def as_array(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def images_of(rng, count=3, shape=SIZE):
    return rng.normal(size=(count, *shape)).astype("float32")


def small(attention, **options):
    return CifarResNet(8, attention=attention, **{"input_shape": SIZE, **options})


def randomize_gates(model, rng):
    """Of the others the fresh weights, which leave the gates in their middle."""
    for layer in model.layers:
        if isinstance(layer, Gate):
            randomize(layer, rng)


def calls(model, images, kind):
    """{name: (layer, inputs, outputs)} of the layers of a class, as they are called."""
    layers = [layer for layer in model.layers if isinstance(layer, kind)]
    seen = {}

    def look(layer, inputs, outputs):
        seen[layer.name] = (layer, as_array(inputs), as_array(outputs))
        return outputs

    with intercepted(layers, look):
        model(images, training=False)
    return seen


def by_layer(maps):
    found = {}
    for each in maps:
        found.setdefault(each.layer, {})[each.kind] = each.values
    return found


# -- against the formulas ----------------------------------------------------------


@pytest.mark.parametrize("name", ["cbam", "cbam_reverse", "cbam_parallel"])
def test_cbam_gives_both_parts_and_the_second_sees_what_the_first_leaves(name, rng):
    model, images = small(name), images_of(rng)
    randomize_gates(model, rng)
    found = by_layer(attention_maps(model, images))
    seen = calls(model, images, CBAM)
    assert list(found) == [f"stage{s}_block1_attention" for s in (1, 2, 3)]
    for layer, (cbam, x, _) in seen.items():
        weights = read(cbam)
        by_channel = channel(x, weights["channel_attention"])
        by_place = spatial(x, weights["spatial_attention"])
        if name == "cbam":
            by_place = spatial(x * by_channel, weights["spatial_attention"])
        if name == "cbam_reverse":
            by_channel = channel(x * by_place, weights["channel_attention"])
        expected = {"channel": by_channel[:, 0, 0], "spatial": by_place[..., 0]}
        first = "spatial" if name == "cbam_reverse" else "channel"
        assert next(iter(found[layer])) == first
        for kind, values in expected.items():
            np.testing.assert_allclose(found[layer][kind], values, atol=1e-5)


def test_volume_kernel_and_positions(rng):
    x = images_of(rng, shape=(4, 5, 6))
    image = keras.Input(x.shape[1:])
    volume = BAM(reduction_ratio=2, name="volume")
    kernel = AWConv2D(4, 3, reduction_ratio=2, channel_sharing=3, name="kernel")
    positions = keras_attention.layers.AttentionAugmentedConv2D(
        8, 3, padding="same", key_depth=4, value_depth=2, num_heads=2, name="positions"
    )
    model = keras.Model(image, [volume(image), kernel(image), positions(image)])
    randomize(model, rng)
    found = {each.kind: each for each in attention_maps(model, x)}
    assert all(each.kind == each.layer for each in found.values())
    exact = x.astype("float64")
    expected = {
        "volume": bam(exact, read(volume), dilation_rate=4),
        "kernel": aw_map(exact, read(kernel), (3, 3), maps=2),
    }
    _, softmax = augmented_conv(
        exact, read(positions), key_depth=4, num_heads=2, strides=(1, 1), padding="same"
    )
    expected["positions"] = softmax.reshape(3, 2, 4, 5, 4, 5)
    for kind, values in expected.items():
        np.testing.assert_allclose(found[kind].values, values, atol=1e-5)
    # Row by row, what each place gets from all queries of all heads.
    received = np.zeros((3, 4, 5))
    for query in range(20):
        for head in range(2):
            received += softmax[:, head, query].reshape(3, 4, 5) / 2
    np.testing.assert_allclose(found["positions"].spatial(), received, atol=1e-5)
    np.testing.assert_allclose(
        found["volume"].spatial(), expected["volume"].mean(-1), atol=1e-5
    )
    assert found["kernel"].spatial() is None


def as_gate(kind, values):
    """To multiply an image by."""
    if kind == "channel":
        return values[:, None, None]
    return values[..., None] if kind == "spatial" else values


def output_by_hand(layer, x, maps):
    """The gate's output from its maps alone."""
    gates = [as_gate(*pair) for pair in maps.items()]
    order = getattr(layer, "order", None)
    if order == "parallel":
        return x * (gates[0] + gates[1]) / 2
    product = x * np.prod(np.broadcast_arrays(*gates), axis=0)
    return x + product if isinstance(layer, BAM) or order == "sum" else product


@pytest.mark.parametrize("name", keras_attention.names())
def test_every_attention_has_maps_that_give_its_output(name, rng):
    model, images = small(name), images_of(rng)
    randomize_gates(model, rng)
    found = by_layer(attention_maps(model, images))
    site = keras_attention.spec(name).site
    assert len(found) == {"conv": 6, "stage": 2, "block": 3}[site] - 3 * (name == "aa")
    for maps in found.values():
        assert set(maps) == KINDS.get(name, BY_SITE[site])
        assert all(values.dtype == np.float32 for values in maps.values())
    for layer, x, outputs in calls(model, images, Gate).values():
        by_hand = output_by_hand(layer, x, found[layer.name])
        np.testing.assert_allclose(outputs, by_hand, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["cbam", "bam_block"])
def test_channels_first_has_the_same_maps(name, rng):
    need_channels_first()
    images = images_of(rng)
    last, first = small(name), small(name, **CHANNELS_FIRST)
    randomize_gates(last, rng)
    first.set_weights(last.get_weights())
    pairs = zip(
        attention_maps(last, images),
        attention_maps(first, images.transpose(0, 3, 1, 2)),
        strict=True,
    )
    for one, other in pairs:
        assert (one.layer, one.kind) == (other.layer, other.kind)
        np.testing.assert_allclose(one.values, other.values, atol=1e-5)


# -- kinds of gates ----------------------------------------------------------------


class Made(Gate):
    """A gate of given numbers, which may be alike in some axes."""

    def __init__(self, numbers, **kwargs):
        super().__init__(**kwargs)
        self.numbers = numbers

    def build_gate(self, channels, input_shape):
        pass

    def attention_map(self, inputs):
        return ops.convert_to_tensor(self.numbers, inputs.dtype)


@pytest.mark.parametrize(
    ("gate", "image", "kind", "shape"),
    [
        ((1, 1, 1, 3), (4, 5, 3), "channel", (2, 3)),
        ((2, 1, 1, 3), (1, 1, 3), "channel", (2, 3)),
        ((1, 4, 1, 1), (4, 5, 3), "spatial", (2, 4, 5)),
        ((2, 1, 1, 1), (1, 1, 3), "spatial", (2, 1, 1)),
        ((2, 1, 1, 1), (4, 5, 1), "channel", (2, 1)),
        ((1, 4, 1, 3), (4, 5, 3), "volume", (2, 4, 5, 3)),
    ],
)
def test_a_users_gate_needs_no_more_code(gate, image, kind, shape, rng):
    numbers = rng.uniform(size=gate).astype("float32")
    model = keras.Sequential([keras.Input(image), Made(numbers, name="made")])
    (found,) = attention_maps(model, images_of(rng, 2, image))
    assert (found.layer, found.kind) == ("made", kind)
    assert found.values.shape == shape
    np.testing.assert_array_equal(
        np.broadcast_to(as_gate(kind, found.values), (2, *image)),
        np.broadcast_to(numbers, (2, *image)),
    )


def test_a_cbam_with_a_map_of_its_own_has_that_map(rng):
    class Own(CBAM):
        def attention_map(self, inputs):
            return 0.5 * ops.ones_like(inputs)

    model = keras.Sequential([keras.Input((4, 4, 16)), Own(name="own")])
    (found,) = attention_maps(model, images_of(rng, 2, (4, 4, 16)))
    assert found.kind == "volume"
    assert (found.values == 0.5).all()


# -- kinds of models ---------------------------------------------------------------


def test_nested_subclassed_and_shared(rng):
    images = images_of(rng)
    backbone = small("se", include_top=False, name="backbone")
    nested = keras.Sequential([keras.Input(SIZE), backbone])

    class Twice(keras.Model):
        def __init__(self):
            super().__init__()
            self.backbone = backbone

        def call(self, images):
            return self.backbone(images) + self.backbone(2 * images)

    once, doubled = (attention_maps(backbone, k * images) for k in (1, 2))
    for each, inside in zip(once, attention_maps(nested, images), strict=True):
        assert inside.layer == f"backbone/{each.layer}"
        np.testing.assert_array_equal(inside.values, each.values)
    twice = attention_maps(Twice(), images)
    expected = [(each.layer, each) for each in once]
    expected += [(f"{each.layer}#2", each) for each in doubled]
    for (layer, each), inside in zip(expected, twice, strict=True):
        assert inside.layer == f"backbone/{layer}"
        np.testing.assert_allclose(inside.values, each.values, atol=1e-6)


def test_aw_inside_aa(rng):
    model = AAWideResNet(10, 1, aw_variant=2, input_shape=SIZE, classes=3)
    names = [(each.layer, each.kind) for each in attention_maps(model, images_of(rng))]
    assert names == [
        pair
        for s in (1, 2, 3)
        for pair in (
            (f"stage{s}_block1_conv1/qkv", "kernel"),
            (f"stage{s}_block1_conv1", "positions"),
        )
    ]
    both = small([PerConv((AA(qkv_attention=AW()), AW()))])
    kinds = [each.kind for each in attention_maps(both, images_of(rng))]
    assert kinds == ["kernel", "positions", "kernel"] * 3


def conv_and_cbam():
    conv = keras.layers.Conv2D(16, 3, padding="same")
    return keras.Sequential([keras.Input(SIZE), conv, CBAM(2, name="cbam")])


def test_batches_files_and_mixed_precision(rng, tmp_path):
    model, images = conv_and_cbam(), images_of(rng)
    found = attention_maps(model, images)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    keras.config.set_dtype_policy("mixed_bfloat16")
    mixed = conv_and_cbam()
    mixed.set_weights(model.get_weights())
    others = (
        (attention_maps(model, images, batch_size=2), 1e-5),
        (attention_maps(copy, images), 1e-5),
        (attention_maps(mixed, images), 0.02),
    )
    for other, tolerance in others:
        for one, same in zip(found, other, strict=True):
            assert (one.layer, one.kind) == (same.layer, same.kind)
            assert same.values.dtype == np.float32
            np.testing.assert_allclose(one.values, same.values, atol=tolerance)


# -- the model stays as it is ------------------------------------------------------


def test_the_model_is_as_before(rng):
    model, images = small("cbam"), images_of(rng)
    before = model.get_weights(), as_array(model(images, training=False))
    attention_maps(model, images)
    assert not any("call" in vars(layer) for layer in model.layers)
    np.testing.assert_array_equal(as_array(model(images, training=False)), before[1])
    for one, other in zip(before[0], model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_interceptions_nest_replace_and_end_with_an_error(rng):
    layer = keras.layers.Rescaling(2.0)
    x = images_of(rng, 1)

    def add(number):
        return lambda layer, inputs, outputs: outputs + number + 0 * inputs

    with intercepted([layer], add(1)):
        with pytest.raises(ZeroDivisionError), intercepted([layer], add(10)):
            np.testing.assert_allclose(as_array(layer(x)), 2 * x + 11, rtol=1e-6)
            raise ZeroDivisionError
        np.testing.assert_allclose(as_array(layer(x)), 2 * x + 1, rtol=1e-6)
    assert "call" not in vars(layer)
    np.testing.assert_allclose(as_array(layer(inputs=x)), 2 * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8, 3), "float32"), r"\[N, 8, 8, 3\].*shape \(8, 8, 3\)"),
        (np.zeros((0, 8, 8, 3), "float32"), "at least one"),
        (np.zeros((2, 8, 9, 3), "float32"), r"shape \(2, 8, 9, 3\)"),
        (np.zeros((2, 8, 8, 3), "uint8"), "normalization.*uint8"),
        (np.full((2, 8, 8, 3), np.nan, "float32"), "finite"),
    ],
)
def test_wrong_images(images, message):
    with pytest.raises(ValueError, match=message):
        attention_maps(small("se"), images)


def test_no_attention_and_no_batch(rng):
    with pytest.raises(ValueError, match=r"'cifarresnet-8' has no attention.*cbam"):
        attention_maps(small(None), images_of(rng))
    with pytest.raises(ValueError, match=r"batch_size.*Received: 0"):
        attention_maps(small("se"), images_of(rng), batch_size=0)
