"""Attention attached to the families of `keras.applications`."""

import importlib.util
from pathlib import Path

import hand_made
import keras
import numpy as np
import pytest

from keras_attention import spec
from keras_attention.attaching import attach, placements
from keras_attention.attaching.finding import find_places
from keras_attention.attaching.graph import Graph
from keras_attention.attaching.residuals import residual_additions

# (image, additions of residual branches, ends of stages, convolutions replaced), by
# the tables of the papers.
FAMILIES = {
    # 3 + 4 + 6 + 3 blocks, a 3×3 in each.
    "ResNet50": (32, 16, 3, 16),
    "ResNet50V2": (32, 16, 3, 16),
    # 13 separable blocks; pointwise as all else is depthwise.
    "MobileNet": (32, 0, 4, 13),
    # 17 blocks, 7 of them without a shortcut; two pointwise each but the first, and 1.
    "MobileNetV2": (32, 10, 3, 34),
    # Repeats above the first of their row: 1 + 1 + 2 + 2 + 3.
    "EfficientNetB0": (32, 9, None, None),
    # Thirteen 3×3 convolutions in five stages.
    "VGG16": (32, 0, 4, 12),
    # 3 + 3 + 9 + 3 blocks, three lowering convolutions.
    "ConvNeXtTiny": (32, 18, None, 3),
    # Blocks 2 to 13; the second convolution of the entry alone is no separable one.
    "Xception": (71, 12, 3, 1),
}


def family(name, size):
    return getattr(keras.applications, name)(
        weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3)
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_places_are_those_of_the_papers_tables(name):
    size, *wanted = FAMILIES[name]
    graph = Graph(family(name, size))
    for where, attention, count in zip(
        ("before_add", "between_stages", None), ("se", "bam", "aw"), wanted, strict=True
    ):
        if count is not None:
            assert _count(graph, attention, where) == count, where


def _count(graph, attention, where):
    try:
        return len(find_places(graph, spec(attention), where)[0])
    except ValueError as error:
        assert "finds no place" in str(error)
        return 0


def test_residual_branches_of_resnet50():
    """Each ends in its third batch norm, at projections and identities alike."""
    graph = Graph(family("ResNet50", 32))
    branches, skipped = residual_additions(graph)
    assert not skipped
    for index, branch in branches.items():
        call = graph.calls[index]
        ends = [graph.calls[parent].operation.name for parent in call.parents]
        assert ends[branch] == call.operation.name.replace("_add", "_3_bn")


@pytest.mark.parametrize(
    "name, attention",
    [("MobileNetV2", "mvam"), ("MobileNetV3Small", "aw")],
)
def test_nothing_changes_at_first(name, attention):
    model = family(name, 32)
    wide = spec(attention, **({"reduction_ratio": 4} if attention != "aw" else {}))
    attached = attach(model, wide)
    assert len(placements(attached)) > 5
    assert not placements(attached).skipped
    images = hand_made.images(shape=(32, 32, 3))
    wanted, found = (
        keras.ops.convert_to_numpy(each.predict(images, verbose=0))
        for each in (model, attached)
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="hours of JAX's compiling"
)
def test_the_whole_table(tmp_path):
    file = Path(__file__).parents[2] / "examples" / "attach_table.py"
    description = importlib.util.spec_from_file_location("attach_table", file)
    table = importlib.util.module_from_spec(description)
    description.loader.exec_module(table)
    rows = table.main(["--output", str(tmp_path)])
    assert len(rows) == len(table.NETWORKS) * len(table.ATTENTIONS)
    assert [row for row in rows if not table.works(row)] == []
    count = len(rows)
    assert len(table.main(["--output", str(tmp_path)])) == count  # nothing again
