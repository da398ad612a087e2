"""Genotypes and attentions from strangers: values that build a plan, or an error."""

import copy
import json

from fuzzing import fuzzed
from hypothesis import strategies as st
from mangling import damaged_json, values

from keras_attention.attention import as_specs, names, recorded, spec
from keras_attention.plan import AttentionPlan
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.space import search_space

SPACE = search_space("sscbam", reduction_ratio=4)
BLOCKS = ("stage1_block1", "stage1_block2", "stage2_block1")
PLAIN = Genotype.of(SPACE, BLOCKS, (0, 1, 3))
SHARED = Genotype(
    "mine",
    BLOCKS,
    ("a", "b", "none"),
    ("aw_se", spec("cbam", reduction_ratio=8), None),
    candidates=("a", "b"),
    probabilities=((0.25, 0.75), (1, 0), (None, 0.5)),
)
WHOLE = [json.loads(genotype.to_json()) for genotype in (PLAIN, SHARED)]
# What `attention=` takes, in all its forms.
ATTENTIONS = [
    *names(),
    *(f"{a}_{b}" for a in names("conv") for b in names("block")),
    *(spec(name).to_dict() for name in names()),
    ["aw_se", None, {"name": "se", "reduction_ratio": 4}],
    {"stage1_*": "se", "stage2_block1": ["aw", "cbam"]},
]


@fuzzed(1800, content=damaged_json(WHOLE))
def test_genotype_files(inputs, content):
    """What is read is what is written, and what a network can be built with."""
    if inputs.is_over():
        return
    path = inputs.inside / "genotype.json"
    path.write_bytes(content)
    genotype = inputs.outcome(lambda: Genotype.load(path), named=[path])
    if genotype is None:
        return
    again = inputs.inside / "again.json"
    genotype.save(again)
    assert Genotype.load(again) == genotype
    assert Genotype.from_json(genotype.to_json()) == genotype
    plan = AttentionPlan(genotype, (len(genotype),), blocks=genotype.blocks)
    assert sum(len(as_specs(entry)) for entry in genotype) >= sum(
        plan[block].explicit for block in genotype.blocks if str(plan[block]) != "none"
    )
    assert str(genotype).count("\n") >= len(genotype)


@st.composite
def attentions(draw):
    """Something for `attention=`, right or wrong."""
    kind = draw(st.sampled_from(("json", "word", "value")))
    if kind == "json":
        content = draw(damaged_json(ATTENTIONS))
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return content.decode("latin-1")
    if kind == "word":
        parts = st.sampled_from([*names(), "", "se ", "AW", "aw2", "_", "\0"])
        return "_".join(draw(st.lists(parts, max_size=4)))
    return draw(values)


@fuzzed(900, attention=attentions())
def test_attentions(inputs, attention):
    """A plan that a file can hold: read back, it is the same."""
    if inputs.is_over():
        return
    before = copy.deepcopy(attention)
    plan = inputs.outcome(lambda: AttentionPlan(attention, (2, 1)))
    assert repr(attention) == repr(before)
    if plan is None:
        return
    again = AttentionPlan(json.loads(json.dumps(recorded(attention))), (2, 1))
    for block in plan.blocks:
        assert str(again[block]) == str(plan[block])
