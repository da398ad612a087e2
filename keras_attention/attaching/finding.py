"""From `where` to places."""

from keras_attention.attaching.convolutions import convolution_places
from keras_attention.attaching.naming import by_where, candidates
from keras_attention.attaching.places import Place, refusal
from keras_attention.attaching.residuals import residual_additions
from keras_attention.attaching.stages import stage_ends

__all__ = ["find_places"]

POSITIONS = ("before_add", "after_add", "between_stages")


def find_places(root, spec, where=None):
    """Where one attention stands.

    Args:
        root: `Graph` of the whole model.
        spec: the attention.
        where: see `attach`.

    Returns:
        (list of `Place`, {path: why an addition or convolution is no place}).

    Raises:
        ValueError: an unknown name, no place at all, or one that cannot take it; with
            `where=None` only if none can.
    """
    skipped = {}
    if where is None:
        places, skipped = _by_site(root, spec)
    elif isinstance(where, str) and where in POSITIONS:
        if spec.site == "conv":
            raise ValueError(
                f"{spec} takes the place of convolutions and cannot stand at "
                f"{where!r}. Leave `where` out, or give names of convolutions."
            )
        places, skipped = _at_positions(root, where)
    else:
        places = _at_layers(root, spec, where)
    if not places:
        raise _nothing(root, spec, where, skipped)
    reasons = {place: refusal(place, spec) for place in places}
    fitting = [place for place in places if reasons[place] is None]
    for place in places:
        if reasons[place] and (where is not None or not fitting):
            raise ValueError(f"{spec} cannot stand {place}: {reasons[place]}.")
        if reasons[place]:
            skipped[place.path] = reasons[place]
    return fitting, skipped


def _by_site(root, spec):
    if spec.site == "conv":
        return convolution_places(root)
    if spec.site == "stage":
        return _at_positions(root, "between_stages")
    places, skipped = _at_positions(root, "before_add")
    return (places or _at_positions(root, "between_stages")[0]), skipped


def _at_positions(root, where):
    places, skipped = [], {}
    for graph in root.all():
        if where == "between_stages":
            places += [Place(graph, call, "behind") for call in stage_ends(graph)]
            continue
        branches, others = residual_additions(graph)
        skipped.update(others)
        for index, branch in branches.items():
            call = graph.calls[index]
            if where == "after_add":
                places.append(Place(graph, call, "behind"))
            else:
                places.append(Place(graph, call, "before", branch))
    return places, skipped


def _at_layers(root, spec, where):
    places = []
    for graph, first in by_where(root, where):
        if spec.site == "conv":
            places.append(Place(graph, first, "instead"))
        else:
            calls = graph.calls_of(first.operation)
            places += [Place(graph, call, "behind") for call in calls]
    return places


def _nothing(root, spec, where, skipped):
    kind = "instead" if spec.site == "conv" else "behind"
    words = "in place of" if spec.site == "conv" else "behind"

    def fits(graph, call):
        return not call.is_input and refusal(Place(graph, call, kind), spec) is None

    reasons = "".join(f"\n  {path!r}: {why}" for path, why in skipped.items())
    return ValueError(
        f"{spec} finds no place in {root.original.name!r} with where={where!r}. Give "
        f"`where` names of layers; it can stand {words} "
        f"{candidates(root, fits)}." + (f" Passed over:{reasons}" if reasons else "")
    )
