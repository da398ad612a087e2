"""The tuner's search space, and that it trains as recipes do."""

from dataclasses import dataclass

import keras
import keras_tuner
import numpy as np
import pytest

from keras_attention import applications, training
from keras_attention.attention import AttentionSpec, names, register, spec, unregister
from keras_attention.data import load
from keras_attention.layers import SqueezeExcitation
from keras_attention.tuning.hypermodel import AttentionHyperModel, all_attentions

RECIPE = training.recipe("quick", epochs=2, batch_size=32)
SGD = {"optimizer": "sgd", "sgd_learning_rate": RECIPE.learning_rate}


@pytest.fixture(scope="module")
def digits():
    return load("digits", limit=96, seed=1)


def hypermodel(digits, *models, **options):
    options = {"attentions": ("none", "se", "cbam", "aw", "bam")} | options
    return AttentionHyperModel(models or ("cifarresnet-8",), digits, RECIPE, **options)


def values(**given):
    """Hyperparameters with these values, as a trial has them."""
    hp = keras_tuner.HyperParameters()
    hp.values = {"model": "cifarresnet-8", **SGD, **given}
    return hp


NOTHING = {f"{site}_attention": "none" for site in ("block", "conv", "stage")}
EVERYTHING = {
    "block_attention": "cbam",
    "block_reduction_ratio": 8,
    "block_spatial_kernel_size": 3,
    "block_placement": "1+3",
    "conv_attention": "aw",
    "conv_reduction_ratio": 4,
    "conv_placement": "2",
    "stage_attention": "bam",
    "stage_reduction_ratio": 16,
    "stage_placement": "1",
}


def space_of(model):
    hp = keras_tuner.HyperParameters()
    model.declare_hyperparameters(hp)
    return hp.space


def test_the_space_has_a_choice_for_each_site(digits):
    space = {
        p.name: p.values
        for p in space_of(hypermodel(digits))
        if not p.name.endswith("learning_rate")
    }
    stages = ["1+2+3", "1+2", "1+3", "2+3", "1", "2", "3"]
    assert space == {
        "model": ["cifarresnet-8"],
        "block_attention": ["none", "se", "cbam"],
        "block_reduction_ratio": [4, 8, 16],
        "block_spatial_kernel_size": [3, 5, 7],
        "block_placement": stages,
        "conv_attention": ["none", "aw"],
        "conv_reduction_ratio": [4, 8, 16],
        "conv_placement": stages,
        "stage_attention": ["none", "bam"],
        "stage_reduction_ratio": [4, 8, 16],
        # Nothing stands after the last stage.
        "stage_placement": ["1+2", "1", "2"],
        "optimizer": ["sgd", "adam"],
    }


def test_an_option_is_there_where_the_attention_has_it(digits):
    conditions = {
        p.name: {c.name: c.values for c in p.conditions if c.name != "model"}
        for p in space_of(
            hypermodel(digits, attentions=("none", "se", "cbam", "eca", "spatial"))
        )
    }
    assert conditions["block_reduction_ratio"] == {"block_attention": ["se", "cbam"]}
    # Not ECA's: its kernel runs over channels, and follows from their number.
    assert conditions["block_spatial_kernel_size"] == {
        "block_attention": ["cbam", "spatial"]
    }
    assert conditions["block_placement"] == {
        "block_attention": ["se", "cbam", "eca", "spatial"]
    }


def test_learning_rates_follow_the_optimizer(digits):
    ranges = {
        p.conditions[0].values[0]: (p.min_value, p.max_value, p.sampling)
        for p in space_of(hypermodel(digits))
        if p.name.endswith("learning_rate")
    }
    low, high, sampling = ranges["sgd"]
    assert (low, high) == pytest.approx((0.005, 0.15)) and sampling == "log"
    assert ranges["adam"] == (1e-4, 1e-2, "log")


def test_networks_with_other_numbers_of_stages(digits):
    model = hypermodel(digits, "cifarresnet-8", "mobilenet-0.25", attentions=("se",))
    placements = {
        tuple(p.conditions[0].values): len(p.values)
        for p in space_of(model)
        if p.name.startswith("block_placement")
    }
    assert placements == {("cifarresnet-8",): 2**3 - 1, ("mobilenet-0.25",): 2**5 - 1}


def test_what_the_values_stand_for_is_built(digits):
    model = hypermodel(digits, "cifarresnet-14")
    network = model.build(values(model="cifarresnet-14", **EVERYTHING))
    found = {
        layer.name: (type(layer).__name__, layer.get_config()["reduction_ratio"])
        for layer in network.layers
        if "reduction_ratio" in layer.get_config()
    }
    assert found == {
        "stage1_block1_attention": ("CBAM", 8),
        "stage1_block2_attention": ("CBAM", 8),
        "stage1_attention": ("BAM", 16),
        "stage2_block1_conv1": ("AWConv2D", 4),
        "stage2_block1_conv2": ("AWConv2D", 4),
        "stage2_block2_conv1": ("AWConv2D", 4),
        "stage2_block2_conv2": ("AWConv2D", 4),
        "stage3_block1_attention": ("CBAM", 8),
        "stage3_block2_attention": ("CBAM", 8),
    }
    config = network.get_layer("stage3_block1_attention").get_config()
    assert config["spatial_kernel_size"] == 3


def test_the_genotype_gives_the_same_network(digits):
    model = hypermodel(digits)
    hp = values(**EVERYTHING)
    genotype = model.genotype(hp)
    assert genotype.operations == (
        "cbam(reduction_ratio=8, spatial_kernel_size=3) + bam",
        "aw(reduction_ratio=4)",
        "cbam(reduction_ratio=8, spatial_kernel_size=3)",
    )
    again = applications.CifarResNet(
        8, attention=genotype, input_shape=(8, 8, 1), classes=10
    )
    shapes = [w.shape for w in again.weights]
    assert [w.shape for w in model.build(hp).weights] == shapes


def test_whatever_is_proposed_builds_or_says_why_not(digits, tmp_path):
    """Both optimizers, and networks with three and five stages."""
    networks = ("cifarresnet-8", "wideresnet-10-1", "mobilenet-0.25")
    model = hypermodel(digits, *networks, attentions=None)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        keras_tuner.Objective("val_loss", "min"), max_trials=100, seed=1
    )
    oracle._set_project_dir(str(tmp_path), "trials")
    space = oracle.get_space()
    model.declare_hyperparameters(space)
    oracle.update_space(space)
    built, seen = 0, set()
    for number in range(20):
        hp = oracle.create_trial(str(number)).hyperparameters
        placed = model.genotype(hp)
        seen |= {hp.get("optimizer"), hp.get("model")}
        for site in model.sites:
            # One each, whatever it is called.
            (name,) = valued(hp, f"{site}_attention")
            (stages,) = valued(hp, f"{site}_placement") if name != "none" else [""]
            there = {
                block[5]
                for block, entry in zip(placed.blocks, placed, strict=True)
                for each in (entry if isinstance(entry, tuple) else (entry,))
                if each is not None and each.site == site
            }
            assert there == set(stages.split("+")) - {""}
        if number >= 8:  # takes a second each
            continue
        try:
            built += model.build(hp).built
        except keras_tuner.errors.FailedTrialError as error:
            assert "cannot be built so:" in str(error) and "\n" not in str(error)
    assert built >= 6 and seen == {"sgd", "adam", *networks}


def valued(hp, start):
    return [value for name, value in hp.values.items() if name.startswith(start)]


def test_what_cannot_be_built_is_a_failed_trial(digits):
    model = hypermodel(digits, reduction_ratios=(64,))
    given = NOTHING | {
        "block_attention": "se",
        "block_reduction_ratio": 64,
        "block_placement": "1",
    }
    with pytest.raises(keras_tuner.errors.FailedTrialError) as caught:
        model.build(values(**given))
    assert "`reduction_ratio` leaves no hidden unit" in str(caught.value)


def test_a_loss_that_is_not_finite_is_a_failed_trial(digits):
    model = hypermodel(digits)
    hp = values(**NOTHING | {"sgd_learning_rate": 1e30})
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="learning rate"):
        model.fit(hp, model.build(hp), verbose=0)


def test_trains_as_the_recipe_does(digits, tmp_path):
    model = hypermodel(digits, seed=3)
    hp = values(**NOTHING)
    network = model.build(hp)
    history = model.fit(hp, network, verbose=0).history
    request = training.Request(model="cifarresnet-8", data="digits", seed=3)
    other = request.build(digits)
    rows = training.fit(other, digits, RECIPE, out=tmp_path / "x", seed=3, verbose=0)
    for name in ("loss", "val_loss", "val_top1_error"):
        assert history[name] == pytest.approx([row[name] for row in rows], rel=1e-4)
    count = sum(int(np.prod(w.shape)) for w in other.trainable_weights)
    assert history["parameters"] == [count] * 2


def test_going_on_from_a_checkpoint_is_one_run(digits, tmp_path):
    """As Hyperband does it: new network, weights loaded, later epochs."""
    model = hypermodel(digits)
    hp = values(**NOTHING)
    whole = model.build(hp)
    model.fit(hp, whole, verbose=0)
    first = model.build(hp)
    model.fit(hp, first, epochs=1, verbose=0)
    first.save_weights(tmp_path / "checkpoint.weights.h5")
    second = model.build(hp)
    second.load_weights(tmp_path / "checkpoint.weights.h5")
    # The checkpoint may be that of an earlier epoch, by its count of steps.
    second.optimizer.iterations.assign(0)
    model.fit(hp, second, epochs=2, initial_epoch=1, verbose=0)
    for a, b in zip(whole.weights, second.weights, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(a),
            keras.ops.convert_to_numpy(b),
            rtol=1e-4,
            atol=1e-5,
            err_msg=a.path,
        )


def test_adam_has_its_own_rate(digits):
    model = hypermodel(digits)
    given = NOTHING | {"optimizer": "adam", "adam_learning_rate": 1e-3}
    optimizer = model.build(values(**given)).optimizer
    assert isinstance(optimizer, keras.optimizers.Adam)
    # The recipe's cosine from there; the first step has all of it.
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)


def test_half_precision(digits):
    model = hypermodel(digits, dtype="mixed_float16")
    network = model.build(values(**NOTHING))
    assert network.get_layer("stage1_block1_conv1").compute_dtype == "float16"
    # Through the wrapper that scales the loss.
    model.fit(None, network, epochs=2, initial_epoch=1, verbose=0)
    assert int(network.optimizer.iterations) == 2 * digits.steps_per_epoch(32)


def test_every_registered_attention_is_a_choice(digits):
    @register("made_up", site="block", layer=SqueezeExcitation)
    @dataclass(frozen=True)
    class MadeUp(AttentionSpec):
        reduction_ratio: int = 16

    try:
        model = hypermodel(digits, attentions=None)
        assert "made_up" in model.sites["block"]
        assert {"aw", "aa"} < set(model.sites["conv"])
        assert model.sites["stage"] == ["none", "bam"]
        given = NOTHING | {
            "block_attention": "made_up",
            "block_reduction_ratio": 4,
            "block_placement": "2",
        }
        network = model.build(values(**given))
        assert network.get_layer("stage2_block1_attention").reduction_ratio == 4
    finally:
        unregister("made_up")


def test_two_names_for_one_attention_are_one_choice():
    listed = all_attentions()
    assert listed[0] == "none"
    specs = [spec(name) for name in listed[1:]]
    assert len(set(specs)) == len(specs)
    assert set(specs) == {spec(name) for name in names()}
    assert len({"channel", "cbam_maxpool"} & set(listed)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attentions": ("sse",)}, "received 'sse'.*'se'"),
        ({"attentions": ("aw_se",)}, "received 'aw_se'"),
        ({"attentions": ()}, "`attentions` must be a list"),
        ({"attentions": ("se", "se")}, "different values"),
        ({"attentions": "se"}, "`attentions` must be a list.*'se'"),
        ({"spatial_kernel_sizes": (4,)}, "must be odd"),
        ({"reduction_ratios": (0,)}, "`reduction_ratios` must be an integer"),
        ({"optimizers": ("adamm",)}, "received 'adamm'.*'adam'"),
    ],
)
def test_wrong_arguments_are_named(digits, options, message):
    with pytest.raises(ValueError, match=message):
        hypermodel(digits, **options)


def test_networks_that_do_not_fit_are_named(digits):
    with pytest.raises(ValueError, match="received 'resnet19'"):
        hypermodel(digits, "resnet19")
    with pytest.raises(ValueError, match="By block use WideResNet"):
        hypermodel(digits, "aawideresnet-10-1")


def test_validation_images_are_needed():
    data = load("digits", limit=96, validation=0)
    with pytest.raises(ValueError, match="digits has none.*validation=0.1"):
        hypermodel(data)
