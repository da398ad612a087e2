"""Mixed layers against their candidates, weighted one by one in NumPy."""

import json

import keras
import numpy as np
import pytest
from references import attentions
from references.autodiff import check_gradients, gradients, run
from references.backend import need_channels_first
from references.numpy_nn import conv2d, softmax
from references.weights import by_path, randomize, read

from keras_attention import applications, spec
from keras_attention.layers import (
    CBAM,
    ChannelAttention,
    SpatialAttention,
)
from keras_attention.layers.convolution import Conv2D
from keras_attention.tuning.mixed import (
    MixedAttention,
    MixedAttentionSpec,
    MixedCBAM,
    MixedCBAMSpec,
    architecture_variables,
    block_probabilities,
    mixed_layers,
)
from keras_attention.tuning.mixed_conv import MixedAWConv2D, MixedConvSpec
from keras_attention.tuning.space import search_space

SHAPE = (2, 4, 5, 6)
POOLINGS = {
    "sscbam": (("avg", "max"), ("max", "avg")),
    "ssmvam": (("avg", "var"), ("avg", "var")),
    "ssmvam_biased": (("avg", "biased_var"), ("avg", "biased_var")),
}
CANDIDATES = ("none", "se", "eca", "cbam_reverse", "mvam", "bam_block")
LAYERS = {
    "shared": lambda **options: MixedCBAM(2, **options),
    "general": lambda **options: MixedAttention(
        ["none", spec("se", reduction_ratio=1), spec("cbam", reduction_ratio=3)],
        **options,
    ),
    "conv": lambda **options: MixedAWConv2D(
        4, 3, padding="symmetric", reduction_ratio=2, **options
    ),
}


def prepare(layer, rng, shape=SHAPE):
    inputs = rng.normal(size=shape).astype("float32")
    layer.build(inputs.shape)
    randomize(layer, rng)
    return inputs


def as_array(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def one_hot(layer, index):
    """α whose softmax is exactly one-hot in float32."""
    layer.alpha.assign(200.0 * np.eye(layer.alpha.shape[0])[index])


def five(x, weights, space):
    """The paper's operations one by one: no value is shared between them."""
    channel, spatial = POOLINGS[space]
    mc = attentions.channel_attention(x, weights["channel_attention"], channel)
    ms = attentions.spatial_attention(x, weights["spatial_attention"], spatial)
    both = [
        attentions.cbam(x, weights, order, channel, spatial)
        for order in ("channel_spatial", "spatial_channel")
    ]
    return [x, *both, x * mc, x * ms]


def mixture(x, weights, space):
    p = softmax(weights["alpha"])
    return sum(share * y for share, y in zip(p, five(x, weights, space), strict=True))


def shared(space, **options):
    return search_space(space, reduction_ratio=2, **options).spec().make()


class TestShared:
    @pytest.mark.parametrize("space", POOLINGS)
    def test_is_the_weighted_sum_of_the_five(self, space, rng):
        layer = shared(space, spatial_kernel_size=3)
        inputs = prepare(layer, rng)
        expected = mixture(inputs.astype("float64"), read(layer), space)
        np.testing.assert_allclose(as_array(layer(inputs)), expected, atol=1e-5)

    @pytest.mark.parametrize("space", POOLINGS)
    def test_gradients_are_central_differences(self, space, rng):
        """Those of α, of every shared weight and of the inputs."""
        layer = shared(space, spatial_kernel_size=3)
        inputs = prepare(layer, rng, (2, 3, 3, 4))
        cotangent = rng.normal(size=inputs.shape).astype("float32")
        _, by_input, by_weight = gradients(layer, inputs, cotangent)
        assert "alpha" in by_weight
        exact, weights = inputs.astype("float64"), read(layer)
        found = check_gradients(
            lambda: mixture(exact, weights, space),
            exact,
            weights,
            cotangent,
            by_input,
            by_weight,
        )
        assert np.abs(found["alpha"]).min() > 1e-4, (
            "the test would not see α's gradient"
        )

    @pytest.mark.parametrize("space", ["sscbam", "ssmvam"])
    def test_one_hot_is_the_discrete_layer(self, space, rng):
        """The registered layers, given the mixture's own weights."""
        found = search_space(space, reduction_ratio=2)
        layer = found.spec().make()
        inputs = prepare(layer, rng)
        channel, spatial = layer.channel_attention, layer.spatial_attention
        for i, operation in enumerate(found.operations):
            one_hot(layer, i)
            outputs = as_array(run(layer, inputs))
            if operation.attention is None:
                np.testing.assert_array_equal(outputs, inputs)
                continue
            discrete = operation.attention.make()
            discrete.build(inputs.shape)
            parts = {
                CBAM: [channel, spatial],
                ChannelAttention: [channel],
                SpatialAttention: [spatial],
            }
            kind = next(kind for kind in parts if isinstance(discrete, kind))
            own = {
                CBAM: lambda d: [d.channel_attention, d.spatial_attention],
                ChannelAttention: lambda d: [d],
                SpatialAttention: lambda d: [d],
            }[kind](discrete)
            for target, source in zip(own, parts[kind], strict=True):
                target.set_weights(source.get_weights())
            np.testing.assert_allclose(
                outputs, as_array(run(discrete, inputs)), atol=1e-6
            )

    def test_output_is_the_input_times_the_map(self, rng):
        layer = MixedCBAM(2)
        inputs = prepare(layer, rng)
        attention = as_array(layer.attention_map(inputs))
        assert ((attention > 0) & (attention < 1)).all()
        np.testing.assert_allclose(
            as_array(run(layer, inputs)), inputs * attention, atol=1e-6
        )

    def test_two_parts_serve_all_five(self, rng):
        """As many weights as one CBAM, and α."""
        layer, cbam = MixedCBAM(2), CBAM(2)
        prepare(layer, rng)
        prepare(cbam, rng)
        assert layer.count_params() == cbam.count_params() + 5

    def test_four_calls(self, rng, monkeypatch):
        calls = []
        for kind in (ChannelAttention, SpatialAttention):
            original = kind.attention_map

            def counted(self, inputs, original=original, kind=kind):
                calls.append(kind.__name__)
                return original(self, inputs)

            monkeypatch.setattr(kind, "attention_map", counted)
        layer = MixedCBAM(2)
        layer(prepare(layer, rng))
        assert sorted(calls) == ["ChannelAttention"] * 2 + ["SpatialAttention"] * 2


class TestGeneral:
    def test_is_the_weighted_sum_of_the_candidates(self, rng):
        """Each candidate as the registered layer, with its weights copied by hand."""
        specs = search_space(CANDIDATES, reduction_ratio=2).spec().candidates
        layer = MixedAttention(specs)
        inputs = prepare(layer, rng)
        p = softmax(as_array(layer.alpha).astype("float64"))
        expected = p[0] * inputs
        for share, candidate, attention in zip(
            p[1:], layer.candidates[1:], specs[1:], strict=True
        ):
            discrete = attention.make()
            discrete.build(inputs.shape)
            discrete.set_weights(candidate.get_weights())
            expected = expected + share * as_array(run(discrete, inputs))
        np.testing.assert_allclose(as_array(run(layer, inputs)), expected, atol=1e-5)
        assert len({round(share, 6) for share in p}) == len(CANDIDATES)

    def test_gradient_of_alpha_is_central_differences(self, rng):
        layer = LAYERS["general"]()
        inputs = prepare(layer, rng)
        cotangent = rng.normal(size=inputs.shape).astype("float32")
        _, _, by_weight = gradients(layer, inputs, cotangent)
        outputs = [inputs]
        for candidate in layer.candidates[1:]:
            outputs.append(as_array(run(candidate, inputs)))
        weights = {"alpha": as_array(layer.alpha).astype("float64")}
        from references.autodiff import central_differences

        expected = central_differences(
            lambda: np.tensordot(softmax(weights["alpha"]), np.array(outputs), 1),
            weights["alpha"],
            cotangent,
        )
        assert np.abs(expected).min() > 1e-3
        np.testing.assert_allclose(by_weight["alpha"], expected, rtol=1e-4, atol=1e-4)

    def test_alpha_is_not_rounded_in_half_precision(self, rng):
        """In bfloat16 both would be 100, and p ½ each."""
        exact = MixedAttention(["none", spec("se", reduction_ratio=1)])
        half = MixedAttention.from_config(
            {**exact.get_config(), "dtype": "mixed_bfloat16"}
        )
        inputs = prepare(exact, rng)
        half.build(inputs.shape)
        half.set_weights(exact.get_weights())
        for layer in (exact, half):
            layer.alpha.assign([100.0, 100.25])
        expected = as_array(run(exact, inputs))
        np.testing.assert_allclose(as_array(run(half, inputs)), expected, rtol=2**-6)

    @pytest.mark.parametrize("index", range(3))
    def test_one_hot_is_the_candidate(self, index, rng):
        layer = LAYERS["general"]()
        inputs = prepare(layer, rng)
        one_hot(layer, index)
        candidate = layer.candidates[index]
        expected = inputs if candidate is None else as_array(run(candidate, inputs))
        np.testing.assert_allclose(as_array(run(layer, inputs)), expected, atol=1e-6)

    @pytest.mark.parametrize(
        ("candidates", "message"),
        [
            (["se"], "at least two"),
            ("se", "at least two"),
            (["se", "eca", "se"], "'se' twice"),
            (["none", None], "'none' twice"),
            (["none", "aw"], "site 'block'"),
            (["none", "bam"], "site 'block'"),
            (["none", "sse"], "'sse'.*Choose from: 'se'"),
        ],
    )
    def test_wrong_candidates(self, candidates, message):
        for make in (MixedAttention, MixedAttentionSpec):
            with pytest.raises(ValueError, match=message):
                make(candidates)


class TestConv:
    @pytest.mark.parametrize("combine", ["residual", "product"])
    @pytest.mark.parametrize("strides", [1, 2])
    def test_is_both_convolutions_in_one(self, combine, strides, rng):
        """p0 · Conv(x, K) + p1 · AWConv(x): two convolutions in NumPy."""
        options = {"strides": strides, "padding": "symmetric"}
        layer = MixedAWConv2D(4, 3, reduction_ratio=2, combine=combine, **options)
        inputs = prepare(layer, rng)
        x, weights = inputs.astype("float64"), read(layer)
        numpy_options = {"strides": (strides, strides), "padding": "symmetric"}
        plain = conv2d(x, weights["kernel"], weights["bias"], **numpy_options)
        weighted = attentions.aw_conv(x, weights, combine=combine, **numpy_options)
        p = softmax(weights["alpha"])
        assert np.abs(plain - weighted).max() > 0.1
        np.testing.assert_allclose(
            as_array(run(layer, inputs)), p[0] * plain + p[1] * weighted, atol=1e-5
        )

    @pytest.mark.parametrize("combine", ["residual", "product"])
    def test_gradients_are_central_differences(self, combine, rng):
        layer = MixedAWConv2D(2, 3, reduction_ratio=2, combine=combine, padding="same")
        inputs = prepare(layer, rng, (2, 4, 3, 2))
        cotangent = rng.normal(size=(2, 4, 3, 2)).astype("float32")
        _, by_input, by_weight = gradients(layer, inputs, cotangent)
        x, weights = inputs.astype("float64"), read(layer)

        def value():
            p = softmax(weights["alpha"])
            plain = conv2d(x, weights["kernel"], weights["bias"], padding="same")
            weighted = attentions.aw_conv(x, weights, combine=combine, padding="same")
            return p[0] * plain + p[1] * weighted

        found = check_gradients(value, x, weights, cotangent, by_input, by_weight)
        assert np.abs(found["alpha"]).min() > 1e-3

    def test_alternatives_have_its_options(self, rng):
        layer = LAYERS["conv"](strides=2, use_bias=False)
        inputs = prepare(layer, rng)
        plain, weighted = layer.alternatives()
        one_hot(layer, 0)
        plain.build(inputs.shape)
        plain.set_weights([layer.kernel])
        assert type(plain) is Conv2D
        np.testing.assert_allclose(
            as_array(run(layer, inputs)), as_array(run(plain, inputs)), atol=1e-6
        )
        one_hot(layer, 1)
        weighted.build(inputs.shape)
        own = by_path(layer)
        for path, weight in by_path(weighted).items():
            weight.assign(own[path])
        np.testing.assert_allclose(
            as_array(run(layer, inputs)), as_array(run(weighted, inputs)), atol=1e-6
        )


@pytest.mark.parametrize("kind", LAYERS)
class TestContract:
    """What `tests/layers/test_contract.py` asks of registered attentions."""

    def test_alpha_is_float32_and_0_at_first(self, kind):
        for policy in ("float32", "mixed_float16", "mixed_bfloat16", "bfloat16"):
            layer = LAYERS[kind](dtype=policy)
            layer.build(SHAPE)
            assert layer.alpha.dtype == "float32"
            np.testing.assert_array_equal(as_array(layer.alpha), 0)
            probabilities = layer.probabilities()
            assert keras.backend.standardize_dtype(probabilities.dtype) == "float32"
            count = layer.alpha.shape[0]
            np.testing.assert_allclose(as_array(probabilities), 1 / count, rtol=1e-6)
            outputs = layer(np.ones(SHAPE, "float32"))
            assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype

    def test_config_round_trip(self, kind, rng):
        layer = LAYERS[kind]()
        inputs = prepare(layer, rng)
        config = layer.get_config()
        copy = type(layer).from_config(json.loads(json.dumps(config)))
        assert json.dumps(copy.get_config()) == json.dumps(config)
        copy.build(inputs.shape)
        copy.set_weights(layer.get_weights())
        np.testing.assert_allclose(
            as_array(run(copy, inputs)), as_array(run(layer, inputs))
        )

    @pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
    def test_file_round_trip_holds_alpha(self, kind, policy, rng, tmp_path):
        layer = LAYERS[kind](dtype=policy)
        image = keras.Input(SHAPE[1:])
        model = keras.Model(image, layer(image))
        randomize(model, rng)
        inputs = rng.normal(size=SHAPE).astype("float32")
        model.save(tmp_path / "model.keras")
        model.save_weights(tmp_path / "model.weights.h5")
        copies = [keras.saving.load_model(tmp_path / "model.keras")]
        fresh = LAYERS[kind](dtype=policy)
        copies.append(keras.Model(image, fresh(image)))
        copies[1].load_weights(tmp_path / "model.weights.h5")
        for copy in copies:
            (alpha,) = architecture_variables(copy)
            np.testing.assert_array_equal(as_array(alpha), as_array(layer.alpha))
            assert alpha.dtype == "float32"
            np.testing.assert_allclose(
                as_array(run(copy, inputs)), as_array(run(model, inputs))
            )

    @pytest.mark.parametrize(
        ("policy", "tolerance"), [("mixed_float16", 2**-8), ("mixed_bfloat16", 2**-5)]
    )
    def test_mixed_precision(self, kind, policy, tolerance, rng):
        exact = LAYERS[kind]()
        inputs = prepare(exact, rng)
        layer = LAYERS[kind](dtype=policy)
        layer.build(inputs.shape)
        layer.set_weights(exact.get_weights())
        outputs = run(layer, inputs)
        assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
        expected = as_array(run(exact, inputs))
        error = np.abs(as_array(outputs) - expected).max()
        assert error < tolerance * np.abs(expected).max()
        if policy == "mixed_float16":  # half the compiling, of one code
            return
        cotangent = rng.normal(size=expected.shape).astype("float32")
        full = gradients(exact, inputs, cotangent)[2]
        half = gradients(layer, inputs, cotangent)[2]
        for path in full:
            low = half[path].astype("float32")
            cosine = (full[path] * low).sum() / (
                np.linalg.norm(full[path]) * np.linalg.norm(low)
            )
            assert cosine > 0.98, path

    def test_training_moves_only_batch_norm_statistics(self, kind, rng):
        layer = LAYERS[kind]()
        inputs = prepare(layer, rng)
        before = {path: as_array(weight) for path, weight in by_path(layer).items()}
        layer(inputs, training=True)
        moved = {
            path.rpartition("/")[2]
            for path, weight in by_path(layer).items()
            if not np.array_equal(before[path], as_array(weight))
        }
        assert moved == {"moving_mean", "moving_variance"}

    def test_unknown_batch_height_and_width(self, kind, rng):
        layer = LAYERS[kind]()
        image = keras.Input((None, None, 6))
        model = keras.Model(image, layer(image))
        randomize(layer, rng)
        channels = 4 if kind == "conv" else 6
        assert model.output_shape == (None, None, None, channels)
        for size in ((4, 7), (1, 1)):
            inputs = rng.normal(size=(2, *size, 6)).astype("float32")
            np.testing.assert_allclose(
                model.predict_on_batch(inputs),
                as_array(run(layer, inputs)),
                atol=1e-4,
            )

    def test_channels_first(self, kind, rng):
        need_channels_first()
        layer = LAYERS[kind]()
        inputs = prepare(layer, rng)
        first = LAYERS[kind](data_format="channels_first")
        moved = np.moveaxis(inputs, -1, 1)
        first.build(moved.shape)
        first.set_weights(layer.get_weights())
        np.testing.assert_allclose(
            as_array(run(first, moved)),
            np.moveaxis(as_array(run(layer, inputs)), -1, 1),
            atol=1e-5,
        )

    def test_channels_must_be_known(self, kind):
        with pytest.raises(ValueError, match=r"known number of channels|channel"):
            LAYERS[kind]().build((None, 4, 4, None))


def small(attention, **options):
    arguments = {"input_shape": (8, 8, 3), "classes": 3, "stem_width": 4}
    return applications.ResNet(
        (1, 2), (4, 8), "basic", stem="cifar", attention=attention,
        **{**arguments, **options},
    )  # fmt: skip


class TestSupernet:
    SPACE = search_space("sscbam", reduction_ratio=2, aw=True)

    def test_variables_are_split_in_the_networks_order(self):
        model = small(self.SPACE.spec())
        blocks = ["stage1_block1", "stage2_block1", "stage2_block2"]
        assert [layer.name for layer in mixed_layers(model, "block")] == [
            f"{block}_attention" for block in blocks
        ]
        assert [layer.name for layer in mixed_layers(model, "conv")] == [
            f"{block}_conv{i}" for block in blocks for i in (1, 2)
        ]
        alphas = architecture_variables(model)
        assert [v.path for v in alphas] == [
            f"{x.name}/alpha" for x in mixed_layers(model)
        ]
        assert [v.shape for v in architecture_variables(model, "block")] == [(5,)] * 3
        assert [v.shape for v in architecture_variables(model, "conv")] == [(2,)] * 6

    def test_no_supernet(self):
        for model, site in ((small(None), None), (small(MixedCBAMSpec(2)), "conv")):
            with pytest.raises(ValueError, match=r"no mixed layers.*\.spec\(\)"):
                architecture_variables(model, site)
        with pytest.raises(ValueError, match=r"site.*'blocks'.*'block'"):
            mixed_layers(small(MixedCBAMSpec(2)), "blocks")

    def test_a_blocks_convolutions_take_one_decision(self):
        """softmax(mean α) = the product of both p, normalised."""
        model = small(self.SPACE.spec())
        values = [[0.3, -0.2], [-0.5, 1.0]]
        for alpha, value in zip(
            architecture_variables(model, "conv"), values, strict=False
        ):
            alpha.assign(value)
        p = [softmax(np.array(value)) for value in values]
        product = np.sqrt(p[0] * p[1])
        found = block_probabilities(model, "conv")
        assert list(found) == ["stage1_block1", "stage2_block1", "stage2_block2"]
        np.testing.assert_allclose(
            found["stage1_block1"], product / product.sum(), rtol=1e-6
        )
        np.testing.assert_allclose(found["stage2_block2"], [0.5, 0.5])

    def test_a_mobilenets_blocks_have_two_alphas_and_its_stem_one(self):
        model = applications.MobileNet(
            (32, 32, 3), alpha=0.25, attention=search_space(["none", "eca"]).spec()
        )
        assert len(mixed_layers(model)) == 1 + 2 * 13
        blocks = list(block_probabilities(model))
        assert blocks[:3] == ["stem", "stage1_block1", "stage2_block1"]
        assert len(blocks) == 14

    def test_alphas_are_restored_with_the_network(self, rng, tmp_path):
        model = small(self.SPACE.spec())
        randomize(model, rng)
        model.save(tmp_path / "supernet.keras")
        copy = keras.saving.load_model(tmp_path / "supernet.keras")
        pairs = zip(
            architecture_variables(copy), architecture_variables(model), strict=True
        )
        for theirs, ours in pairs:
            np.testing.assert_array_equal(as_array(theirs), as_array(ours))
            assert np.abs(as_array(ours)).min() > 0
        images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
        np.testing.assert_allclose(
            as_array(run(copy, images)), as_array(run(model, images)), atol=1e-6
        )

    @pytest.mark.parametrize(
        "mixture",
        [MixedCBAMSpec(), MixedAttentionSpec(("none", "se")), MixedConvSpec()],
        ids=str,
    )
    def test_specs_are_for_networks_and_not_for_files(self, mixture):
        from keras_attention import names

        assert mixture.name not in names()
        with pytest.raises(ValueError, match="no form for files"):
            mixture.to_dict()
