"""What an attention is, and where a network puts it.

The one place that knows what `"aw_se"` means. A layer's own file registers a
spec (a small frozen dataclass of its options) under a name and for a *site*:

- `conv` replaces the spatial convolutions of a block (AA, AW);
- `block` stands before the residual addition, or after a separable convolution or
  an inverted residual's depthwise one (SE, CBAM, ...);
- `stage` stands between two stages (BAM).

An application turns its `attention=` argument into an `AttentionPlan` (`plan.py`).
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

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

    def __post_init__(self):
        for field in dataclasses.fields(self):  # lists, as JSON has, do not hash
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))

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

    def starting_at_identity(self):
        """This spec with `identity_start=True`: its layer changes nothing at first.

        Raises:
            ValueError: the attention has no such option.
        """
        if "identity_start" not in self.fields():
            raise ValueError(
                f"{self} cannot start as the identity: it has no option "
                "`identity_start`. Use identity_start=False, or another attention."
            )
        return dataclasses.replace(self, identity_start=True)

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
        for options in table.values():
            cls(**options)  # a misspelt option fails here, not in a user's network
        for key, options in table.items():
            _registry[key] = (cls, options)
        return cls

    return decorate


@dataclasses.dataclass(frozen=True)
class PerConv(AttentionSpec):
    """A conv-site spec (or None) for each spatial convolution of a block, in order.

    For code that builds a network, not for files: it has no registered name.
    """

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

    def to_dict(self):
        raise ValueError("PerConv has no registered name, and so no form for files.")

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
    while rest is not None:
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
        rest = None if rest == head else rest[len(head) + 1 :]
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


def recorded(attention):
    """`attention=` in JSON types, for files; `AttentionPlan` reads it back.

    Names stay names: what they stand for is for the reader to say, as it was at first.

    Args:
        attention: a name, a spec, a tuple of these or a dict for the whole network; or
            one of these or None for each block, in a list or another sequence.

    Raises:
        ValueError: anything else, or an unknown name.
    """
    if isinstance(attention, Mapping) and "name" not in attention:
        return {key: _recorded_entry(entry) for key, entry in attention.items()}
    if is_joined(attention):
        return {"*": _recorded_entry(attention)}
    if isinstance(attention, Sequence) and not isinstance(attention, str | bytes):
        return [_recorded_entry(entry) for entry in attention]
    return _recorded_entry(attention)


def is_joined(attention):
    """Whether a list or tuple is of specs of several sites, for every block."""
    if not isinstance(attention, list | tuple) or not attention:
        return False
    if not all(isinstance(entry, AttentionSpec) for entry in attention):
        return False
    return len({entry.site for entry in attention}) == len(attention)


def _recorded_entry(entry):
    if not as_specs(entry):  # which raises for what is none
        return None
    if isinstance(entry, AttentionSpec):
        return entry.to_dict()
    if isinstance(entry, list | tuple):
        return [_recorded_entry(part) for part in entry]
    return entry if isinstance(entry, str) else dict(entry)
