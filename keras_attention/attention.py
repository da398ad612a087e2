"""What an attention is, and where a network puts it.

The one place that knows what `"aw_se"` means. A layer's own file registers a
spec (a small frozen dataclass of its options) under a name and for a *site*:

- `conv` replaces the spatial convolutions of a block (AA, AW);
- `block` stands before the residual addition, or after a separable convolution
  (SE, CBAM, ...);
- `stage` stands between two stages (BAM).

An application turns its `attention=` argument into an `AttentionPlan`; its
blocks ask the plan what stands at their sites and never name an attention.
"""

import dataclasses
import fnmatch
import re
from collections.abc import Mapping

from keras_attention.choices import nearest_first, unknown

SITES = ("conv", "block", "stage")

_registry = {}  # name -> (spec class, options of this name)


class AttentionSpec:
    """Base of every spec: the options of one attention at one site.

    Subclasses are frozen dataclasses decorated with `register`, which sets
    `name`, `site` and `layer`.
    """

    name = None
    site = None
    layer = None

    def fields(self):
        """Field names and values."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def options(self):
        """The keyword arguments of the layer: the fields, unless overridden."""
        return self.fields()

    def make(self, **kwargs):
        """A new layer; a conv site adds the convolution's own arguments."""
        return self.layer(**self.options(), **kwargs)

    def at(self, index, count):
        """The spec for spatial convolution `index` of `count` in a block.

        Returns None where that convolution stays plain.
        """
        return self

    def accepts(self, height, width):
        """Whether a map of this size (output of the site, or None) is in range."""
        return True

    def to_dict(self):
        """A JSON-able form that `as_spec` reads back."""
        fields = {
            key: value.to_dict() if isinstance(value, AttentionSpec) else value
            for key, value in self.fields().items()
        }
        return {"name": self.name, **fields}

    def __str__(self):
        for name, (cls, options) in _registry.items():
            if cls is type(self) and cls(**options) == self:
                return name
        changed = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        ]
        return f"{self.name}({', '.join(changed)})"


def register(name, *, site, layer, variants=None):
    """Class decorator that makes a spec available by name everywhere.

    Args:
        name: lower-case name; `"_"` is allowed, and composed names are parsed
            longest registered name first.
        site: `"conv"`, `"block"` or `"stage"`.
        layer: the `keras.layers.Layer` class that `spec.make` instantiates.
        variants: dict of further names to the options that they stand for.

    Raises:
        ValueError: on a malformed or already registered name, or unknown site.

    Example:

    ```python
    @register("se", site="block", layer=SqueezeExcitation)
    @dataclass(frozen=True)
    class SE(AttentionSpec):
        reduction_ratio: int = 16
    ```
    """
    if site not in SITES:
        raise unknown("site", site, SITES)
    table = {name: {}, **(variants or {})}
    for key in table:
        if not isinstance(key, str) or not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", key):
            raise ValueError(
                "An attention's name is lower-case letters and digits joined by "
                f"single underscores. Received: {key!r}."
            )
        if key in _registry:
            raise ValueError(
                f"The attention name {key!r} is registered already, for "
                f"{_registry[key][0].__name__}. Choose another name."
            )

    def decorate(cls):
        cls.name, cls.site, cls.layer = name, site, layer
        for key, options in table.items():
            cls(**options)  # a misspelt option fails here, not in a user's network
            _registry[key] = (cls, options)
        return cls

    return decorate


@dataclasses.dataclass(frozen=True)
class PerConv(AttentionSpec):
    """A conv-site spec (or None) for each spatial convolution of a block, in order."""

    convs: tuple

    name = "per_conv"
    site = "conv"

    def at(self, index, count):
        if len(self.convs) != count:
            raise ValueError(
                f"{self} names {len(self.convs)} convolutions, and the block has "
                f"{count} spatial ones."
            )
        return self.convs[index]

    def __str__(self):
        return " then ".join(str(spec or "plain") for spec in self.convs)


def unregister(name):
    """Removes a name and its variants (for tests and notebooks that re-run)."""
    cls, _ = _lookup(name)
    for key in [key for key, (other, _) in _registry.items() if other is cls]:
        del _registry[key]


def names(site=None):
    """The registered names, sorted; only those of `site` if given."""
    if site is not None and site not in SITES:
        raise unknown("site", site, SITES)
    return sorted(
        name for name, (cls, _) in _registry.items() if site in (None, cls.site)
    )


def spec(name, **options):
    """The spec registered under `name`, with `options` changed.

    Args:
        name: one registered name (not a composition), e.g. `"cbam_reverse"`.
        **options: fields of the spec, e.g. `reduction_ratio=8`.

    Raises:
        ValueError: for an unknown name or option.
    """
    cls, preset = _lookup(name)
    known = [field.name for field in dataclasses.fields(cls)]
    for option in options:
        if option not in known:
            raise unknown(f"option of attention {name!r}", option, known)
    # JSON has lists where the specs, hashable, have tuples.
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return cls(**{**preset, **options})


def _lookup(name):
    if not isinstance(name, str) or name not in _registry:
        raise unknown("attention", name, _registry)
    return _registry[name]


def parse(name):
    """The specs of a composed name: `"aw_se"` → `(AW(), SE())`.

    Args:
        name: registered names joined by `"_"`, longest registered name first.

    Raises:
        ValueError: where a part is no registered name, or two parts share a site.
    """
    specs, rest = [], name
    while rest:
        heads = [key for key in _registry if rest == key or rest.startswith(key + "_")]
        if not heads:
            where = "" if rest == name else f" (in {name!r})"
            listed = ", ".join(map(repr, nearest_first(rest, _registry)))
            raise ValueError(
                f"Unknown attention: received {rest!r}{where}. Choose from: {listed}; "
                "one per site may be joined by '_', as in 'aw_se'."
            )
        head = max(heads, key=len)
        specs.append(spec(head))
        rest = rest[len(head) + 1 :]
    if not specs:
        raise unknown("attention", name, _registry)
    return _one_per_site(specs)


def _one_per_site(specs):
    taken = {}
    for item in specs:
        if item.site in taken:
            raise ValueError(
                f"Two attentions at one site: {taken[item.site]} and {item} both "
                f"stand at the {item.site!r} site. Keep one of them."
            )
        taken[item.site] = item
    return tuple(specs)


def as_specs(attention):
    """Normalises one entry of `attention=` to a tuple of specs.

    Args:
        attention: None, a name, a spec, a dict as `AttentionSpec.to_dict` makes
            it, or a list of these with at most one per site.

    Raises:
        ValueError: for anything else.
    """
    if attention is None:
        return ()
    if isinstance(attention, str):
        return parse(attention)
    if isinstance(attention, AttentionSpec):
        return (attention,)
    if isinstance(attention, Mapping) and "name" in attention:
        return (spec(**attention),)
    if isinstance(attention, list | tuple):
        return _one_per_site([item for entry in attention for item in as_specs(entry)])
    raise ValueError(
        "`attention` takes None, a name such as 'aw_se', a spec, a list of specs, or "
        f"one entry per block. Received: {attention!r} of type "
        f"{type(attention).__name__}. Names: {', '.join(names())}."
    )


def as_spec(attention, site):
    """Like `as_specs` for a single spec (or None) that must stand at `site`."""
    specs = as_specs(attention)
    if len(specs) > 1 or any(item.site != site for item in specs):
        raise ValueError(
            f"Expected one attention of site {site!r} here. Received: "
            f"{' and '.join(map(str, specs))}. Choose from: {', '.join(names(site))}."
        )
    return specs[0] if specs else None


@dataclasses.dataclass(frozen=True)
class Sites:
    """What stands at the sites of one block; None where nothing does.

    `explicit` is True where a person placed it here by block, so that a site
    which cannot take it is an error; False where one attention was asked for
    the whole network, which then stands wherever it fits.
    """

    conv: AttentionSpec | None = None
    block: AttentionSpec | None = None
    stage: AttentionSpec | None = None
    explicit: bool = False

    def conv_at(self, index, count):
        """The spec of spatial convolution `index` of the block's `count`."""
        return self.conv.at(index, count) if self.conv else None

    def __str__(self):
        placed = [str(s) for s in (self.conv, self.block, self.stage) if s is not None]
        return " + ".join(placed) or "none"


class AttentionPlan:
    """Which attention stands at each site of a network.

    Args:
        attention: what a user gave as `attention=`:
            - None, a name, a spec, or a list of specs: the same everywhere;
            - a list with one entry (any of the former) per block;
            - a dict from block names, or patterns such as `"stage3_*"`, to
              entries; a full name goes before a pattern, other blocks get none.
            Specs of different sites in a tuple are always the former.
        stages: number of blocks in each stage.
        stem: True if the network also has a block site after its stem, named
            `"stem"`. A list per block leaves it empty.

    Blocks are named `"stage{s}_block{b}"`, from 1. A stage-site spec stands after
    the last block of a stage, and never after the last stage: given for the whole
    network it stands after all others; given by block it belongs to the entry of
    a stage's last block.

    Raises:
        ValueError: for whatever does not fit, naming the entry and the choices.
    """

    def __init__(self, attention, stages, stem=False):
        self.stages = tuple(stages)
        self.blocks = tuple(
            f"stage{s}_block{b}"
            for s, depth in enumerate(self.stages, 1)
            for b in range(1, depth + 1)
        )
        self._stage_ends = {
            f"stage{s}_block{depth}" for s, depth in enumerate(self.stages[:-1], 1)
        }
        self._stem = stem
        self._sites = {name: Sites() for name in self._slots()}
        if isinstance(attention, Mapping) and "name" not in attention:
            self._place_by_name(attention)
        elif self._is_per_block(attention):
            for name, entry in zip(self.blocks, attention, strict=True):
                self._place(name, as_specs(entry))
        else:
            self._place_everywhere(as_specs(attention))

    def __getitem__(self, block):
        """The `Sites` of a block (or of `"stem"`)."""
        return self._sites[block]

    def _slots(self):
        return (("stem",) if self._stem else ()) + self.blocks

    def _is_per_block(self, attention):
        if not isinstance(attention, list | tuple):
            return False
        all_specs = all(isinstance(entry, AttentionSpec) for entry in attention)
        sites = [entry.site for entry in attention] if all_specs else []
        joined = all_specs and len(attention) > 0 and len(set(sites)) == len(sites)
        if joined and isinstance(attention, tuple):
            return False
        if joined and len(attention) == len(self.blocks) > 1:
            raise ValueError(
                f"Ambiguous `attention`: {len(attention)} specs of other sites, and "
                f"{len(self.blocks)} blocks. Give a tuple for all of them in every "
                "block, or a dict by block name."
            )
        if joined:
            return False
        if len(attention) != len(self.blocks):
            raise ValueError(
                f"`attention` has {len(attention)} entries and the network has "
                f"{len(self.blocks)} blocks (by stage: {self.stages}). Give one entry "
                f"per block, from {self.blocks[0]!r} to {self.blocks[-1]!r}."
            )
        return True

    def _place_everywhere(self, specs):
        for name in self._slots():
            self._sites[name] = Sites(
                **{s.site: s for s in specs if self._has_site(name, s.site)}
            )
        for s in specs:
            if s.site == "stage" and not self._stage_ends:
                raise ValueError(
                    f"{s} stands between stages, and this network has one stage only. "
                    f"Choose an attention of another site: {names('block')}."
                )

    def _place_by_name(self, entries):
        patterns = {}
        for key in entries:
            found = fnmatch.filter(self._slots(), key) if isinstance(key, str) else []
            if not found:
                raise unknown("block in `attention`", key, self._slots())
            if key in self._slots():
                continue
            for name in found:
                if name in patterns and name not in entries:
                    raise ValueError(
                        f"Two patterns in `attention` match {name!r}: "
                        f"{patterns[name]!r} and {key!r}. Name the block itself too, "
                        "or make the patterns disjoint."
                    )
                patterns[name] = key
        for name in self._slots():
            if name in entries:
                self._place(name, as_specs(entries[name]))
            elif name in patterns:
                specs = as_specs(entries[patterns[name]])
                self._place(name, [s for s in specs if self._has_site(name, s.site)])

    def _has_site(self, name, site):
        if name == "stem":
            return site == "block"
        return site != "stage" or name in self._stage_ends

    def _place(self, name, specs):
        for s in specs:
            if not self._has_site(name, s.site):
                raise ValueError(
                    f"{s} cannot stand at {name!r}: it has no {s.site!r} site. "
                    "Stage-site attentions stand after the last block of a stage: "
                    f"{sorted(self._stage_ends) or 'none here'}."
                )
        self._sites[name] = Sites(**{s.site: s for s in specs}, explicit=bool(specs))

    def __str__(self):
        width = max(map(len, self._slots()))
        return "\n".join(f"{n:<{width}}  {self._sites[n]}" for n in self._slots())
