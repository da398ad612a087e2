"""Two devices against one with the same batches; prints JSON for `test_sharing.py`.

A program of its own, because devices are divided before anything else runs.
"""

import json
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
from references.toy_detector import ToyDetector, noise_images
from shared_training import difference, fit, network

from keras_attention import detection, training
from keras_attention.training.distribution import distributed
from keras_attention.training.logical_devices import divide_cpu
from keras_attention.training.norms import synchronized_norms

TWO = "cpu:2"
CLIPPINGS = {"global_clipnorm": 0.05, "clipnorm": 0.02, "clipvalue": 0.005}
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(160, 8, 8, 1)).astype("float32")
LABELS = RNG.integers(0, 10, 160)


def trained(images, labels, batch_size, batch_norm="synchronized", **clipping):
    """A network after 20 steps."""
    model = network(norm=not clipping)
    model.compile(
        training.SGDL2(0.1, 0.9, l2=1e-3, **clipping),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    with synchronized_norms(model, batch_norm):
        model.fit(images, labels, batch_size=batch_size, shuffle=False, verbose=0)
    return model


def clipped(**clipping):
    one = trained(IMAGES, LABELS, 8, **clipping)
    with distributed(TWO):
        return difference(trained(IMAGES, LABELS, 8, **clipping), one)


def per_replica():
    """Each device has the same four images, which one device has alone."""
    one = trained(IMAGES[:80], LABELS[:80], 4)
    twice = np.arange(80).reshape(20, 1, 4).repeat(2, axis=1).ravel()
    with distributed(TWO):
        two = trained(IMAGES[twice], LABELS[twice], 8, "per_replica")
    return difference(two, one)


def go_on_alone(out):
    """A run of two devices, whose second epoch one device trains."""
    with distributed(TWO):
        fit(out, stop_after=1)
    return fit(out, resume=True)


def detector(out):
    """A detector after six steps, and the last row of its history."""
    keras.utils.set_random_seed(7)
    model = ToyDetector()
    images, few = noise_images(4), noise_images(3)
    recipe = detection.detection_recipe(
        "quick", epochs=3, batch_size=2, short_side=32, long_side=64
    )
    rows = detection.fit(model, images, few, recipe, out=out, verbose=0)
    return model, rows[-1]


def two_detect(out):
    """The differences that a second device makes to a detector and its history."""
    one, wanted = detector(out / "detector")
    with distributed(TWO):
        two, found = detector(out / "detectors")
    apart = [abs(found[name] - wanted[name]) for name in set(wanted) - {"seconds"}]
    return {"detector": difference(two, one), "detector's history": max(apart)}


def refused(act):
    try:
        act()
    except ValueError as error:
        return str(error)
    return ""


def enter(distribute):
    with distributed(distribute):
        pass


def half_precision(out):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        fit(out)
    finally:
        keras.config.set_dtype_policy("float32")


def main(out):
    divide_cpu(2)
    one = fit(out / "one")
    with distributed(TWO):
        two = fit(out / "two")
        refusals = {
            "in a scope": refused(lambda: enter("devices")),
            "an odd batch": refused(lambda: fit(out / "odd", batch_size=15)),
        }
        if keras.backend.backend() == "tensorflow":
            refusals["float16"] = refused(lambda: half_precision(out / "half"))
            refusals["detector"] = refused(lambda: detector(out / "detector"))
        else:
            refusals["per replica"] = refused(
                lambda: fit(out / "own", batch_norm="per_replica")
            )
    refusals["hosts"] = refused(lambda: enter("hosts"))
    refusals["late"] = refused(lambda: enter("cpu:3"))
    differences = {"two": difference(two, one)}
    differences["going on"] = difference(go_on_alone(out / "twice"), one)
    for name, value in CLIPPINGS.items():
        differences[name] = clipped(**{name: value})
    if keras.backend.backend() == "tensorflow":
        differences["per replica"] = per_replica()
    else:
        differences |= two_detect(out)
    with zipfile.ZipFile(out / "two/last.keras") as archive:
        config = json.loads(archive.read("config.json"))["config"]["layers"]
    print(
        json.dumps(
            {
                "differences": differences,
                "refusals": refusals,
                "moved": difference(one, network()),
                "saved": [each["config"].get("synchronized") for each in config],
            }
        )
    )


main(Path(sys.argv[1]))
