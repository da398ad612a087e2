"""Layers made for their places, and put there."""

import re

from keras_attention.attaching.copying import assign
from keras_attention.attaching.record import Placement

__all__ = ["Putting"]


class Putting:
    """Puts one attention at places, as one layer where these share it.

    Args:
        rewriting: the `Rewriting`.
        spec: the attention.
        identity_start: whether it starts as the identity.

    Raises:
        ValueError: it cannot start as the identity.
    """

    def __init__(self, rewriting, spec, identity_start):
        self.rewriting = rewriting
        self.asked = spec
        self.label = str(spec) if re.fullmatch(r"\w+", str(spec)) else spec.name
        self.spec = spec.starting_at_identity() if identity_start else spec
        self.shared = {}

    def put(self, places, explicit):
        """Puts it at all places that can take it.

        Args:
            places: list of `Place`.
            explicit: whether each must take it.

        Returns:
            (list of `Placement`, {path of a place that cannot take it: why}).

        Raises:
            ValueError: a place, or without `explicit` every place, cannot take it.
        """
        found, skipped = [], {}
        for place in places:
            try:
                put = self._instead if place.kind == "instead" else self._beside
                name = place.graph.path + put(place).name
                found.append(Placement(name, self.spec, str(place)))
            except ValueError as error:
                reason = ValueError(f"{self.asked} cannot stand {place}: {error}")
                if explicit or (place is places[-1] and not found):
                    raise reason from error
                skipped[place.path] = str(error)
        return found, skipped

    def _instead(self, place):
        convolution = place.call.operation
        options = {**convolution.get_config(), "dtype": convolution.dtype_policy}
        layer = self._made(place, options)
        assign(layer.kernel, convolution.kernel)
        if convolution.use_bias:
            assign(layer.bias, convolution.bias)
        self.rewriting.replace(convolution, layer)
        return layer

    def _beside(self, place):
        key = place.shared_by() or place
        if key not in self.shared:
            images, source = place.graph.images, place.source
            name = f"{place.name}_{self.label}"
            options = {
                "name": self.rewriting.new_name(place.graph, name),
                "data_format": images.formats[source],
                "dtype": images.policy(source),
            }
            self.shared[key] = self._made(place, options)
        layer = self.shared[key]
        self.rewriting.put(layer, place.graph, place.call, place.position)
        return layer

    def _made(self, place, options):
        """A built layer for a place."""
        layer = self.spec.make(**options)
        layer.build(place.graph.calls[place.source].shape)
        return layer
