"""Names, specs and plans: what is read, where it is put, and what is refused."""

import json
from dataclasses import FrozenInstanceError, dataclass

import keras
import pytest

import keras_attention
from keras_attention.attention import (
    AttentionSpec,
    PerConv,
    as_spec,
    as_specs,
    names,
    parse,
    register,
    spec,
    unregister,
)
from keras_attention.layers import (
    AA,
    AW,
    ECA,
    SE,
    BAMSpec,
    CBAMSpec,
    ChannelAttentionSpec,
    MVAMSpec,
)
from keras_attention.plan import AttentionPlan

STAGES = (1, 2, 1)
BLOCKS = ("stage1_block1", "stage2_block1", "stage2_block2", "stage3_block1")


class TestNames:
    def test_registered_by_site(self):
        assert names("conv") == ["aa", "aw"]
        assert names("stage") == ["bam"]
        assert set(names()) == {n for s in ("conv", "block", "stage") for n in names(s)}
        assert names() == sorted(names()) == keras_attention.names()
        assert {"se", "eca", "cbam", "mvam", "bam_block"} <= set(names("block"))

    def test_unknown_site(self):
        with pytest.raises(ValueError, match=r"site.*'head'.*'block'.*'conv'.*'stage'"):
            names("head")

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("se", (SE(),)),
            ("aw_se", (AW(), SE())),
            ("se_aw", (SE(), AW())),
            # Both "cbam" and "cbam_spatial" are names, and "spatial" too.
            ("cbam_spatial", (CBAMSpec(channel_pooling=("avg",)),)),
            ("aw_cbam_spatial", (AW(), CBAMSpec(channel_pooling=("avg",)))),
            ("aw_cbam_maxpool", (AW(), ChannelAttentionSpec())),
            ("aw_cbam_bam", (AW(), CBAMSpec(), BAMSpec())),
            ("bam_mvam_parallel", (BAMSpec(), MVAMSpec(order="parallel"))),
            ("aa_eca", (AA(), ECA())),
        ],
    )
    def test_composed_names_parse_longest_first(self, name, expected):
        assert parse(name) == expected == as_specs(name)

    @pytest.mark.parametrize(
        ("name", "rest", "nearest"),
        [
            ("aw_cbamm", "cbamm", "cbam"),
            ("cbamm", "cbamm", "cbam"),
            ("aw_see", "see", "se"),
            ("seaw", "seaw", "se"),
            ("mvam_paralel", "paralel", None),
            ("SE", "SE", None),
            ("aw__se", "_se", "se"),
        ],
    )
    def test_unknown_part_lists_the_nearest_first(self, name, rest, nearest):
        with pytest.raises(ValueError, match="Unknown attention") as caught:
            parse(name)
        message = str(caught.value)
        assert f"received {rest!r}" in message
        for known in names():
            assert repr(known) in message
        if nearest:
            assert f"Choose from: {nearest!r}" in message
        if rest != name:
            assert repr(name) in message

    @pytest.mark.parametrize("name", ["", "_", "aw_", "_aw"])
    def test_nothing_between_underscores(self, name):
        with pytest.raises(ValueError, match="Unknown attention"):
            parse(name)

    @pytest.mark.parametrize(
        ("attention", "site"),
        [("se_cbam", "block"), ("aa_aw", "conv"), ([SE(), ECA()], "block")],
    )
    def test_two_at_one_site(self, attention, site):
        with pytest.raises(ValueError, match=f"Two attentions at one site.*{site}"):
            as_specs(attention)


class TestSpecs:
    def test_options_override_the_names(self):
        assert spec("cbam_parallel", reduction_ratio=8) == CBAMSpec(8, "parallel")
        assert spec("cbam_spatial", channel_pooling=["max"]).channel_pooling == ("max",)

    def test_unknown_option_lists_the_known(self):
        message = "option.*'se'.*'ratio'.*'reduction_ratio'.*'use_bias'"
        with pytest.raises(ValueError, match=message):
            spec("se", ratio=8)

    def test_a_spec_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            SE().reduction_ratio = 8
        assert len({SE(), SE(16), SE(8)}) == 2

    @pytest.mark.parametrize(
        "attention",
        [
            SE(reduction_ratio=8),
            ECA(kernel_size=5),
            CBAMSpec(order="parallel", channel_pooling=("avg", "var")),
            AW(channel_sharing=4, combine="product"),
            AA(key_depth=40, conv_attention=AW(reduction_ratio=4)),
            AA(qkv_attention="aw"),
            BAMSpec(dilation_rate=2),
        ],
        ids=str,
    )
    def test_dict_through_json_and_back(self, attention):
        text = json.dumps(attention.to_dict())
        (copy,) = as_specs(json.loads(text))
        assert copy == attention and hash(copy) == hash(attention)
        assert json.dumps(copy.to_dict()) == text

    def test_dicts_in_a_list(self):
        dicts = [AW(4).to_dict(), SE(8).to_dict()]
        assert as_specs(json.loads(json.dumps(dicts))) == (AW(4), SE(8))

    def test_text(self):
        """The name where there is one, else what differs from the defaults."""
        assert str(SE()) == "se"
        assert str(CBAMSpec(order="parallel")) == "cbam_parallel"
        assert str(SE(reduction_ratio=8)) == "se(reduction_ratio=8)"
        assert str(PerConv((AA(), None))) == "aa then plain"

    @pytest.mark.parametrize("attention", [3, 0.5, True, object(), {"ratio": 3}, b"se"])
    def test_wrong_types(self, attention):
        with pytest.raises(ValueError, match=r"`attention` takes.*Received.*of type"):
            as_specs(attention)

    def test_the_layer_checks_the_values(self):
        for ratio in (0, "16", 2.5):
            with pytest.raises(ValueError, match=f"`reduction_ratio`.*{ratio}"):
                SE(reduction_ratio=ratio).make()

    def test_as_spec_wants_one_of_its_site(self):
        assert as_spec("aw", "conv") == AW()
        assert as_spec(None, "conv") is None
        for wrong in ("se", "aw_se"):
            with pytest.raises(
                ValueError, match=r"one attention of site 'conv'.*aa, aw"
            ):
                as_spec(wrong, "conv")


@dataclass(frozen=True)
class Extra(AttentionSpec):
    size: int = 1


class TestRegister:
    @pytest.mark.parametrize(
        "name", ["Extra", "extra_", "_extra", "ex__tra", "", "ex-tra", "ex tra", 3]
    )
    def test_malformed_names(self, name):
        with pytest.raises(ValueError, match="lower-case letters"):
            register(name, site="block", layer=keras.layers.Layer)

    def test_unknown_site(self):
        with pytest.raises(ValueError, match=r"site.*'blocks'.*'block'"):
            register("extra", site="blocks", layer=keras.layers.Layer)

    @pytest.mark.parametrize("variants", [None, {"cbam_parallel": {}}])
    def test_a_name_cannot_be_taken_twice(self, variants):
        name = "extra" if variants else "se"
        with pytest.raises(ValueError, match=r"registered already.*Choose another"):
            register(name, site="block", layer=keras.layers.Layer, variants=variants)
        assert "extra" not in names()

    def test_misspelt_variant_fails_and_leaves_no_name(self):
        before = names()
        decorate = register(
            "extra",
            site="block",
            layer=keras.layers.Layer,
            variants={"extra_big": {"sise": 3}},
        )
        with pytest.raises(TypeError, match="sise"):
            decorate(Extra)
        left = set(names()) - set(before)
        for name in left:
            unregister(name)
        assert not left, "a failed registration must not take names"

    def test_unregister_takes_the_variants_along(self):
        before = names()
        register(
            "extra",
            site="block",
            layer=keras.layers.Layer,
            variants={"extra_big": {"size": 3}},
        )(Extra)
        assert spec("extra_big") == Extra(3)
        unregister("extra_big")
        assert names() == before


class TestPlan:
    def placed(self, plan, site):
        return {name: getattr(plan[name], site) for name in plan.blocks}

    def test_none_places_nothing(self):
        plan = AttentionPlan(None, STAGES)
        assert plan.blocks == BLOCKS
        for name in BLOCKS:
            assert (plan[name].conv, plan[name].block, plan[name].stage) == (None,) * 3
        assert str(plan).count("none") == 4

    @pytest.mark.parametrize("attention", ["aw_se", (AW(), SE()), [AW(), SE()]])
    def test_one_for_all_blocks(self, attention):
        plan = AttentionPlan(attention, STAGES)
        assert set(self.placed(plan, "conv").values()) == {AW()}
        assert set(self.placed(plan, "block").values()) == {SE()}
        assert set(self.placed(plan, "stage").values()) == {None}
        assert not plan["stage1_block1"].explicit

    def test_stage_site_is_between_stages_only(self):
        plan = AttentionPlan("bam", STAGES)
        assert self.placed(plan, "stage") == dict(
            zip(BLOCKS, (BAMSpec(), None, BAMSpec(), None), strict=True)
        )

    def test_one_stage_has_nowhere_between(self):
        with pytest.raises(ValueError, match="one stage only"):
            AttentionPlan("bam", (3,))

    def test_list_with_an_entry_per_block(self):
        plan = AttentionPlan(["se", None, "aw_bam", CBAMSpec(8)], STAGES)
        blocks = self.placed(plan, "block")
        assert list(blocks.values()) == [SE(), None, None, CBAMSpec(8)]
        assert plan["stage2_block2"].conv == AW()
        assert plan["stage2_block2"].stage == BAMSpec()
        assert plan["stage2_block2"].explicit
        assert not plan["stage2_block1"].explicit

    def test_stage_site_by_block_needs_a_stages_last_block(self):
        for entries in (["bam", None, None, None], [None, None, "bam", None]):
            AttentionPlan(entries, STAGES)
        for entries in ([None, "bam", None, None], [None, None, None, "bam"]):
            with pytest.raises(
                ValueError, match=r"bam cannot stand at.*no 'stage' site"
            ):
                AttentionPlan(entries, STAGES)

    @pytest.mark.parametrize("count", [0, 1, 3, 5])
    def test_list_of_another_length(self, count):
        with pytest.raises(
            ValueError, match=f"{count} entries.*4 blocks.*stage3_block1"
        ):
            AttentionPlan(["se"] * count, STAGES)

    def test_specs_of_one_site_as_many_as_blocks_are_per_block(self):
        plan = AttentionPlan([SE(), ECA(), None, SE(8)], STAGES)
        assert list(self.placed(plan, "block").values()) == [SE(), ECA(), None, SE(8)]
        plan = AttentionPlan((SE(), SE(8), SE(4), SE(2)), STAGES)
        assert list(self.placed(plan, "block").values()) == [SE(), SE(8), SE(4), SE(2)]

    def test_two_specs_and_two_blocks_are_ambiguous_in_a_list_only(self):
        with pytest.raises(ValueError, match=r"Ambiguous.*tuple.*dict"):
            AttentionPlan([AW(), SE()], (1, 1))
        plan = AttentionPlan((AW(), SE()), (1, 1))
        assert plan["stage2_block1"].conv == AW()
        assert plan["stage2_block1"].block == SE()

    def test_dict_by_name_and_pattern(self):
        """A name goes before a pattern; other blocks have none."""
        plan = AttentionPlan(
            {"stage2_*": "se", "stage2_block2": None, "stage3_block1": "aw_eca"}, STAGES
        )
        assert list(self.placed(plan, "block").values()) == [None, SE(), None, ECA()]
        assert plan["stage3_block1"].conv == AW()

    def test_pattern_places_stage_sites_at_stage_ends(self):
        plan = AttentionPlan({"stage*": "bam_se"}, STAGES)
        assert list(self.placed(plan, "stage").values()) == [
            BAMSpec(),
            None,
            BAMSpec(),
            None,
        ]
        assert set(self.placed(plan, "block").values()) == {SE()}

    def test_a_stage_site_named_where_there_is_none(self):
        with pytest.raises(ValueError, match="bam cannot stand at 'stage3_block1'"):
            AttentionPlan({"stage3_block1": "bam"}, STAGES)

    @pytest.mark.parametrize("key", ["stage2_block3", "stage4_*", "block1", 2])
    def test_dict_key_that_matches_no_block(self, key):
        with pytest.raises(ValueError, match=r"block in `attention`.*'stage1_block1'"):
            AttentionPlan({key: "se"}, STAGES)

    def test_patterns_that_overlap(self):
        entries = {"stage2_*": "se", "*_block1": "eca"}
        with pytest.raises(ValueError, match=r"Two patterns.*'stage2_block1'"):
            AttentionPlan(entries, STAGES)
        plan = AttentionPlan({**entries, "stage2_block1": "aw"}, STAGES)
        assert plan["stage2_block1"].conv == AW()
        assert plan["stage2_block1"].block is None

    def test_stem(self):
        plan = AttentionPlan("aw_se_bam", STAGES, stem=True)
        assert (plan["stem"].conv, plan["stem"].block, plan["stem"].stage) == (
            None,
            SE(),
            None,
        )
        assert AttentionPlan(["se"] * 4, STAGES, stem=True)["stem"].block is None
        assert AttentionPlan({"stem": "se"}, STAGES, stem=True)["stem"].block == SE()
        with pytest.raises(ValueError, match="aw cannot stand at 'stem'"):
            AttentionPlan({"stem": "aw"}, STAGES, stem=True)
        with pytest.raises(ValueError, match="'stem'"):
            AttentionPlan({"stem": "se"}, STAGES)

    def test_dict_of_one_spec_is_a_spec(self):
        """`{"name": …}` is `AttentionSpec.to_dict`, not a dict by block."""
        plan = AttentionPlan(SE(8).to_dict(), STAGES)
        assert set(self.placed(plan, "block").values()) == {SE(8)}

    def test_per_conv_reaches_its_convolution(self):
        plan = AttentionPlan(PerConv((AA(), AW())), STAGES)
        sites = plan["stage1_block1"]
        assert (sites.conv_at(0, 2), sites.conv_at(1, 2)) == (AA(), AW())
        with pytest.raises(ValueError, match=r"names 2 convolutions.*has 1"):
            sites.conv_at(0, 1)

    def test_attention_augmentation_takes_the_first_convolution(self):
        sites = AttentionPlan("aa", STAGES)["stage1_block1"]
        assert (sites.conv_at(0, 2), sites.conv_at(1, 2)) == (AA(), None)

    def test_text_shows_every_block(self):
        lines = str(AttentionPlan({"stage2_*": "aw_se_bam"}, STAGES)).splitlines()
        assert [line.split()[0] for line in lines] == list(BLOCKS)
        assert lines[2].endswith("aw + se + bam")
        assert lines[1].endswith("aw + se")
        assert lines[0].endswith("none")

    @pytest.mark.parametrize("attention", [7, 0.5, True])
    def test_wrong_types(self, attention):
        with pytest.raises(ValueError, match="`attention` takes"):
            AttentionPlan(attention, STAGES)
        with pytest.raises(ValueError, match="`attention` takes"):
            AttentionPlan([attention] * 4, STAGES)
