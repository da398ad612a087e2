"""Genotypes: their file, their table, and where they pass as `attention=`."""

import copy
import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_attention import applications, names, spec
from keras_attention.layers import AW, ECA, SE, BAMSpec, CBAMSpec
from keras_attention.plan import AttentionPlan
from keras_attention.tuning.genotype import LARGEST_FILE, Genotype, derive
from keras_attention.tuning.mixed import architecture_variables
from keras_attention.tuning.space import search_space

STAGES = (1, 2, 1)
BLOCKS = ("stage1_block1", "stage2_block1", "stage2_block2", "stage3_block1")
SPACE = search_space("sscbam", reduction_ratio=4, aw=AW(8))
ENTRIES = (
    None,
    SPACE.entry(1),
    (AW(8), spec("channel", reduction_ratio=4)),
    AW(8),
)


@pytest.fixture
def genotype():
    found = Genotype.of(SPACE, BLOCKS, (0, 1, 3, 0), (0, 0, 1, 1))
    p = ((0.5, 0.125, 0.125, 0.125, 0.125, 0.75, 0.25),) * 3
    # A block that was not searched on the second axis.
    p += ((*p[0][:5], None, None),)
    candidates = (*SPACE.symbols, *SPACE.conv_symbols)
    return dataclasses.replace(found, candidates=candidates, probabilities=p)


class TestValue:
    def test_of_indices(self, genotype):
        assert genotype.entries == ENTRIES == tuple(genotype)
        assert len(genotype) == 4
        assert genotype[1] == ENTRIES[1]
        aw = "aw(reduction_ratio=8)"
        assert genotype.operations == (
            "Identity",
            "CA⊕SA",
            f"{aw} + CA",
            f"{aw} + Identity",
        )

    def test_it_is_a_value(self, genotype):
        assert copy.deepcopy(genotype) == genotype
        assert hash(genotype) == hash(copy.deepcopy(genotype))
        with pytest.raises(dataclasses.FrozenInstanceError):
            genotype.space = "other"

    def test_entries_are_normalised(self):
        """What `attention=` takes for one block."""
        found = Genotype(
            "any", BLOCKS, (*"ABCD",), ("se", ["aw", "eca"], [], "aw_se_bam")
        )
        assert found.entries == (SE(), (AW(), ECA()), None, (AW(), SE(), BAMSpec()))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"blocks": BLOCKS[:3]}, "3 blocks, 4 operations and 4 entries"),
            ({"operations": "ABC"}, "4 blocks, 3 operations"),
            ({"blocks": (*BLOCKS[:3], BLOCKS[0])}, "twice: 'stage1_block1'"),
            ({"blocks": (1, 2, 3, 4)}, "`blocks` must be a list of names"),
            ({"blocks": "abcd"}, "`blocks` must be a list of names"),
            ({"space": None}, "`space` must be a name"),
            ({"entries": ("sse", None, None, None)}, "'sse'.*'se'"),
            ({"probabilities": ()}, "needs 4 rows.*Received: 0"),
            ({"candidates": ()}, "needs 0 rows.*Received: 4"),
            ({"candidates": ("a",)}, "'stage1_block1' must be 1 numbers"),
            ({"probabilities": ((1.5,) * 7,) * 4}, "numbers from 0 to 1"),
            ({"probabilities": ((float("nan"),) * 7,) * 4}, "numbers from 0 to 1"),
            ({"probabilities": ((True,) * 7,) * 4}, "numbers from 0 to 1"),
        ],
    )
    def test_refused(self, genotype, change, message):
        if "operations" in change:
            change = {"operations": tuple(change["operations"])}
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(genotype, **change)

    def test_one_choice_per_block(self):
        with pytest.raises(ValueError, match="4 blocks, 3 choices and 4 convolutions"):
            Genotype.of(SPACE, BLOCKS, (0, 1, 2))
        with pytest.raises(ValueError, match="no operation 9"):
            Genotype.of(SPACE, BLOCKS, (0, 1, 2, 9))

    def test_table(self, genotype):
        lines = str(genotype).splitlines()
        assert lines[0].split()[:6] == ["block", *SPACE.symbols]
        assert lines[0].endswith("Op")
        assert lines[2].split() == [
            *("stage2_block1", "0.5000", "0.1250", "0.1250", "0.1250", "0.1250"),
            *("0.7500", "0.2500", "CA⊕SA"),
        ]
        assert lines[4].split()[6:8] == ["–", "–"]
        bare = dataclasses.replace(genotype, candidates=(), probabilities=())
        assert str(bare).splitlines()[1].split() == ["stage1_block1", "Identity"]


def content(genotype):
    return json.loads(genotype.to_json())


class TestFile:
    def test_round_trip(self, genotype, tmp_path):
        bare = dataclasses.replace(genotype, candidates=(), probabilities=())
        for value in (genotype, bare):
            assert Genotype.from_json(value.to_json()) == value
            value.save(tmp_path / "genotype.json")
            assert Genotype.load(str(tmp_path / "genotype.json")) == value
        assert [path.name for path in tmp_path.iterdir()] == ["genotype.json"]

    @pytest.mark.parametrize("name", names())
    def test_every_attention_has_a_file_form(self, name):
        found = Genotype("any", ("a", "b"), (name, "none"), (name, None))
        assert Genotype.from_json(found.to_json()) == found

    def test_a_written_out_file(self):
        """The format itself, so that a later version cannot change it unseen."""
        text = """{"format": 1, "space": "sscbam", "candidates": [], "blocks": [
          {"name": "stage1_block1", "operation": "SA", "probabilities": null,
           "attention": {"name": "spatial", "kernel_size": 3,
                         "pooling": ["max", "avg"]}},
          {"name": "stage2_block1", "operation": "Identity",
           "attention": null, "probabilities": null}]}"""
        assert Genotype.from_json(text) == Genotype(
            "sscbam",
            ("stage1_block1", "stage2_block1"),
            ("SA", "Identity"),
            (spec("spatial", kernel_size=3), None),
        )

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            (("format",), 2, "format is 2, and this version reads 1"),
            (("format",), True, "format is True"),
            (("format",), "1", "'format'.*type int.*'1'"),
            (("space",), None, "'space'.*type str"),
            (("blocks",), {}, "'blocks'.*type list"),
            (("blocks",), [], "for each block"),
            (("extra",), 1, "keys.*'extra'"),
            (("blocks", 1), "cbam", "block 1 must have the keys.*str"),
            (("blocks", 1, "extra"), 1, "block 1 must have the keys.*'extra'"),
            (("blocks", 1, "name"), "stage1_block1", "twice: 'stage1_block1'"),
            (("blocks", 1, "name"), 3, "'name' of block 1.*type str"),
            (("blocks", 1, "operation"), None, "'operation' of block 1.*type str"),
            (("blocks", 1, "attention"), "cbam", "'attention' of block 1"),
            (("blocks", 1, "attention"), ["cbam"], "no attention of the form 'cbam'"),
            (("blocks", 1, "attention", "name"), "cbamm", "'cbamm'.*'cbam'"),
            (("blocks", 1, "attention", "ratio"), 4, "'ratio'.*'reduction_ratio'"),
            (("blocks", 1, "attention", "reduction_ratio"), "4", "`reduction_ratio`"),
            (("blocks", 1, "attention", "order"), "both", "'both'"),
            (
                ("blocks", 1, "attention", "channel_pooling"),
                [["avg"]],
                "channel_pooling",
            ),
            (("blocks", 2, "attention", 0, "reduction_ratio"), 0, "'stage2_block2'"),
            (("blocks", 2, "attention", 1), {"name": "aa"}, "at one site"),
            (("blocks", 1, "probabilities"), None, "4 rows.*Received: 3"),
            (("blocks", 1, "probabilities"), 0.5, "'probabilities' of block 1"),
            (("blocks", 1, "probabilities", 0), "0.5", "'stage2_block1'"),
            (("blocks", 1, "probabilities", 0), 1.01, "numbers from 0 to 1"),
            (("blocks", 1, "probabilities"), [1.0], "must be 7 numbers"),
            (("candidates", 0), 1, "`candidates` must be a list of names"),
        ],
        ids=str,
    )
    def test_damage_is_named_with_the_file(
        self, genotype, path, value, message, tmp_path
    ):
        damaged = content(genotype)
        place = damaged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        file = tmp_path / "damaged.json"
        file.write_text(json.dumps(damaged))
        with pytest.raises(
            ValueError, match=rf"damaged\.json is no genotype.*{message}"
        ):
            Genotype.load(file)

    @pytest.mark.parametrize("key", ["format", "space", "candidates", "blocks"])
    def test_a_missing_key(self, genotype, key):
        damaged = content(genotype)
        del damaged[key]
        with pytest.raises(ValueError, match=f"the text is no genotype.*keys.*{key}"):
            Genotype.from_json(json.dumps(damaged))

    @pytest.mark.parametrize(
        "text",
        ["", "{", "null", "[]", "3", '"sscbam"', '{"format": 1}', "[" * 100_000],
        ids=lambda text: text[:14],
    )
    def test_other_texts(self, text):
        with pytest.raises(ValueError, match="the text is no genotype"):
            Genotype.from_json(text)

    def test_a_key_twice(self, genotype):
        text = genotype.to_json().replace("{", '{"format": 1, ', 1)
        with pytest.raises(ValueError, match="'format' is there twice"):
            Genotype.from_json(text)

    @pytest.mark.parametrize("number", ["NaN", "1" + "0" * 400], ids=["nan", "huge"])
    def test_other_numbers_are_no_probabilities(self, genotype, number):
        text = genotype.to_json().replace("0.5,", f"{number},")
        with pytest.raises(ValueError, match="numbers from 0 to 1"):
            Genotype.from_json(text)

    def test_a_cut_file(self, genotype, tmp_path):
        file = tmp_path / "cut.json"
        data = genotype.to_json().encode()
        for size in (0, 1, len(data) // 2, len(data) - 1):
            file.write_bytes(data[:size])
            with pytest.raises(ValueError, match=r"cut\.json is no genotype"):
                Genotype.load(file)
        file.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ValueError, match=r"cut\.json is no genotype"):
            Genotype.load(file)

    def test_a_huge_file_is_not_read(self, genotype, tmp_path):
        file = tmp_path / "huge.json"
        file.write_text(genotype.to_json() + " " * LARGEST_FILE)
        with pytest.raises(ValueError, match=rf"huge\.json.*{LARGEST_FILE}"):
            Genotype.load(file)

    def test_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            Genotype.load(tmp_path / "none.json")


class TestAsAttention:
    def test_each_block_gets_its_entry(self, genotype):
        plan = AttentionPlan(genotype, STAGES)
        assert [plan[name].block for name in BLOCKS] == [
            None,
            SPACE.entry(1),
            spec("channel", reduction_ratio=4),
            None,
        ]
        assert [plan[name].conv for name in BLOCKS] == [None, None, AW(8), AW(8)]

    def test_specs_of_several_sites_are_not_joined(self):
        """A list of the same entries is ambiguous; a genotype is by block."""
        found = Genotype("any", BLOCKS[:2], ("aw", "se"), (AW(), SE()))
        plan = AttentionPlan(found, (1, 1))
        assert (plan["stage1_block1"].conv, plan["stage1_block1"].block) == (AW(), None)
        assert (plan["stage2_block1"].conv, plan["stage2_block1"].block) == (None, SE())
        one = Genotype("any", BLOCKS[:1], ("aw",), (AW(),))
        with pytest.raises(ValueError, match="1 entries.*2 blocks"):
            AttentionPlan(one, (1, 1))

    @pytest.mark.parametrize("stages", [(1, 1, 1), (2, 2, 2)])
    def test_another_number_of_blocks(self, genotype, stages):
        with pytest.raises(ValueError, match=f"4 entries.*{sum(stages)} blocks"):
            AttentionPlan(genotype, stages)

    @pytest.mark.parametrize("other", [b"se", range(4), memoryview(b"abcd")])
    def test_sequences_of_other_things(self, other):
        with pytest.raises(ValueError, match="`attention` takes"):
            AttentionPlan(other, STAGES)

    def test_with_the_stem(self):
        names = ("stem", *BLOCKS)
        found = Genotype("any", names, (*"abcde",), ("eca", None, "se", None, "aw"))
        plan = AttentionPlan(found, STAGES, stem=True)
        assert plan["stem"].block == ECA()
        assert plan["stage2_block1"].block == SE()
        assert plan["stage3_block1"].conv == AW()
        without = AttentionPlan(
            Genotype("any", BLOCKS, (*"abcd",), found[1:]), STAGES, True
        )
        assert without["stem"].block is None
        assert without["stage2_block1"].block == SE()
        with pytest.raises(ValueError, match="5 entries.*4 blocks"):
            AttentionPlan(found, STAGES)
        with pytest.raises(ValueError, match=r"3 entries.*4 blocks.*stem's, first"):
            AttentionPlan(
                Genotype("any", names[:3], (*"abc",), found[:3]), STAGES, True
            )

    def test_an_application_is_that_of_the_list(self, genotype):
        blocks = [f"stage{s}_block1" for s in (1, 2, 3)]
        found = Genotype.of(SPACE, blocks, (0, 5, 4), (1, 0, 0))
        options = {"input_shape": (8, 8, 3)}
        models = [
            applications.CifarResNet(8, attention=attention, **options)
            for attention in (found, list(found), Genotype.from_json(found.to_json()))
        ]
        layers = [
            [(type(layer), layer.name) for layer in model.layers] for model in models
        ]
        assert layers[0] == layers[1] == layers[2]
        assert models[0].get_layer("stage2_block1_attention").order == "parallel"
        with pytest.raises(ValueError, match="4 entries.*3 blocks"):
            applications.CifarResNet(8, attention=genotype)


class TestDerive:
    def supernet(self, space, make=applications.CifarResNet, **options):
        if make is applications.CifarResNet:
            options = {"depth": 8, "input_shape": (8, 8, 3), **options}
        return make(attention=space.spec(), **options)

    def test_probabilities_and_operations(self):
        space = search_space("sscbam", reduction_ratio=4)
        model = self.supernet(space)
        p = np.array(
            [
                [0.6, 0.1, 0.1, 0.1, 0.1],
                [0.2, 0.1, 0.1, 0.35, 0.25],
                [0.1, 0.2, 0.1, 0.33, 0.27],
            ]
        )
        for alpha, row in zip(architecture_variables(model), p, strict=True):
            alpha.assign(np.log(row) + 3.0)
        found = derive(model, space)
        assert found.space == "sscbam"
        assert found.blocks == ("stage1_block1", "stage2_block1", "stage3_block1")
        assert found.operations == ("Identity", "CA", "(CA, SA)")
        assert found[2] == CBAMSpec(4, "parallel")
        assert found.candidates == space.symbols
        np.testing.assert_allclose(found.probabilities, p, atol=1e-6)
        assert derive(model, space, "argmax").operations == ("Identity", "CA", "CA")
        assert Genotype.from_json(found.to_json()) == found

    def test_second_axis(self):
        space = search_space(["none", "se"], reduction_ratio=4, aw=True)
        model = self.supernet(space)
        for i, alpha in enumerate(architecture_variables(model, "conv")):
            # Block by block: both plain, one AW by more, one plain by more.
            alpha.assign([[1, 0], [1, 0], [0, 2], [1, 0], [0, 1], [2, 0]][i])
        found = derive(model, space)
        assert found.entries == (None, AW(), None)
        assert found.candidates == ("none", "se(reduction_ratio=4)", "plain", "aw")
        expected = np.exp([0.5, 1.0]) / np.exp([0.5, 1.0]).sum()
        np.testing.assert_allclose(found.probabilities[1], [0.5, 0.5, *expected])

    def test_a_mobilenet_with_its_stem(self):
        space = search_space(["none", "eca"], aw=True)
        options = {"input_shape": (32, 32, 3), "alpha": 0.25}
        model = self.supernet(space, applications.MobileNet, **options)
        for alpha in architecture_variables(model, "block")[:3]:
            alpha.assign([0, 1])
        found = derive(model, space)
        assert found.blocks[:2] == ("stem", "stage1_block1")
        assert found.entries[:3] == (ECA(), ECA(), None)
        assert found.probabilities[0][2:] == (None, None)
        with keras.StatelessScope(initialize_variables=False):
            network = applications.MobileNet(attention=found, **options)
        named = [layer.name for layer in network.layers if "attention" in layer.name]
        assert named == [
            "stem_attention",
            "stage1_block1_depthwise_attention",
            "stage1_block1_pointwise_attention",
        ]

    def test_another_space(self):
        model = self.supernet(search_space(["none", "eca"]))
        with pytest.raises(ValueError, match="2 operations.*'sscbam' has 5"):
            derive(model, search_space("sscbam"))
