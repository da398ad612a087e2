"""Parameter counts of the published networks; shapes only, no values are made."""

import keras
import numpy as np
import pytest

from keras_attention import applications

TORCHVISION = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnext50": 25_028_904,
    "resnext101": 44_177_704,
    "wideresnet50": 68_883_240,
    "wideresnet101": 126_886_696,
    "vgg16": 138_357_544,
}
# He et al.'s with option A, Zagoruyko's, Howard's; trainable parameters.
PAPERS = {
    "cifarresnet-20": 269_722,
    "cifarresnet-32": 464_154,
    "cifarresnet-56": 853_018,
    "cifarresnet-110": 1_727_962,
    "wideresnet-28-10": 36_479_194,
    "wideresnet-16-8": 10_961_370,
    "mobilenet": 4_231_976,
}
# Of the papers' tables, by the conventions that reproduce them.
WITH_ATTENTION = {
    ("resnet50", "aw"): 25_722_240,
    ("resnet50", "se"): 28_088_024,
    ("resnet50", "bam"): 25_557_032 + 17_361 + 68_513 + 272_193,
}


def trainable(name, **options):
    with keras.StatelessScope(initialize_variables=False):
        model = applications.build(name, **options)
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(("name", "count"), (TORCHVISION | PAPERS).items())
def test_plain(name, count):
    assert trainable(name) == count


@pytest.mark.parametrize(("name", "attention"), WITH_ATTENTION)
def test_with_attention(name, attention):
    assert trainable(name, attention=attention) == WITH_ATTENTION[name, attention]


@pytest.mark.parametrize("aw_variant", [None, 0, 1, 2, 3])
def test_aa_wide_resnet_of_the_aw_papers_table_2(aw_variant):
    """The reproducing configuration prints as the table does, in millions."""
    count = trainable(
        "aawideresnet-10-10",
        aw_variant=aw_variant,
        min_key_depth_per_head=1,
        qkv_kernel_size=3,
        use_bias=True,
    )
    printed = {None: "8.43", 0: "8.50", 1: "8.48", 2: "8.45", 3: "8.44"}
    assert f"{count / 1e6:.2f}" == printed[aw_variant]


def test_cbam_costs_resnet50_two_mlps_and_a_7x7_per_block():
    """Closed form: 2·C·C/16 + C/16 + C + 2·49 + 2 for each block's width."""
    added = 0
    for channels, depth in ((256, 3), (512, 4), (1024, 6), (2048, 3)):
        hidden = channels // 16
        added += depth * (2 * channels * hidden + hidden + channels + 98 + 2)
    assert trainable("resnet50", attention="cbam") == 25_557_032 + added
