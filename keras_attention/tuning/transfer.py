"""The weights of a supernet in the network of its genotype."""

from keras_attention.layers.convolution import Conv2D
from keras_attention.tuning.mixed import Mixture, block_of, mixed_layers, weights_below

__all__ = ["transfer"]


def transfer(supernet, network, genotype):
    """Copies a supernet's weights into the discrete network of a genotype.

    Shared weights go to where they belong, the chosen candidates' to the attention
    that they became; α and the weights of other candidates stay behind. Where every
    p is one at the chosen operation, both networks compute the same.

    Args:
        supernet: an application built with `attention=space.spec()`.
        network: the same application built with `attention=genotype`; its weights
            are replaced.
        genotype: a `Genotype` with the supernet's blocks.

    Raises:
        ValueError: blocks that differ, a network that is not the genotype's, or
            weights that fit nowhere, naming the first. Nothing is copied then.
    """
    chosen = _chosen(supernet, genotype)
    sources = {layer.name: layer for layer in supernet.layers}
    targets = {layer.name: layer for layer in network.layers}
    pairs = []
    for target in network.layers:
        source = sources.get(target.name)
        _check_attention(source, target, chosen)
        pairs += _fitted(_weights(source, target), target)
    for source in supernet.layers:
        _check_has_place(source, targets, chosen)
    for source, target in pairs:
        target.assign(source)


def _chosen(supernet, genotype):
    """{name of a mixed layer: the spec that stands there in the genotype, or None}."""
    layers = mixed_layers(supernet)
    blocks = {block_of(layer) for layer in layers}
    if blocks != set(genotype.blocks):
        raise ValueError(
            f"The supernet has {len(blocks)} blocks, {sorted(blocks)}, and the "
            f"genotype {len(genotype)}, {sorted(genotype.blocks)}. Use the genotype "
            "of this supernet's search."
        )
    entries = {
        block: entry if isinstance(entry, tuple) else (entry,)
        for block, entry in zip(genotype.blocks, genotype, strict=True)
    }
    return {
        layer.name: next(
            (
                spec
                for spec in entries[block_of(layer)]
                if spec and spec.site == layer.site
            ),
            None,
        )
        for layer in layers
    }


def _check_attention(source, target, chosen):
    """Raises where the network has another attention than the genotype."""
    if not isinstance(source, Mixture):
        return
    spec = chosen[source.name]
    plain = Conv2D if source.site == "conv" else None
    expected = spec.layer if spec else plain
    options = spec.options() if spec else {}
    config = target.get_config()
    fits = {option: config.get(option) for option in options} == options
    if type(target) is not expected or not fits:
        raise ValueError(
            f"The network's {target.name!r} is {type(target).__name__} with {config}, "
            f"and the genotype says {spec or 'none'}. Build the network with "
            "attention=genotype."
        )


def _check_has_place(source, targets, chosen):
    """Raises where weights of the supernet have no layer to go to."""
    if source.name in targets or not source.weights:
        return
    if isinstance(source, Mixture) and chosen[source.name] is None:
        return
    raise ValueError(
        f"The weight {source.weights[0].path!r} of the supernet fits nowhere: the "
        f"network has no layer {source.name!r}. Build both by the same application."
    )


def _weights(source, target):
    """{path below `target`: the supernet's weight}."""
    if source is None:
        return {}
    if isinstance(source, Mixture):
        return source.weights_for(target)
    return weights_below(source)


def _fitted(weights, target):
    """Pairs of weights, the supernet's and the network's."""
    places = weights_below(target)
    for path, place in places.items():
        if path not in weights or weights[path].shape != place.shape:
            found = tuple(weights[path].shape) if path in weights else "none"
            raise ValueError(
                f"No weight of the supernet fits {place.path!r} of the network, of "
                f"shape {tuple(place.shape)}: it has {found} there. Build both by the "
                "same application."
            )
    for path, weight in weights.items():
        if path not in places:
            raise ValueError(
                f"The weight {weight.path!r} of the supernet fits nowhere in the "
                f"network's {target.name!r}. Build both by the same application."
            )
    return [(weights[path], place) for path, place in places.items()]
