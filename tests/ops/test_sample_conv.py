"""Per-sample convolution: every strategy against NumPy loops, and the choice of one."""

import itertools

import keras
import numpy as np
import pytest
from references import numpy_nn
from references.autodiff import central_differences
from references.backend import need_channels_first

from keras_attention.ops import sample_conv
from keras_attention.ops.sample_conv import STRATEGIES, attention_weighted_conv2d
from keras_attention.ops.sample_conv.cost import choose, machine

TENSORFLOW = keras.backend.backend() == "tensorflow"
BATCH, C1, C2 = 3, 4, 6

tensorflow_only = pytest.mark.skipif(
    not TENSORFLOW, reason="JAX traces known sizes only, and always with XLA"
)

# Image size, kernel size, maps, and the operation's other arguments. Sizes are odd or
# unequal, so that rows are left over and "same" pads unevenly.
CASES = {
    "1x1": ((7, 5), (1, 1), 1, {}),
    "1x1_groups": ((5, 7), (1, 1), 1, {"groups": 2}),
    "1x1_stride_2": ((6, 9), (1, 1), 1, {"strides": (2, 2), "padding": "same"}),
    "1x1_stride_2_symmetric": (
        (6, 9),
        (1, 1),
        1,
        {"strides": (2, 2), "padding": "symmetric", "residual": False},
    ),
    "1x1_channels_first": (
        (6, 9),
        (1, 1),
        1,
        {"strides": (1, 2), "data_format": "channels_first"},
    ),
    "1x1_two_maps": ((7, 5), (1, 1), 2, {"strides": (2, 2)}),
    "3x3": ((7, 5), (3, 3), 1, {}),
    "3x3_same": ((6, 9), (3, 3), 1, {"padding": "same", "residual": False}),
    "3x3_symmetric": ((7, 5), (3, 3), 1, {"padding": "symmetric"}),
    "3x3_stride_2": ((6, 9), (3, 3), 1, {"strides": (2, 2)}),
    "3x3_stride_2_same_odd": (
        (7, 5),
        (3, 3),
        1,
        {"strides": (2, 2), "padding": "same"},
    ),
    "3x3_stride_2_same_even": (
        (6, 8),
        (3, 3),
        1,
        {"strides": (2, 2), "padding": "same"},
    ),
    "3x3_stride_2_symmetric": (
        (6, 9),
        (3, 3),
        1,
        {"strides": (2, 2), "padding": "symmetric"},
    ),
    "3x3_strides_1x2_same": (
        (7, 6),
        (3, 3),
        1,
        {"strides": (1, 2), "padding": "same"},
    ),
    "3x3_strides_1x2_symmetric": (
        (7, 6),
        (3, 3),
        1,
        {"strides": (1, 2), "padding": "symmetric"},
    ),
    "5x3_stride_2_symmetric": (
        (6, 9),
        (5, 3),
        1,
        {"strides": (2, 2), "padding": "symmetric", "residual": False},
    ),
    "2x2_same": ((7, 5), (2, 2), 1, {"padding": "same"}),
    "2x2_stride_2": ((6, 9), (2, 2), 1, {"strides": (2, 2)}),
    "kernel_larger_than_image": ((1, 2), (3, 3), 1, {"padding": "same"}),
    "dilation_2_same": (
        (7, 5),
        (3, 3),
        1,
        {"dilation_rate": (2, 2), "padding": "same"},
    ),
    "dilation_2x1_symmetric": (
        (7, 5),
        (3, 3),
        1,
        {"dilation_rate": (2, 1), "padding": "symmetric"},
    ),
    "dilation_2_two_maps": ((7, 6), (3, 3), 2, {"dilation_rate": (2, 2)}),
    "two_maps": ((7, 5), (3, 3), 2, {"padding": "same"}),
    "map_per_channel_stride_2_symmetric": (
        (6, 9),
        (3, 3),
        C1,
        {"strides": (2, 2), "padding": "symmetric", "residual": False},
    ),
    "groups": ((6, 9), (3, 3), 1, {"groups": 2, "strides": (2, 2), "padding": "same"}),
    "groups_two_maps": ((7, 5), (2, 2), 2, {"groups": 2, "padding": "same"}),
    "groups_map_per_channel": ((7, 5), (3, 3), C1, {"groups": 2, "residual": False}),
    "channels_first": (
        (6, 9),
        (3, 3),
        1,
        {"strides": (2, 2), "padding": "symmetric", "data_format": "channels_first"},
    ),
}


def able(case):
    """The strategies that can do it."""
    _, size, maps, options = CASES[case]
    plain = options.get("groups", 1) == 1
    dilated = max(options.get("dilation_rate", (1, 1))) > 1
    can = {
        "gate": size == (1, 1) and maps == 1,
        "per_sample": TENSORFLOW and plain and not dilated,
        "taps": maps == 1 and plain,
        "tap_convs": maps == 1,
        "im2col": True,
    }
    return [strategy for strategy in STRATEGIES if can[strategy]]


ABLE = [(case, strategy) for case in CASES for strategy in able(case)]
UNABLE = [
    (case, strategy)
    for case in CASES
    for strategy in STRATEGIES
    if strategy not in able(case)
]


def operands(case, rng, batch=BATCH, size=None):
    """Inputs, kernel and attention in float64, channels last."""
    image, kernel_size, maps, options = CASES[case]
    inputs = rng.normal(size=(batch, *(size or image), C1))
    kernel = rng.normal(size=(*kernel_size, C1 // options.get("groups", 1), C2))
    attention = rng.uniform(size=(batch, *kernel_size, maps, C2))
    return inputs, kernel, attention


def convolution(case, strategy):
    """The operation as a function of its three tensors."""
    options = CASES[case][-1]
    return lambda inputs, kernel, attention: attention_weighted_conv2d(
        inputs, kernel, attention, strategy=strategy, **options
    )


def geometry(case):
    """The keyword arguments of `numpy_nn.sample_conv2d`."""
    names = ("strides", "padding", "dilation_rate", "groups")
    return {name: value for name, value in CASES[case][-1].items() if name in names}


def effective_kernels(case, kernel, attention):
    """(batch, *kernel.shape), and the map's entry of every pair of channels.

    Input channel c of the whole layer looks at entry c // (C1 / M).
    """
    options = CASES[case][-1]
    groups, maps = options.get("groups", 1), attention.shape[3]
    entries = np.zeros(kernel.shape[2:], int)
    scale = np.zeros((len(attention), *kernel.shape))
    for i, o in np.ndindex(entries.shape):
        channel = o // (C2 // groups) * kernel.shape[2] + i
        entries[i, o] = channel // (C1 // maps)
        scale[..., i, o] = attention[..., entries[i, o], o]
    return scale + options.get("residual", True), entries


def reference(case, inputs, kernel, attention):
    scale, _ = effective_kernels(case, kernel, attention)
    return numpy_nn.sample_conv2d(inputs, scale * kernel, **geometry(case))


def reference_gradients(case, inputs, kernel, attention, upstream):
    """d Σ(upstream · outputs) by each operand: a loop over samples, taps and groups."""
    scale, entries = effective_kernels(case, kernel, attention)
    kh, kw, depth, _ = kernel.shape
    options = {"strides": (1, 1), "dilation_rate": (1, 1), "groups": 1} | geometry(case)
    (sh, sw), (dh, dw) = options["strides"], options["dilation_rate"]
    padding = options.get("padding", "valid")

    def pad(x):
        return numpy_nn.pad(x, (kh, kw), (sh, sw), (dh, dw), padding)

    padded, inside = pad(inputs), pad(np.ones_like(inputs)) > 0
    d_padded, d_kernels = np.zeros_like(padded), np.zeros_like(scale)
    height, width = upstream.shape[1:3]
    taps = itertools.product(range(kh), range(kw), range(options["groups"]))
    for n, (j, k, g) in itertools.product(range(len(inputs)), taps):
        rows = slice(j * dh, j * dh + (height - 1) * sh + 1, sh)
        columns = slice(k * dw, k * dw + (width - 1) * sw + 1, sw)
        seen = (n, rows, columns, slice(g * depth, (g + 1) * depth))
        per_group = C2 // options["groups"]
        made = slice(g * per_group, (g + 1) * per_group)
        weights = (scale[n] * kernel)[j, k, :, made]
        d_padded[seen] += upstream[n, :, :, made] @ weights.T
        d_kernels[n, j, k, :, made] = np.einsum(
            "hwi,hwo->io", padded[seen], upstream[n, :, :, made]
        )
    d_attention = np.zeros_like(attention)
    for (i, o), entry in np.ndenumerate(entries):
        d_attention[..., entry, o] += d_kernels[..., i, o] * kernel[..., i, o]
    d_inputs = d_padded[inside].reshape(inputs.shape)
    return d_inputs, (d_kernels * scale).sum(0), d_attention


def outputs_and_gradients(function, arguments, upstream, mode="graph"):
    """Arrays: the outputs, and d Σ(upstream · outputs) by each argument.

    `mode` is TensorFlow's: `"graph"`, `"eager"` or `"xla"`. JAX compiles.
    """
    results = differentiated(function, mode)(upstream, *arguments)
    return [keras.ops.convert_to_numpy(result) for result in results]


def differentiated(function, mode="graph"):
    if not TENSORFLOW:
        import jax

        def call(upstream, *arguments):
            outputs, pull = jax.vjp(function, *arguments)
            return outputs, *pull(upstream)

        return jax.jit(call)
    import tensorflow as tf

    def call(upstream, *arguments):
        arguments = [tf.convert_to_tensor(argument) for argument in arguments]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            outputs = function(*arguments)
        found = tape.gradient(outputs, arguments, output_gradients=upstream)
        return outputs, *found

    return call if mode == "eager" else tf.function(call, jit_compile=mode == "xla")


def check(found, expected, tolerance):
    """Outputs and gradients, each to `tolerance` of its largest value."""
    names = ("outputs", "inputs", "kernel", "attention")
    for name, array, exact in zip(names, found, expected, strict=True):
        assert array.shape == exact.shape, name
        error = np.abs(array.astype("float64") - exact).max() / np.abs(exact).max()
        assert error < tolerance, f"{name}: {error}"


def compare(case, strategy, rng, mode="graph"):
    arrays = operands(case, rng)
    exact = reference(case, *arrays)
    upstream = rng.normal(size=exact.shape)
    expected = [exact, *reference_gradients(case, *arrays, upstream)]
    arguments = [array.astype("float32") for array in arrays]
    upstream = upstream.astype("float32")
    first = CASES[case][-1].get("data_format") == "channels_first"
    if first:
        arguments[0] = np.moveaxis(arguments[0], -1, 1)
        upstream = np.moveaxis(upstream, -1, 1)
    found = outputs_and_gradients(
        convolution(case, strategy), arguments, upstream, mode
    )
    if first:
        found[:2] = [np.moveaxis(array, 1, -1) for array in found[:2]]
    check(found, expected, 1e-5)


@pytest.mark.parametrize(("case", "strategy"), ABLE)
def test_values_and_gradients(case, strategy, rng):
    if (case, strategy) == ("1x1_channels_first", "gate"):
        need_channels_first()  # the others transpose
    compare(case, strategy, rng)


@tensorflow_only
@pytest.mark.parametrize("mode", ["eager", "xla"])
@pytest.mark.parametrize(
    ("case", "strategy"),
    [("1x1", "gate"), *(("3x3_stride_2_symmetric", s) for s in STRATEGIES[1:])],
)
def test_values_and_gradients_eagerly_and_under_xla(case, strategy, mode, rng):
    compare(case, strategy, rng, mode)


def test_the_references_gradients_are_those_of_its_outputs(rng):
    """Central differences, once, with everything that an option may change."""
    case = "groups_two_maps"
    arrays = operands(case, rng, batch=2, size=(3, 4))
    upstream = rng.normal(size=reference(case, *arrays).shape)
    for array, gradient in zip(
        arrays, reference_gradients(case, *arrays, upstream), strict=True
    ):
        expected = central_differences(
            lambda: reference(case, *arrays), array, upstream
        )
        np.testing.assert_allclose(gradient, expected, atol=1e-7)


@pytest.mark.parametrize("strategy", able("2x2_stride_2"))
def test_second_order(strategy, rng):
    """d Σ(d Σ outputs² / d inputs)², as a gradient penalty takes."""
    case = "2x2_stride_2"
    arrays = operands(case, rng, batch=2, size=(4, 5))
    function = convolution(case, strategy)
    arguments = [array.astype("float32") for array in arrays]
    found = _penalty_gradients(function)(*arguments)

    def slope():
        upstream = 2 * reference(case, *arrays)
        return reference_gradients(case, *arrays, upstream)[0] ** 2

    ones = np.ones_like(arrays[0])
    for array, gradient in zip(arrays, found, strict=True):
        expected = central_differences(slope, array, ones)
        scale = np.abs(expected).max()
        gradient = keras.ops.convert_to_numpy(gradient)
        np.testing.assert_allclose(gradient / scale, expected / scale, atol=1e-5)


def _penalty_gradients(function):
    if not TENSORFLOW:
        import jax

        def penalty(*arguments):
            def energy(inputs):
                return (function(inputs, *arguments[1:]) ** 2).sum()

            return (jax.grad(energy)(arguments[0]) ** 2).sum()

        return jax.jit(jax.grad(penalty, argnums=(0, 1, 2)))
    import tensorflow as tf

    @tf.function
    def call(*arguments):
        with tf.GradientTape() as outer:
            outer.watch(arguments)
            with tf.GradientTape() as inner:
                inner.watch(arguments[0])
                energy = tf.reduce_sum(function(*arguments) ** 2)
            penalty = tf.reduce_sum(inner.gradient(energy, arguments[0]) ** 2)
        return outer.gradient(penalty, arguments)

    return call


# With strides, where the amount of "same" padding depends on the size.
UNKNOWN = [
    ("1x1_stride_2", "gate"),
    *(("3x3_stride_2_same_odd", s) for s in STRATEGIES[1:] if s != "tap_convs"),
]


@tensorflow_only
@pytest.mark.parametrize(("case", "strategy"), UNKNOWN)
def test_unknown_batch_height_and_width(case, strategy, rng):
    """One graph for every size, as a detector has, gradients too."""
    import tensorflow as tf

    arrays = operands(case, rng)
    signature = [
        tf.TensorSpec([None, None, None, C2]),
        tf.TensorSpec([None, None, None, C1]),
        tf.TensorSpec(arrays[1].shape),
        tf.TensorSpec([None, *arrays[2].shape[1:]]),
    ]
    call = differentiated(convolution(case, strategy))
    graph = call.get_concrete_function(*signature)
    assert graph.structured_outputs[0].shape.as_list() == [None, None, None, C2]
    for batch, size in ((2, (7, 5)), (1, (6, 8))):
        arrays = operands(case, rng, batch, size)
        exact = reference(case, *arrays)
        upstream = rng.normal(size=exact.shape)
        expected = [exact, *reference_gradients(case, *arrays, upstream)]
        found = graph(*(tf.constant(a, tf.float32) for a in (upstream, *arrays)))
        check([array.numpy() for array in found], expected, 1e-5)


@tensorflow_only
@pytest.mark.parametrize(("case", "strategy"), UNKNOWN)
def test_known_height_and_width_stay_known(case, strategy, rng):
    """A network behind it, such as a Flatten and a Dense, needs them."""
    import tensorflow as tf

    inputs, kernel, attention = operands(case, rng)
    graph = tf.function(convolution(case, strategy)).get_concrete_function(
        tf.TensorSpec([None, *inputs.shape[1:]]),
        tf.TensorSpec(kernel.shape),
        tf.TensorSpec([None, *attention.shape[1:]]),
    )
    expected = reference(case, inputs, kernel, attention).shape
    assert graph.structured_outputs.shape.as_list() == [None, *expected[1:]]


ROUNDING = {"float16": 2**-11, "bfloat16": 2**-8}  # half a unit in the last place


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize(
    ("case", "strategy"),
    [("1x1", "gate"), *(("3x3_same", s) for s in able("3x3_same"))],
)
def test_half_precision(case, strategy, dtype, rng):
    """Against the same rounded operands, so that only the arithmetic rounds.

    Every strategy rounds the scaled kernel or the product, and then a sum of nine
    taps: eight roundings of half a unit, those of the nine having either sign.
    """
    rounded = [in_half(array, dtype) for array in operands(case, rng)]
    arrays = [as_float64(array) for array in rounded]
    exact = reference(case, *arrays)
    upstream = in_half(rng.normal(size=exact.shape), dtype)
    gradients = reference_gradients(case, *arrays, as_float64(upstream))
    results = differentiated(convolution(case, strategy))(upstream, *rounded)
    for result in results:
        assert keras.backend.standardize_dtype(result.dtype) == dtype
    found = [as_float64(result) for result in results]
    check(found, [exact, *gradients], 8 * ROUNDING[dtype])


@pytest.mark.parametrize("strategy", [s for s in able("3x3") if s != "tap_convs"])
def test_the_kernels_gradient_of_many_samples_in_half_precision(strategy):
    """600 ones: a running sum in bfloat16 would stay at 256."""
    inputs = np.ones((600, 3, 3, C1))
    kernel, attention = np.ones((3, 3, C1, C2)), np.zeros((600, 3, 3, 1, C2))
    upstream = np.ones((600, 1, 1, C2))
    call = differentiated(convolution("3x3", strategy))
    arrays = (in_half(a, "bfloat16") for a in (upstream, inputs, kernel, attention))
    _, _, d_kernel, _ = call(*arrays)
    np.testing.assert_array_equal(as_float64(d_kernel), np.full(kernel.shape, 600))


def in_half(array, dtype):
    return keras.ops.cast(keras.ops.convert_to_tensor(array), dtype)


def as_float64(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")).astype(
        "float64"
    )


@pytest.mark.parametrize(("case", "strategy"), UNABLE)
def test_a_strategy_that_cannot_names_those_that_can(case, strategy, rng):
    inputs, kernel, attention = operands(case, rng)
    if CASES[case][-1].get("data_format") == "channels_first":
        inputs = np.moveaxis(inputs, -1, 1)
    with pytest.raises(ValueError, match=f"strategy='{strategy}' cannot") as error:
        convolution(case, strategy)(inputs, kernel, attention)
    listed = str(error.value).partition("Choose from: ")[2]
    assert [s for s in STRATEGIES if f"'{s}'" in listed] == able(case)


def test_unknown_strategy_lists_the_choices(rng):
    listed = "Choose from: 'taps', 'tap_convs', 'auto', 'gate', 'im2col', 'per_sample'"
    with pytest.raises(ValueError, match=f"strategy.*'tap'.*{listed}"):
        convolution("3x3", "tap")(*operands("3x3", rng))


MACHINES = ("cpu", "cpu_xla", "accelerator")
EVERY = ["per_sample", "taps", "im2col"]
SHAPES = [
    ((3, 3, channels, channels), size)
    for channels in (8, 64, 512)
    for size in ((7, 7), (14, 14), (56, 56), (224, 224), (None, 224), (None, None))
]


@pytest.mark.parametrize("training", [True, False])
class TestChoose:
    """The reasons, far from where the costs are equal."""

    @pytest.mark.parametrize("machine", MACHINES)
    def test_a_gate_wherever_it_can(self, machine, training):
        able = ["gate", *EVERY]
        for kernel_shape, size in SHAPES:
            assert choose(able, kernel_shape, size, training, machine) == "gate"

    @pytest.mark.parametrize(
        ("kernel_shape", "size", "expected"),
        [
            ((3, 3, 64, 64), (56, 56), "per_sample"),  # nine products of a large map
            ((5, 5, 32, 32), (112, 112), "per_sample"),
            ((3, 3, 512, 512), (7, 7), "taps"),  # a large kernel for each sample
            ((3, 3, 2048, 2048), (14, 14), "taps"),
            ((3, 3, 8, 8), (7, 7), "taps"),  # starting the loop costs more than it does
            ((3, 3, 512, 512), (None, None), "per_sample"),  # a detector's
            ((3, 3, 64, 64), (56, None), "per_sample"),
        ],
    )
    def test_on_a_cpu_the_map_against_the_channels(
        self, kernel_shape, size, expected, training
    ):
        assert choose(EVERY, kernel_shape, size, training, "cpu") == expected

    @pytest.mark.parametrize("machine", ["cpu_xla", "accelerator"])
    def test_no_loop_where_operations_are_compiled(self, machine, training):
        for kernel_shape, size in SHAPES:
            chosen = choose(EVERY, kernel_shape, size, training, machine)
            assert chosen != "per_sample"
            chosen = choose(
                ["per_sample", "im2col"], kernel_shape, size, training, machine
            )
            assert chosen == "im2col"

    @pytest.mark.parametrize("machine", ["cpu_xla", "accelerator"])
    def test_taps_where_a_compiled_size_is_unknown(self, machine, training):
        shape = (3, 3, 8, 8)
        assert choose(EVERY, shape, (None, None), training, machine) == "taps"

    def test_several_maps_take_the_loop_on_a_cpu(self, training):
        for kernel_shape, size in SHAPES:
            able = ["per_sample", "im2col"]
            assert choose(able, kernel_shape, size, training, "cpu") == "per_sample"

    @pytest.mark.parametrize("machine", MACHINES)
    def test_im2col_where_nothing_else_can(self, machine, training):
        for kernel_shape, size in SHAPES:
            chosen = choose(["im2col"], kernel_shape, size, training, machine)
            assert chosen == "im2col"


@pytest.mark.parametrize("machine", MACHINES)
def test_training_not_given_counts_as_not_training(machine):
    for kernel_shape, size in SHAPES:
        forward = choose(EVERY, kernel_shape, size, False, machine)
        assert choose(EVERY, kernel_shape, size, None, machine) == forward


def test_xla_on_a_cpu_keeps_a_large_maps_sum_in_one_product_in_training():
    shape, size = (3, 3, 8, 8), (224, 224)
    assert choose(EVERY, shape, size, True, "cpu_xla") == "im2col"
    assert choose(EVERY, shape, size, False, "cpu_xla") == "taps"
    assert choose(EVERY, (3, 3, 512, 512), (7, 7), True, "cpu_xla") == "taps"


@pytest.mark.parametrize(
    ("case", "size"),
    [
        ("3x3_stride_2", (2, 4)),
        ("3x3_stride_2_symmetric", (3, 5)),
        ("3x3_strides_1x2_same", (7, 3)),
        ("dilation_2_two_maps", (3, 2)),
        ("channels_first", (3, 5)),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_auto_chooses_by_the_outputs_size(case, size, training, rng, monkeypatch):
    inputs, kernel, attention = (a.astype("float32") for a in operands(case, rng))
    options = CASES[case][-1]
    if options.get("data_format") == "channels_first":
        inputs = np.moveaxis(inputs, -1, 1)
    asked = []

    def chosen(*arguments):
        asked.append(arguments)
        return "im2col"

    monkeypatch.setattr(sample_conv, "choose", chosen)
    attention_weighted_conv2d(inputs, kernel, attention, training=training, **options)
    ((can, shape, *arguments),) = asked
    assert sorted(can) == sorted(able(case))
    assert (tuple(shape), arguments) == (kernel.shape, [size, training, machine()])


def set_gpus(monkeypatch, present):
    """As on a computer with or without, whichever this is."""
    if TENSORFLOW:
        import tensorflow as tf

        devices = [tf.config.LogicalDevice("/GPU:0", "GPU")] if present else []
        monkeypatch.setattr(
            tf.config,
            "list_logical_devices",
            lambda kind=None: devices if kind == "GPU" else [],
        )
    else:
        import jax

        monkeypatch.setattr(jax, "default_backend", lambda: "gpu" if present else "cpu")


def test_machine_on_a_cpu(monkeypatch):
    set_gpus(monkeypatch, False)
    assert machine() == ("cpu" if TENSORFLOW else "cpu_xla")


def test_machine_with_a_gpu(monkeypatch):
    set_gpus(monkeypatch, True)
    assert machine() == "accelerator"


@tensorflow_only
def test_machine_knows_a_graph_made_for_xla(monkeypatch):
    """Also from a function that such a graph calls."""
    import tensorflow as tf

    set_gpus(monkeypatch, False)
    found = {}

    def ask(name, x):
        found[name] = machine()
        return x

    def nested(name, x):
        return tf.function(lambda y: ask(name, y))(x)

    x = tf.zeros(())
    tf.function(lambda x: ask("graph", x))(x)
    tf.function(lambda x: nested("nested graph", x))(x)
    tf.function(lambda x: ask("xla", x), jit_compile=True)(x)
    tf.function(lambda x: nested("nested xla", x), jit_compile=True)(x)
    assert found == {
        "graph": "cpu",
        "nested graph": "cpu",
        "xla": "cpu_xla",
        "nested xla": "cpu_xla",
    }
