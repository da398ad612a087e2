"""AW-convolution against a plain one: forward and training step, every strategy.

    python benchmarks/aw_conv.py --output runs/benchmarks

The four 3×3 shapes of ResNet50 at 224×224, batch 16, channels last, float32. On the
TensorFlow backend both op by op and under XLA; `KERAS_BACKEND=jax` for JAX. The
convolution is given its attention map: the branch that makes one is timed with whole
networks, in `models.py`. Op by op, two rows show what the strategies' bare work takes,
the convolutions or the products alone with all operands at hand, to which the kernels,
shifts and scalings come. About a minute for each backend.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from interleaved import draw, ratio_row, write

from keras_attention.ops.sample_conv import attention_weighted_conv2d
from keras_attention.ops.sample_conv.cost import choose
from keras_attention.timing import interleave, machine

BATCH = 16
SHAPES = ((64, 56), (128, 28), (256, 14), (512, 7))
TARGETS = {
    ("cpu", "forward"): 1.10,
    ("cpu", "training"): 1.25,
    ("cpu_xla", "training"): 1.80,
}
STRATEGIES = {
    "cpu": ("per_sample", "taps", "im2col"),
    "cpu_xla": ("taps", "im2col"),  # the loop is not for XLA
}


def plain(inputs, kernel, attention):
    return keras.ops.conv(inputs, kernel, padding="same", data_format="channels_last")


def weighted(strategy):
    def conv(inputs, kernel, attention):
        return attention_weighted_conv2d(
            inputs, kernel, attention, padding="same", strategy=strategy
        )

    return conv


def convolutions_alone(*images_and_kernels):
    """What the loop cannot do without: one convolution for each sample."""
    images, kernels = images_and_kernels[:BATCH], images_and_kernels[BATCH:]
    return [
        keras.ops.conv(image, kernel, padding="same", data_format="channels_last")
        for image, kernel in zip(images, kernels, strict=True)
    ]


def products_alone(inputs, kernel):
    """What the tap sums cannot do without: one matrix product for each tap."""
    rows = keras.ops.reshape(inputs, (-1, inputs.shape[-1]))
    return [rows @ kernel[j, k] for j in range(3) for k in range(3)]


def floor_cases(arrays, training):
    """The bare work of both strategies, on TensorFlow op by op."""
    import tensorflow as tf

    inputs, kernel = arrays[:2]
    images = np.split(inputs, BATCH)
    kernels = [kernel + n for n in range(BATCH)]
    functions = {
        "convolutions alone": (convolutions_alone, (*images, *kernels)),
        "products alone": (products_alone, (inputs, kernel)),
    }

    def make(function, operands):
        tensors = [tf.constant(array) for array in operands]

        @tf.function(autograph=False)
        def run(*tensors):
            if not training:
                return function(*tensors)
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                outputs = function(*tensors)
            cotangents = [tf.ones_like(output) for output in outputs]
            found = tape.gradient(outputs, tensors, output_gradients=cotangents)
            return [*outputs, *found]

        def case():
            keras.ops.ravel(run(*tensors)[-1])[0].numpy()

        return case

    return {name: make(*parts) for name, parts in functions.items()}


def tensorflow_case(function, operands, training, xla):
    import tensorflow as tf

    tensors = [tf.constant(array) for array in operands]

    @tf.function(jit_compile=xla, autograph=False)
    def run(*tensors):
        *sources, cotangent = tensors
        if not training:
            return function(*sources)
        with tf.GradientTape() as tape:
            tape.watch(sources)
            outputs = function(*sources)
        # The sum keeps the forward pass, which a plain gradient would not need.
        found = tape.gradient(outputs, sources, output_gradients=cotangent)
        return tf.reduce_sum(outputs), [g for g in found if g is not None]

    def case():
        result = run(*tensors)
        # Fetching a number waits for the whole graph.
        (result[0] if training else result[0, 0, 0, 0]).numpy()

    return case


def jax_case(function, operands, training, xla):
    import jax

    arrays = [jax.numpy.asarray(array) for array in operands]

    @jax.jit
    def run(*arrays):
        *sources, cotangent = arrays
        if not training:
            return function(*sources)
        outputs, gradient = jax.vjp(function, *sources)
        return outputs.sum(), gradient(cotangent)

    def case():
        jax.block_until_ready(run(*arrays))

    return case


def operands(channels, side):
    rng = np.random.default_rng(0)
    shapes = {
        "inputs": (BATCH, side, side, channels),
        "kernel": (3, 3, channels, channels),
        "attention": (BATCH, 3, 3, 1, channels),
        "cotangent": (BATCH, side, side, channels),
    }
    return [rng.normal(size=shape).astype("float32") for shape in shapes.values()]


def rows_of(channels, side, machine_kind, mode, rounds):
    make = {"tensorflow": tensorflow_case, "jax": jax_case}[keras.backend.backend()]
    arrays, training = operands(channels, side), mode == "training"
    xla = machine_kind == "cpu_xla"
    functions = {"plain": plain}
    functions |= {name: weighted(name) for name in STRATEGIES[machine_kind]}
    cases = {
        name: make(function, arrays, training, xla)
        for name, function in functions.items()
    }
    if machine_kind == "cpu":
        cases |= floor_cases(arrays, training)
    seconds = interleave(cases, rounds)
    chosen = choose(
        STRATEGIES[machine_kind],
        (3, 3, channels, channels),
        (side, side),
        training,
        machine_kind,
    )
    for name in [name for name in cases if name != "plain"]:
        target = TARGETS.get((machine_kind, mode)) if name == chosen else None
        yield {
            "backend": keras.backend.backend(),
            "execution": "XLA" if xla else "op by op",
            "shape": f"{channels} at {side}x{side}",
            "pass": mode,
            "strategy": name,
            "chosen": name == chosen,
            **ratio_row(seconds, name, "plain"),
            "target": target,
        }


def picture(rows, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = list(dict.fromkeys((row["execution"], row["pass"]) for row in rows))
    figure, grid = pyplot.subplots(
        1, len(panels), figsize=(4.6 * len(panels), 5), layout="constrained"
    )
    for axes, panel in zip(grid, panels, strict=True):
        own = [row for row in rows if (row["execution"], row["pass"]) == panel]
        labels = [
            f"{row['shape']}, {row['strategy']}{' (chosen)' if row['chosen'] else ''}"
            for row in own
        ]
        draw(axes, own, labels)
        axes.set_title(f"{panel[1]}, {panel[0]}")
        axes.set_xlabel("time / a plain 3×3 convolution's")
    figure.legend(
        *grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2
    )
    figure.suptitle(
        f"AW-convolution 3×3, batch {BATCH}\n{machine()}", fontsize="medium"
    )
    figure.savefig(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    backend = keras.backend.backend()
    kinds = ("cpu", "cpu_xla") if backend == "tensorflow" else ("cpu_xla",)
    rows = []
    for kind in kinds:
        for mode in ("forward", "training"):
            for channels, side in SHAPES:
                for row in rows_of(channels, side, kind, mode, arguments.rounds):
                    rows.append(row)
                    mark = "  <- chosen" if row["chosen"] else ""
                    print(*list(row.values())[:5], row["ratio"], mark, flush=True)
    path = arguments.output / f"aw_conv_{backend}.csv"
    write(rows, path)
    picture(rows, path.with_suffix(".svg"))
    print(f"written: {path} and its picture", file=sys.stderr)


if __name__ == "__main__":
    main()
