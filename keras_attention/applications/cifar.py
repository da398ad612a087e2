"""Residual networks for 32×32 images: CIFAR ResNets, Wide ResNets, AA-WRN."""

from collections.abc import Mapping

from keras_attention.applications.common import COMMON_ARGUMENTS, names_arguments
from keras_attention.applications.resnet import ResNet
from keras_attention.attention import AttentionSpec, PerConv, as_specs
from keras_attention.choices import unknown
from keras_attention.layers.attention_augmented_conv import AA
from keras_attention.layers.aw_conv import AW
from keras_attention.layers.checks import positive_integer

AW_VARIANTS = (None, 0, 1, 2, 3)


@names_arguments(ResNet)
def CifarResNet(depth=20, classes=10, **kwargs):
    """ResNet of depth 6n + 2 for 32×32 images, with parameter-free shortcuts.

    Args:
        depth: int, 6n + 2: 20, 32, 44, 56, 110.
        classes: int, of the classifier.
        **kwargs: as `ResNet`; `shortcut="projection"` for option B.

    Raises:
        ValueError: another depth.

    Source: arXiv:1512.03385, section 4.2 (option A: 0.27 M parameters at 20).
    """
    blocks = _blocks_per_stage("depth", depth, 6, 2)
    options = {"stem": "cifar", "stem_width": 16, "shortcut": "pad"}
    options |= {"name": f"cifarresnet-{depth}", "classes": classes, **kwargs}
    return ResNet((blocks,) * 3, (16, 32, 64), "basic", **options)


@names_arguments(ResNet)
def WideResNet(depth=28, width=10, classes=10, **kwargs):
    """Wide ResNet WRN-depth-width for 32×32 images, with pre-activation blocks.

    Args:
        depth: int, 6n + 4: 10, 16, 22, 28, 40.
        width: int ≥ 1, the stages' widths are 16, 32, 64 times it.
        classes: int, of the classifier.
        **kwargs: as `ResNet`; `dropout` is that of section 2.4.

    Raises:
        ValueError: another depth.

    Source: arXiv:1605.07146 (WRN-28-10: 36.5 M parameters).
    """
    blocks = _blocks_per_stage("depth", depth, 6, 4)
    positive_integer("width", width)
    options = {"stem": "cifar", "stem_width": 16, "name": f"wideresnet-{depth}-{width}"}
    options |= {"classes": classes, **kwargs}
    widths = tuple(base * width for base in (16, 32, 64))
    return ResNet((blocks,) * 3, widths, "preactivation", **options)


@names_arguments(ResNet)
def AAWideResNet(
    depth=28,
    width=10,
    aw_variant=None,
    classes=100,
    attention=None,
    key_depth=0.2,
    value_depth=0.1,
    num_heads=8,
    min_key_depth_per_head=20,
    qkv_kernel_size=1,
    **kwargs,
):
    """Wide ResNet with an attention-augmented first convolution in every block.

    Args:
        depth, width, classes, **kwargs: as `WideResNet`.
        aw_variant: None, or where AW-convolution joins in: 0, the block's second
            3×3; 1, the convolution beside the attention; 2, the query-key-value
            convolution; 3, the attention's output convolution.
        attention: for the block and stage sites: a name, a spec or a list of specs,
            the same in all blocks; the conv site is taken.
        key_depth, value_depth, num_heads, min_key_depth_per_head, qkv_kernel_size:
            of `AttentionAugmentedConv2D`.

    Raises:
        ValueError: an unknown variant, a conv-site `attention`.

    Source: arXiv:1904.09925, section 4.1; variants: arXiv:2108.08205, table 2. That
    table's rows count 8.4 M parameters, which WRN-28-10 cannot have (here 36.3 M);
    `AAWideResNet(10, 10, min_key_depth_per_head=1, qkv_kernel_size=3,
    use_bias=True)` has them in all five.
    """
    if aw_variant not in AW_VARIANTS or isinstance(aw_variant, bool):
        raise unknown("aw_variant", aw_variant, map(str, AW_VARIANTS))
    parts = {1: "conv_attention", 2: "qkv_attention", 3: "output_attention"}
    augmented = AA(
        key_depth=key_depth,
        value_depth=value_depth,
        num_heads=num_heads,
        min_key_depth_per_head=min_key_depth_per_head,
        qkv_kernel_size=qkv_kernel_size,
        max_positions=None,
        **({parts[aw_variant]: AW()} if aw_variant in parts else {}),
    )
    convs = PerConv((augmented, AW() if aw_variant == 0 else None))
    suffix = "" if aw_variant is None else f"-aw{aw_variant}"
    options = {"name": f"aawideresnet-{depth}-{width}{suffix}", **kwargs}
    return WideResNet(
        depth, width, classes, attention=_join(convs, attention), **options
    )


WideResNet.__doc__ += COMMON_ARGUMENTS
CifarResNet.__doc__ += COMMON_ARGUMENTS


def _join(convs, attention):
    by_block = isinstance(attention, list) and not all(
        isinstance(item, AttentionSpec) for item in attention
    )
    if by_block or (isinstance(attention, Mapping) and "name" not in attention):
        raise ValueError(
            "AAWideResNet takes one `attention` for all blocks: a name, a spec, or a "
            f"list of specs. Received: {attention!r}. By block use WideResNet, with "
            "AA() in the entries."
        )
    return as_specs((convs, attention))


def _blocks_per_stage(name, depth, step, offset):
    positive_integer(name, depth)
    if depth < step + offset or (depth - offset) % step:
        choices = [step * n + offset for n in range(1, 19)]
        near = sorted(choices, key=lambda choice: abs(choice - depth))[:3]
        raise ValueError(
            f"`{name}` must be {step}n + {offset}. Received: {depth}. "
            f"Nearest: {sorted(near)}."
        )
    return (depth - offset) // step
