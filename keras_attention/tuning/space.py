"""What a search chooses from, in every block."""

from __future__ import annotations

import dataclasses

from keras_attention.attention import AttentionSpec
from keras_attention.choices import unknown
from keras_attention.layers import (
    AW,
    CBAMSpec,
    ChannelAttentionSpec,
    MVAMSpec,
    SpatialAttentionSpec,
)
from keras_attention.tuning.mixed import (
    MixedAttentionSpec,
    MixedCBAMSpec,
    check_candidates,
)
from keras_attention.tuning.mixed_conv import MixedConvSpec

__all__ = ["SPACES", "Operation", "SearchSpace", "search_space"]

PLAIN = "plain"


@dataclasses.dataclass(frozen=True)
class Operation:
    """One choice of a block: its symbol in tables, and the spec (None: identity)."""

    symbol: str
    attention: AttentionSpec | None = None


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The operations that each block chooses from; made by `search_space`.

    Args:
        name: str, of the space; genotypes carry it.
        operations: tuple of `Operation`, at least two, in the order of α.
        shared: the `MixedCBAMSpec` that computes the paper's five operations in four
            calls, or None: every operation has its own layer.
        parallel: an `Operation` that can be selected and is not searched, index
            `len(operations)`; or None.
        conv: the `AW` of the second axis, plain or AW-convolution; or None.

    Raises:
        ValueError: fewer than two operations, or two with one symbol.
    """

    name: str
    operations: tuple
    shared: MixedCBAMSpec | None = None
    parallel: Operation | None = None
    conv: AW | None = None

    def __post_init__(self):
        symbols = [operation.symbol for operation in self._all()]
        if len(self.operations) < 2 or len(set(symbols)) < len(symbols):
            raise ValueError(
                "A search space needs at least two operations, each with its own "
                f"symbol. Received: {symbols}."
            )

    @property
    def symbols(self):
        """Symbols of the searched operations, in the order of α."""
        return tuple(operation.symbol for operation in self.operations)

    @property
    def conv_symbols(self):
        """Symbols of the second axis, in the order of its α; () where it has none."""
        return () if self.conv is None else (PLAIN, str(self.conv))

    def spec(self):
        """What `attention=` takes for the supernet: a mixture in every block."""
        mixture = self.shared or MixedAttentionSpec(
            tuple(operation.attention for operation in self.operations)
        )
        if self.conv is None:
            return mixture
        return (MixedConvSpec(**self.conv.fields()), mixture)

    def entry(self, choice, conv=0):
        """What `attention=` takes for one block: None, a spec, or two.

        Args:
            choice: int, index of the operation; `len(operations)` is the parallel one.
            conv: 0 for a plain convolution, 1 for the AW-convolution.

        Raises:
            ValueError: there is no such choice.
        """
        block = self._chosen(choice).attention
        if not self._conv_at(conv):
            return block
        return self.conv if block is None else (self.conv, block)

    def symbol(self, choice, conv=0):
        """The entry's symbol in tables; arguments as `entry`."""
        block = self._chosen(choice).symbol
        return f"{self.conv} + {block}" if self._conv_at(conv) else block

    def _all(self):
        return (*self.operations, *([self.parallel] if self.parallel else []))

    def _chosen(self, choice):
        operations = self._all()
        if choice not in range(len(operations)):
            listed = ", ".join(f"{i} {o.symbol}" for i, o in enumerate(operations))
            raise ValueError(
                f"Space {self.name!r} has no operation {choice!r}. Choose from: "
                f"{listed}."
            )
        return operations[choice]

    def _conv_at(self, conv):
        if conv not in range(max(1, len(self.conv_symbols))):
            raise ValueError(
                f"Space {self.name!r} has no convolution {conv!r}. Choose from: "
                f"{', '.join(map(str, self.conv_symbols)) or '0 (it is not searched)'}."
            )
        return bool(conv)

    def __str__(self):
        axes = [", ".join(self.symbols), ", ".join(self.conv_symbols)]
        return f"{self.name}: {' × '.join(filter(None, axes))}"


def search_space(space, *, aw=False, **options):
    """The search space of a name or of a list of candidates.

    Args:
        space: `"sscbam"` (CBAM's parts, by mean and maximum), `"ssmvam"` (by mean and
            unbiased variance) or `"ssmvam_biased"`: Identity, CA⊕SA, SA⊕CA, CA, SA,
            and (CA, SA) to be selected. Or a list of at least two block-site
            attentions: names (`"none"` for the identity) or specs.
        aw: True for a second axis, plain or AW-convolution; or an `AW` with options.
        **options: of the attentions. For a named space `reduction_ratio`,
            `spatial_kernel_size` and `use_bias`; for a list any field that a
            candidate has, and that candidates without it do not get.

    Returns:
        A `SearchSpace`.

    Raises:
        ValueError: an unknown name or option; fewer than two candidates, one twice,
            or one of another site.

    Example:

    ```python
    space = search_space("sscbam", reduction_ratio=8)
    supernet = applications.ResNet18(attention=space.spec())
    ```
    """
    conv = _conv(aw)
    if isinstance(space, str):
        if space not in SPACES:
            raise unknown("search space", space, SPACES)
        return _five(space, conv, options)
    return _listed(space, conv, options)


def _five(name, conv, options):
    """A named space: the paper's operations, in its order."""
    both, channel_pooling, spatial_pooling = SPACES[name]
    for option in options:
        if option not in _OPTIONS:
            raise unknown("option of the search space", option, _OPTIONS)
    both = dataclasses.replace(both, **options)
    ratio, size, bias = (getattr(both, option) for option in _OPTIONS)

    def ordered(order):
        return dataclasses.replace(both, order=order)

    return SearchSpace(
        name,
        (
            Operation("Identity"),
            Operation("CA⊕SA", ordered("channel_spatial")),
            Operation("SA⊕CA", ordered("spatial_channel")),
            Operation("CA", ChannelAttentionSpec(ratio, channel_pooling, bias)),
            Operation("SA", SpatialAttentionSpec(size, spatial_pooling)),
        ),
        MixedCBAMSpec(ratio, channel_pooling, spatial_pooling, size, bias),
        Operation("(CA, SA)", ordered("parallel")),
        conv,
    )


def _listed(candidates, conv, options):
    """A space of any candidates, each with its own layer."""
    specs = check_candidates(_with_options(check_candidates(candidates), options))
    operations = tuple(Operation(str(spec or "none"), spec) for spec in specs)
    name = "+".join(operation.symbol for operation in operations)
    return SearchSpace(name, operations, conv=conv)


# The attention of both parts, and their statistics.
SPACES = {
    "sscbam": (CBAMSpec(), ("avg", "max"), ("max", "avg")),
    "ssmvam": (MVAMSpec(), ("avg", "var"), ("avg", "var")),
    "ssmvam_biased": (
        MVAMSpec(unbiased=False),
        ("avg", "biased_var"),
        ("avg", "biased_var"),
    ),
}
_OPTIONS = ("reduction_ratio", "spatial_kernel_size", "use_bias")


def _with_options(candidates, options):
    fields = [spec.fields() if spec else {} for spec in candidates]
    for option in options:
        if not any(option in known for known in fields):
            raise unknown(
                "option of the candidates",
                option,
                {field for known in fields for field in known},
            )
    return tuple(
        spec
        and dataclasses.replace(
            spec, **{key: options[key] for key in options if key in known}
        )
        for spec, known in zip(candidates, fields, strict=True)
    )


def _conv(aw):
    if isinstance(aw, bool):
        return AW() if aw else None
    if isinstance(aw, AW):
        return aw
    raise ValueError(
        "`aw` must be True, False, or an `AW` with its options. Received: "
        f"{aw!r} of type {type(aw).__name__}."
    )
