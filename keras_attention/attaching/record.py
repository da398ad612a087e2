"""Which attention was attached where."""

import weakref
from dataclasses import dataclass

from keras_attention.attention import AttentionSpec

__all__ = ["Placement", "Placements", "placements"]

_known = weakref.WeakKeyDictionary()  # model: Placements


@dataclass(frozen=True)
class Placement:
    """One attention that was attached.

    Args:
        layer: path of the layer that it is, such as `"backbone/conv2_add_se"`.
        spec: what it was made of.
        place: where it stands, in words.
    """

    layer: str
    spec: AttentionSpec
    place: str


class Placements(tuple):
    """The `Placement`s of a model, in order.

    Attributes:
        skipped: {path: why an addition or convolution there has no attention}.
    """

    def __new__(cls, found=(), skipped=None):
        made = super().__new__(cls, found)
        made.skipped = dict(skipped or {})
        return made

    def __str__(self):
        lines = [f"{one.layer}: {one.spec}, {one.place}" for one in self]
        lines += [f"{path}: nothing, as {why}" for path, why in self.skipped.items()]
        return "\n".join(lines)


def placements(model):
    """What `attach` put into a model, and where.

    Args:
        model: what `attach` or `fold` returned. A model from a file does not know.

    Returns:
        `Placements`, a tuple of `Placement(layer, spec, place)` whose `skipped` says
        why other additions or convolutions have none.

    Raises:
        ValueError: another model.
    """
    if model not in _known:
        raise ValueError(
            f"Model {getattr(model, 'name', model)!r} is none that `attach` or `fold` "
            "returned in this process, so where its attention stands is not known. "
            "Its layers are named '{layer}_{attention}'."
        )
    return _known[model]


def recorded(model):
    """`placements` of a model; none of a model that is not known."""
    return _known.get(model, Placements())


def remember(model, found, skipped):
    """Let `placements` know a model."""
    _known[model] = Placements(found, skipped)
