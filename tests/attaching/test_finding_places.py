"""Where an attention goes in networks whose answers are known by hand."""

import re

import hand_made
import keras
import pytest
from hand_made import producers
from keras import layers

from keras_attention import spec
from keras_attention.attaching import attach, placements
from keras_attention.attaching.graph import Graph
from keras_attention.attaching.residuals import residual_additions
from keras_attention.attaching.stages import stage_ends


def places(model, attention, where=None):
    return [one.place for one in placements(attach(model, attention, where, False))]


def behind(*names):
    return [f"behind {name!r}" for name in names]


def instead(*names):
    return [f"in place of {name!r}" for name in names]


def ends(x, image, name="model"):
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), name=name)


class TestResidualBranches:
    def test_the_way_with_more_convolutions(self):
        model = attach(hand_made.residual(), "se")
        assert producers(model, "b1_add") == ["stem_relu", "b1_add_se"]
        assert producers(model, "b2_add") == ["b2_add_se", "b2_shortcut"]
        assert producers(model, "b3_add") == ["b3_add_se", "b2_out"]
        assert producers(model, "b3_add_se") == ["b3_last"]

    def test_plus_in_a_pre_activation_network(self):
        before = hand_made.pre_activation()
        model = attach(before, "eca")
        sums = [op.name for op in before.operations if type(op).__name__ == "Add"]
        assert len(sums) == 2
        assert producers(model, f"{sums[0]}_eca") == ["p1_b"]
        assert producers(model, f"{sums[1]}_eca") == ["p2_b"]
        assert producers(model, sums[0]) == ["stem", f"{sums[0]}_eca"]

    @pytest.mark.parametrize("operation", ["layer", "ops", "plus"])
    def test_every_kind_of_addition(self, operation):
        add = {
            "layer": lambda a, b: layers.add([a, b]),
            "ops": keras.ops.add,
            "plus": lambda a, b: a + b,
        }[operation]
        image = keras.Input(hand_made.SHAPE)
        x = hand_made.conv(image, 16, "stem")
        model = ends(add(hand_made.conv(x, 16, "branch"), x), image)
        (placed,) = placements(attach(model, "se"))
        assert producers(attach(model, "se"), placed.layer) == ["branch"]

    def test_others_are_passed_over_with_a_reason(self):
        image = keras.Input(hand_made.SHAPE)
        x = hand_made.conv(image, 16, "stem")
        a, b, c = (hand_made.conv(x, 16, name) for name in "abc")
        three = layers.Add(name="three")([a, b, c])
        tie = layers.Add(name="tie")([a, b])
        wide = layers.Add(name="wide")([x, hand_made.conv(x, 1, "one")])
        low = hand_made.conv(hand_made.conv(x, 16, "down", 3, 2), 16, "deep")
        up = layers.Add(name="up")([layers.UpSampling2D()(low), x])
        deep_a, deep_b = (
            hand_made.conv(hand_made.conv(a, 16, f"{n}1"), 16, f"{n}2") for n in "de"
        )
        deep_b = hand_made.conv(deep_b, 16, "e3")
        both = layers.Add(name="both")([deep_a, deep_b])
        flat = layers.Add(name="flat")(
            [layers.Flatten()(a), layers.Flatten()(hand_made.conv(a, 16, "f"))]
        )
        model = keras.Model(image, [three, tie, wide, up, both, flat])
        found, skipped = residual_additions(Graph(model))
        assert not found
        assert "adds 3 tensors" in skipped["three"]
        assert "both ways to it have 1 convolutions" in skipped["tie"]
        assert "differ in shape" in skipped["wide"]
        assert "enlarges" in skipped["up"]
        assert "several convolutions, 2 and 3" in skipped["both"]
        assert "no two images" in skipped["flat"]

    def test_two_inputs_have_no_shortcut(self):
        one, two = (keras.Input((8, 8, 16), name=name) for name in ("one", "two"))
        x = layers.Add(name="joined")([hand_made.conv(one, 16, "branch"), two])
        _, skipped = residual_additions(Graph(keras.Model([one, two], x)))
        assert skipped == {"joined": "its inputs have no common origin"}


class TestBySite:
    def test_stages_of_a_residual_network(self):
        assert places(hand_made.residual(), "bam") == behind("b1_out")

    def test_stages_of_a_plain_network(self):
        wanted = behind("conv1_2", "conv2_2")
        assert places(hand_made.vgg(), "bam") == wanted
        assert places(hand_made.vgg(), "se") == wanted  # which has no additions

    def test_a_stem_is_no_stage(self):
        image = keras.Input((32, 32, 3))
        x = layers.MaxPooling2D()(hand_made.conv(image, 16, "stem"))
        for stage in (1, 2):
            x = hand_made.conv(x, 16, f"down{stage}", 3, stage)
            x = layers.Add(name=f"add{stage}")([hand_made.conv(x, 16, f"c{stage}"), x])
        assert places(ends(x, image), "bam") == behind("add1")

    def test_crossed_ways_have_no_stage_end(self):
        """As in NASNet: the lower resolution is reached from two images at once."""
        image = keras.Input(hand_made.SHAPE)
        x = hand_made.conv(image, 16, "stem")
        ways = [hand_made.conv(x, 16, name, 3, 2) for name in "ab"]
        low = [hand_made.conv(y, 16, f"low{i}", 3, 2) for i, y in enumerate(ways)]
        assert places(ends(layers.Concatenate()(low), image), "bam") == behind("stem")

    def test_an_input_that_is_prepared_is_no_stage(self):
        assert stage_ends(Graph(hand_made.nested())) == []

    def test_padding_and_squeezes_end_no_stage(self):
        image = keras.Input((None, None, 3))
        x = hand_made.conv(image, 16, "stem")
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = hand_made.conv(gate, 16, "gate", 1, activation="sigmoid")
        x = layers.Multiply(name="gated")([x, gate])
        x = layers.ZeroPadding2D(name="padded")(x)
        x = layers.Conv2D(16, 3, strides=2, name="down")(x)
        x = layers.GlobalMaxPooling2D(keepdims=True)(x)
        model = keras.Model(image, hand_made.conv(x, 4, "top", 1))
        assert places(model, "bam") == behind("gated")

    def test_spatial_convolutions_but_the_stem(self):
        names = ["b1_a", "b1_b", "b2_a", "b2_b", "b3_a", "b3_b"]
        assert places(hand_made.residual(), "aw") == instead(*names)

    def test_pointwise_ones_where_no_other_is(self):
        image = keras.Input(hand_made.SHAPE)
        x = hand_made.conv(image, 8, "stem")
        x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
        x = hand_made.conv(x, 16, "point", 1)
        x = hand_made.conv(x, 16, "grouped", groups=16)
        gate = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(x))
        x = x * hand_made.conv(gate, 16, "gate", 1)
        assert places(ends(x, image), "aw") == instead("point")

    def test_each_attention_at_its_own(self):
        model = attach(hand_made.residual(), "aw_se_bam")
        kinds = {layer.name: type(layer).__name__ for layer in model.layers}
        assert kinds["b2_a"] == "AWConv2D"
        assert kinds["b2_add_se"] == "SqueezeExcitation"
        assert kinds["b1_out_bam"] == "BAM"

    def test_narrow_places_are_passed_over(self):
        wide = spec("se", reduction_ratio=20)
        model = attach(hand_made.residual(), wide)
        found = placements(model)
        assert [one.layer for one in found] == ["b2_add_se", "b3_add_se"]
        assert "received 20 for 16 channels" in found.skipped["b1_add"]
        assert "b1_add: nothing, as `reduction_ratio`" in str(found)
        with pytest.raises(ValueError, match="before 'b3_add': .*99 for 32 channels"):
            attach(hand_made.residual(), spec("se", reduction_ratio=99))

    def test_models_in_models(self):
        model = hand_made.nested()
        adds = [f"body/b{i}_add" for i in (1, 2, 3)]
        assert places(model, "se") == [f"before {name!r}" for name in adds]
        assert places(model, "bam") == behind("body/b1_out")
        assert places(model, "aw")[0] == "in place of 'body/b1_a'"


class TestByWhere:
    def test_positions(self):
        model = hand_made.residual()
        adds = ["b1_add", "b2_add", "b3_add"]
        assert places(model, "se", "after_add") == behind(*adds)
        assert places(model, "bam", "before_add") == [f"before {n!r}" for n in adds]
        assert places(model, "se", "between_stages") == behind("b1_out")

    @pytest.mark.parametrize(
        "where",
        [
            ["b3_out", "b2_out"],
            re.compile("b[23]_out"),
            lambda layer: isinstance(layer, layers.ReLU) and layer.name[1] in "23",
        ],
        ids=["names", "expression", "function"],
    )
    def test_layers(self, where):
        model = hand_made.residual()
        if callable(where):
            assert places(model, "se", lambda x: where(x) and x.name.endswith("out"))
        else:
            assert places(model, "se", where) == behind("b2_out", "b3_out")

    def test_one_name_and_what_stands_behind(self):
        model = attach(hand_made.residual(), "se", "b2_out")
        assert producers(model, "b2_out_se") == ["b2_out"]
        assert producers(model, "b3_a") == ["b2_out_se"]
        assert producers(model, "b3_add") == ["b3_last", "b2_out_se"]

    def test_a_name_in_a_nested_model(self):
        model = attach(hand_made.nested(), "se", "body/b2_out")
        assert producers(model.get_layer("body"), "b3_a") == ["b2_out_se"]

    def test_a_convolution_by_name_may_be_the_stem(self):
        assert places(hand_made.residual(), "aw", "stem") == instead("stem")

    def test_a_dict_by_site(self):
        model = hand_made.residual()
        found = places(model, "aw_se", {"conv": "b3_a"})
        assert found[0] == "in place of 'b3_a'"
        assert found[1:] == [f"before 'b{i}_add'" for i in (1, 2, 3)]

    def test_names_do_not_clash(self):
        model = attach(hand_made.residual(), "se", "b2_out")
        model = attach(model, "se", "b2_out", identity_start=False)
        assert producers(model, "b2_out_se_1") == ["b2_out"]
        assert [one.layer for one in placements(model)] == ["b2_out_se", "b2_out_se_1"]

    def test_a_variant_has_its_own_name(self):
        model = attach(hand_made.residual(), "cbam_reverse", "b2_out")
        assert model.get_layer("b2_out_cbam_reverse").order == "spatial_channel"
        model = attach(hand_made.residual(), spec("se", reduction_ratio=4), "b2_out")
        assert model.get_layer("b2_out_se").reduction_ratio == 4


class TestErrors:
    def check(self, match, attention, where=None, model=None, **options):
        with pytest.raises(ValueError, match=match):
            attach(model or hand_made.residual(), attention, where, **options)

    def test_an_unknown_name_has_the_nearest(self):
        self.check("'b2_aadd'. Choose from: 'b2_add'", "se", "b2_aadd")
        self.check(
            "'b2_out'. Choose from: .*'body/b2_out'", "se", "b2_out", hand_made.nested()
        )

    def test_nothing_matched_lists_what_is_there(self):
        none = re.compile("conv99")
        self.check("finds no place.*conv99.*behind 'stem', 'stem_norm'", "se", none)
        self.check("in place of 'stem', 'b1_a'", "aw", none)
        self.check("finds no place", "se", lambda layer: False)
        self.check("finds no place", "se", [])

    def test_nothing_to_stand_at_by_site(self):
        image = keras.Input(hand_made.SHAPE)
        x = hand_made.conv(image, 16, "only")
        tie = layers.Add(name="tie")([hand_made.conv(x, 16, n) for n in "ab"])
        model = ends(tie, image)
        self.check("Passed over:\n  'tie': both ways", "se", model=model)
        self.check("finds no place.*\\[?'only'", "bam", model=model)
        self.check("finds no place", "aw", model=ends(x, image))

    def test_a_place_that_cannot_take_it(self):
        self.check("behind 'top': .*no 4-D image.*\\(None, 5\\)", "se", "top")
        self.check("in place of 'top': a Dense is no Conv2D", "aw", "top")
        self.check(
            "behind 'b1_add': .*reduction_ratio",
            spec("se", reduction_ratio=99),
            "b1_add",
        )
        self.check("cannot stand at 'after_add'", "aw", "after_add")

    def test_a_depthwise_convolution_and_a_subclass(self):
        class Standardized(layers.Conv2D):
            pass

        image = keras.Input(hand_made.SHAPE)
        x = layers.DepthwiseConv2D(3, name="depthwise")(image)
        x = Standardized(16, 3, name="own")(x)
        model = ends(x, image)
        self.check("'depthwise': a depthwise convolution", "aw", "depthwise", model)
        self.check("'own': a Standardized may compute", "aw", "own", model)
        self.check("Passed over:\n  'own': a Standardized", "aw", model=model)

    def test_unknown_channels(self):
        image = keras.Input((8, 8, None))
        model = keras.Model(image, layers.ReLU(name="relu")(image))
        self.check("channels of its channels_last image", "se", "relu", model)

    def test_augmented_convolutions_take_no_kernel(self):
        self.check("aa cannot stand in place of 'b1_a'.*fewer filters", "aa")

    def test_one_where_for_several(self):
        self.check("there are 2: aw, se.*Give a dict by site", "aw_se", "b1_a")
        self.check("Unknown site in `where`: received 'stage'", "se", {"stage": "x"})

    def test_types(self):
        self.check("no attention to attach", None)
        self.check("`where` takes None", "se", 7)
        self.check("must be a `keras.Model`", "se", model=layers.ReLU())
        self.check("is not built", "se", model=keras.Sequential([layers.ReLU()]))

    def test_models_of_unknown_structure(self):
        class Own(keras.Model):
            def call(self, inputs):
                return inputs

        model = Own()
        model(hand_made.images())
        self.check("of the class Own, whose structure is not known", "se", model=model)

    def test_quantized_models(self):
        model = hand_made.residual()
        model.get_layer("top").quantize("int8")
        self.check("'top' is quantized", "se", model=model)

    def test_placements_of_another_model(self):
        with pytest.raises(ValueError, match="'residual' is none that `attach`"):
            placements(hand_made.residual())
