"""Attention put into a network that is there already."""

from collections.abc import Mapping

from keras_attention.attaching.finding import find_places
from keras_attention.attaching.graph import Graph
from keras_attention.attaching.putting import Putting
from keras_attention.attaching.record import recorded, remember
from keras_attention.attaching.rewriting import Rewriting
from keras_attention.attention import as_specs, names
from keras_attention.choices import unknown

__all__ = ["attach"]


def attach(model, attention, where=None, identity_start=True):
    """A network like the given one, with attention in it.

    By default the new network computes what the old one does, to the last bits, until
    a training step changes it: the attention starts as the identity. Weights, names of
    layers and inputs, dtype policies and `trainable` flags stay; the given network is
    not changed and shares no weights with the new one.

    Args:
        model: a functional or sequential model that is built, such as those of
            `keras.applications` and Keras Hub's backbones. Models in it are gone into.
        attention: a name such as `"se"` or `"aw_se"`, a spec, or a list of them with at
            most one per site.
        where: None for the site of each attention:
            - block: before every residual addition, on the residual branch; between
              stages where the model has none;
            - stage: between stages, behind the last image through which every way to a
              lower resolution goes, and not behind the last stage;
            - conv: in place of all spatial convolutions (`Conv2D` of a kernel above
              1×1) but the stem, or of the pointwise ones where there are no spatial.
            Or, for one attention: `"before_add"`, `"after_add"`, `"between_stages"`;
            a layer's name, a list of names, a compiled regular expression that is
            searched for in names, or a function of a layer that says whether. The
            attention then stands behind these layers (conv: in place of them). Layers
            of a model in the model are named `"backbone/conv1"`.
            Or a dict from sites to any of these.
        identity_start: False for the plain attention, which changes the network at
            once.

    Returns:
        A plain functional `keras.Model`, not compiled, that `keras.saving.load_model`
        loads. `placements(model)` says where the attention is. A new layer is named
        `"{layer that it stands at}_{attention}"`; a replaced convolution keeps its
        name. Where an attention stands behind an output layer, that output has its
        name.

    Raises:
        ValueError: a model of another kind, an unknown name in `where`, nothing that
            `where` fits, or a place that cannot take the attention. With `where=None`
            it stands wherever it fits, and `placements(model).skipped` has the rest.

    Of a frozen convolution, an AW convolution is frozen, kernel and branch. Other
    attentions are trainable in a frozen model too: its layers are frozen instead of
    it. In a model that is called with `training=False` they run in inference too.
    An attention behind a layer that is called several times is called as often.
    """
    specs = as_specs(attention)
    if not specs:
        raise ValueError(
            f"There is no attention to attach. Received: attention={attention!r}. "
            f"Choose from: {', '.join(names())}."
        )
    wheres = _by_site(where, specs)
    root = Graph(model)
    rewriting, earlier = Rewriting(root), recorded(model)
    found, skipped = [*earlier], {**earlier.skipped}
    for spec in specs:
        places, others = find_places(root, spec, wheres[spec.site])
        putting = Putting(rewriting, spec, identity_start)
        placed, narrow = putting.put(places, explicit=wheres[spec.site] is not None)
        found += placed
        skipped.update({**others, **narrow})
    attached = rewriting.build()
    remember(attached, found, skipped)
    return attached


def _by_site(where, specs):
    """{site: where} for the sites of these specs."""
    sites = [spec.site for spec in specs]
    if isinstance(where, Mapping):
        for site in where:
            if site not in sites:
                raise unknown("site in `where`", site, sites)
        return {site: where.get(site) for site in sites}
    if where is not None and len(specs) > 1:
        raise ValueError(
            f"`where` says for one attention where it stands, and there are "
            f"{len(specs)}: {', '.join(map(str, specs))}. Received: where={where!r}. "
            f"Give a dict by site, such as {{{sites[0]!r}: {where!r}}}; the others "
            "stand at their own."
        )
    return dict.fromkeys(sites, where)
