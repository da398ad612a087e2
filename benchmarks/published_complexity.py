"""The 52 published complexity rows, recounted.

`python benchmarks/published_complexity.py` prints a markdown table, in one to two
minutes on one core. The rows are
`tests/published/complexity.csv`: table 4 of CBAM (arXiv:1807.06521), tables 1 and 2
of AW-convolution (arXiv:2108.08205). `NETWORKS` and `ATTENTIONS` are the one place
that says which network of this library a row is; the tests read them too.
"""

import csv
import dataclasses
import functools
import pathlib
from decimal import ROUND_HALF_UP, Decimal

import keras

from keras_attention import applications
from keras_attention.counting import complexity

TABLE = pathlib.Path(__file__).parents[1] / "tests" / "published" / "complexity.csv"

# The papers' bottleneck strides in its first 1×1.
_STRIDE = {"stride_in_1x1": True}
_CIFAR_RESNET50 = {"stem": "cifar", "classes": 100}
# The configuration that has the printed parameters; the paper does not give its own.
_AA = {
    "depth": 10,
    "width": 10,
    "min_key_depth_per_head": 1,
    "qkv_kernel_size": 3,
    "use_bias": True,
}

# (dataset, name before "+") -> (constructor, its arguments)
NETWORKS = {
    ("imagenet", "ResNet18"): (applications.ResNet18, {}),
    ("imagenet", "ResNet34"): (applications.ResNet34, {}),
    ("imagenet", "ResNet50"): (applications.ResNet50, _STRIDE),
    ("imagenet", "ResNet101"): (applications.ResNet101, _STRIDE),
    ("imagenet", "WideResNet18(1.5)"): (applications.WideResNet18, {"width": 1.5}),
    ("imagenet", "WideResNet18(2.0)"): (applications.WideResNet18, {"width": 2.0}),
    ("imagenet", "ResNeXt50(32x4d)"): (applications.ResNeXt50, _STRIDE),
    ("imagenet", "ResNeXt101(32x4d)"): (applications.ResNeXt101, _STRIDE),
    ("imagenet", "MobileNet"): (applications.MobileNet, {}),
    ("cifar100", "ResNet50"): (applications.ResNet50, _STRIDE | _CIFAR_RESNET50),
    ("cifar100", "AA-WideResNet"): (applications.AAWideResNet, _AA),
    **{
        ("cifar100", f"AW-AA-WideResNet-{variant}"): (
            applications.AAWideResNet,
            _AA | {"aw_variant": variant},
        )
        for variant in range(4)
    },
}

# name after "+" -> `attention=`
ATTENTIONS = {
    "": None,
    "SE": "se",
    "CBAM": "cbam",
    "AW": "aw",
    "AW-SE": "aw_se",
    "AW-CBAM": "aw_cbam",
    "AW-CBAM(MaxPool)": "aw_cbam_maxpool",
    "AW-CBAM(Spatial)": "aw_cbam_spatial",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """A printed row beside our counts.

    Attributes:
        source, dataset, model: as printed; `source` is "CBAM" or "AW".
        printed_parameters, printed_gflops: text in millions and in 10⁹.
        parameters: trainable ones, ours.
        multiply_adds: of convolutions and fully-connected layers, ours.
    """

    source: str
    dataset: str
    model: str
    printed_parameters: str
    printed_gflops: str
    parameters: int
    multiply_adds: int

    @property
    def name(self):
        return f"{self.source} {self.dataset} {self.model}"

    @property
    def our_parameters(self):
        """Text with as many decimals as the printed one."""
        return rounded_like(self.printed_parameters, self.parameters, 6)

    @property
    def our_gflops(self):
        """Text with as many decimals as the printed one."""
        return rounded_like(self.printed_gflops, self.multiply_adds, 9)


def rounded_like(printed, count, exponent):
    """count / 10^exponent to the decimals of `printed`, halves up, without floats."""
    exact = Decimal(count).scaleb(-exponent)
    return str(exact.quantize(Decimal(printed), rounding=ROUND_HALF_UP))


@functools.cache
def counts(dataset, model):
    """(trainable parameters, multiply-adds) of a row's network, built once.

    In a `StatelessScope` no weight gets a value: only shapes are counted.
    """
    network, _, attention = model.partition("+")
    constructor, arguments = NETWORKS[dataset, network]
    with keras.StatelessScope(initialize_variables=False):
        built = constructor(attention=ATTENTIONS[attention], **arguments)
        result = complexity(built)
    return result.trainable_parameters, result.multiply_adds


def rows():
    """The 52 rows in their order, recounted."""
    with TABLE.open(newline="") as file:
        for line in csv.DictReader(file):
            yield Row(
                line["source"],
                line["dataset"],
                line["model"],
                line["params_M"],
                line["gflops"],
                *counts(line["dataset"], line["model"]),
            )


def markdown(rows):
    """The table: printed, ours (rounded alike), and whether they are equal."""
    head = (
        "Source",
        "Data",
        "Model",
        "M params printed",
        "ours",
        "equal",
        "GFLOPs printed",
        "ours",
        "equal",
    )
    lines = [head, ("---",) * len(head)]
    for row in rows:
        pairs = (
            (row.printed_parameters, row.our_parameters),
            (row.printed_gflops, row.our_gflops),
        )
        cells = [(*pair, "yes" if len(set(pair)) == 1 else "**no**") for pair in pairs]
        lines.append((row.source, row.dataset, row.model, *cells[0], *cells[1]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(markdown(rows()))
