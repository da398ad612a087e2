"""Forward graphs hold no copy of an image: no tiled maps and no moved axes."""

from collections import Counter

import keras
import pytest

import keras_attention
from keras_attention.ops import sample_conv

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="reads TensorFlow's graphs"
)

COPIES = {"Tile", "BroadcastTo", "Transpose"}
# AA splits its queries, keys and values into heads, and joins the heads again.
NAMES = [name for name in keras_attention.names() if name != "aa"]


def operations(function, shape=(None, 14, 14, 32)):
    """Nodes of the function's graph and of the functions that it calls."""
    import tensorflow as tf

    graph = tf.function(function).get_concrete_function(tf.TensorSpec(shape)).graph
    definition = graph.as_graph_def()
    called = [node for f in definition.library.function for node in f.node_def]
    return [*definition.node, *called]


def make(name, channels=32):
    attention = keras_attention.spec(name)
    if attention.site == "conv":
        return attention.make(filters=channels, kernel_size=3, padding="symmetric")
    return attention.make()


def copies(layer):
    layer.build((None, 14, 14, 32))
    return [node.name for node in operations(layer) if node.op in COPIES]


@pytest.mark.parametrize("name", NAMES)
def test_no_tiled_map_and_no_moved_axis(name):
    assert copies(make(name)) == []


def test_aa_moves_axes_and_tiles_nothing():
    """The exception above is needed, and is for moved axes alone."""
    layer = make("aa")
    layer.build((None, 14, 14, 32))
    assert {node.op for node in operations(layer)} & COPIES == {"Transpose"}


@pytest.mark.parametrize("name", ["taps", "per_sample"])
def test_either_strategy_of_an_aw_convolution(name, monkeypatch):
    monkeypatch.setattr(sample_conv, "choose", lambda able, *arguments: name)
    assert copies(make("aw")) == []


@pytest.mark.parametrize("name", ["cbam", "cbam_reverse", "cbam_parallel"])
def test_cbam_pools_once_by_each_statistic_in_each_part(name):
    layer = make(name)
    layer.build((None, 14, 14, 32))
    for part, count in (
        (layer.channel_attention, 1),
        (layer.spatial_attention, 1),
        (layer, 2),
    ):
        found = Counter(node.op for node in operations(part))
        assert (found["Mean"], found["Max"]) == (count, count), part.name


@pytest.mark.parametrize("options", [None, {}, {"jit_compile": True}])
def test_copies_are_found_also_in_called_functions(options):
    import tensorflow as tf

    def copy(x):
        return tf.transpose(tf.tile(x, (1, 2, 2, 1)), (0, 3, 1, 2))

    called = copy if options is None else tf.function(copy, **options)
    found = {node.op for node in operations(lambda x: called(x))}
    assert found >= {"Tile", "Transpose"}
