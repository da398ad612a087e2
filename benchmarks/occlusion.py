"""Seconds of an occlusion map of one 32×32 image, a 4-pixel patch at stride 2.

    python benchmarks/occlusion.py --rounds 7

225 places of the patch and the image itself, in networks for CIFAR-10 with random
weights, interleaved in one process. The first call of each, which compiles, is counted
apart.
"""

import argparse
import time

import numpy as np

from keras_attention import applications
from keras_attention.timing import interleave, machine, quartiles
from keras_attention.visualization import occlusion_sensitivity

NETWORKS = {
    "cnn3": {},
    "cnn3, cbam": {"attention": "cbam"},
    "cifarresnet-20": {"input_shape": (32, 32, 3)},
    "resnet34": {"stem": "cifar", "input_shape": (32, 32, 3), "classes": 10},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    cases, first = {}, {}
    for name, options in NETWORKS.items():
        model = applications.build(name.split(",")[0], **options)

        def case(model=model):
            occlusion_sensitivity(model, image, patch=4, stride=2, verbose=0)

        start = time.perf_counter()
        case()
        first[name], cases[name] = time.perf_counter() - start, case
    seconds = interleave(cases, rounds)
    print(machine())
    print("| network | first call, s | later calls, s | quartiles |")
    print("|---|---:|---:|---|")
    for name, values in seconds.items():
        low, median, high = quartiles(values)
        print(
            f"| {name} | {first[name]:.2f} | {median:.2f} | {low:.2f} to {high:.2f} |"
        )


if __name__ == "__main__":
    main()
