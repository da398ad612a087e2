"""Two replicas against one device with both batches; prints JSON for `test_steps.py`.

A program of its own, because devices are divided before anything else runs.
"""

import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)

import json  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402
from references import bilevel  # noqa: E402

from keras_attention.training import SGDL2  # noqa: E402
from keras_attention.tuning.penalty import Penalty  # noqa: E402
from keras_attention.tuning.steps import BilevelSteps  # noqa: E402

ROUNDS = 4
CLIP = 0.05  # well below the gradients' norm, so that where it is clipped shows


def make(start=None, synchronized=True, **options):
    """Steps on one network."""
    model = bilevel.network("tanh", synchronized=synchronized)
    if start:
        model.set_weights(start)
    return BilevelSteps(
        model,
        SGDL2(0.2, 0.9, l2=0.01),
        keras.optimizers.Adam(0.05, beta_1=0.5),
        architecture=bilevel.alphas_of(model),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        penalty=Penalty([4, 1, 2], 0.1),
        order=2,
        clip_norm=CLIP,
        **options,
    )


def search(steps):
    """Rounds of both steps on fixed batches; the metrics of all."""
    rng = np.random.default_rng(0)
    metrics = []
    for _ in range(ROUNDS):
        training = bilevel.batch(rng, 8, "float32")
        validation = bilevel.batch(rng, 8, "float32")
        metrics += steps.architecture_step(*training, *validation).values()
        metrics += steps.weight_step(*training).values()
    return [float(value) for value in metrics]


def state(steps):
    optimizers = steps.weight_optimizer, steps.architecture_optimizer
    return {
        "architecture": [v.numpy() for v in steps.architecture],
        "network": [v.numpy() for v in steps.model.variables],
        "optimizers": [v.numpy() for o in optimizers for v in o.variables],
    }


def difference(found, wanted):
    pairs = zip(found, wanted, strict=True)
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)


def main():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = make()
    start = one.model.get_weights()

    def copies(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(array)
        )

    with strategy.scope():
        two = make(start)
        apart = make(start, synchronized=False)
        try:
            make(start, jit_compile=True)
            with_xla = ""
        except ValueError as error:
            with_xla = str(error)
    before = state(one)["architecture"]
    metrics = search(one), search(two)
    try:
        two.weight_step(*bilevel.batch(np.random.default_rng(0), 7, "float32"))
        odd = ""
    except ValueError as error:
        odd = str(error)
    wanted, found = state(one), state(two)
    errors = {what: difference(found[what], wanted[what]) for what in wanted}
    errors["metrics"] = difference(*reversed(metrics))
    # Batch norm by replica: the same images on both are one device with those.
    alone = make(start, synchronized=False)
    batches = [
        *bilevel.batch(np.random.default_rng(1), 8, "float32"),
        *bilevel.batch(np.random.default_rng(2), 8, "float32"),
    ]
    alone.architecture_step(*batches)
    apart.architecture_step(*map(copies, batches))
    wanted, found = state(alone), state(apart)
    errors |= {f"{w} apart": difference(found[w], wanted[w]) for w in wanted}
    patched = ["_moments" in vars(layer) for layer in apart.model.layers]
    print(
        json.dumps(
            {
                "replicas": strategy.num_replicas_in_sync,
                "with XLA": with_xla,
                "an odd batch": odd,
                "moved": difference(before, wanted["architecture"]),
                "patched": any(patched),
                "errors": errors,
            }
        )
    )


main()
