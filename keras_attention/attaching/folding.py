"""Attentions that started as the identity as plain ones, after training."""

import contextlib
import dataclasses

import keras

from keras_attention.attaching.copying import remade
from keras_attention.attaching.graph import Graph
from keras_attention.attaching.record import recorded, remember
from keras_attention.attaching.rewriting import Rewriting
from keras_attention.layers.identity_start import IdentityStart, multiply

__all__ = ["fold"]


def fold(model):
    """A network that computes the same by plain attentions, without a scale.

    The scale of each gate's logits goes into the gate's weights. The number that is
    left, such as 2 of x ⊙ 2σ(l), goes into the batch norm right before the attention
    where that feeds nothing else and the attention can take a scaled input; else a
    `keras.layers.Rescaling` named `"{attention}_gain"` stands behind it.

    Args:
        model: what `attach` returned, after training, or another functional or
            sequential model of attentions made with `identity_start=True`; left as
            it was.

    Returns:
        A plain functional `keras.Model`, not compiled, with the same outputs to
        rounding.

    Raises:
        ValueError: no such attention, or one that has no plain form.
    """
    root = Graph(model)
    rewriting, norms, count = Rewriting(root), [], 0
    for graph in root.all():
        for call in graph.calls:
            layer = call.operation
            started = isinstance(layer, IdentityStart) and layer.identity_start
            if started and graph.calls_of(layer)[0] is call:
                norms += _fold(rewriting, graph, call)
                count += 1
    if not count:
        raise ValueError(
            f"Model {model.name!r} has no attention with `identity_start=True` among "
            "its layers, so there is nothing to fold."
        )
    folded = rewriting.build()
    for norm, gain in norms:
        copied = rewriting.copy_of(norm)
        multiply([copied.gamma, copied.beta], gain)
    known = recorded(model)  # of a model from a file nothing
    remember(folded, map(_plain_placement, known), known.skipped)
    return folded


def _fold(rewriting, graph, call):
    """Replaces one attention; returns [(batch norm, its gain)] if one takes it."""
    layer = call.operation
    gain = layer.identity_gain
    norm = _norm_before(graph, call)
    if norm is not None and gain != 1:
        with contextlib.suppress(ValueError):  # the gain stands behind it, then
            rewriting.replace(layer, _plain(layer, gain))
            return [(norm, gain)]
    try:
        rewriting.replace(layer, _plain(layer))
    except ValueError as error:
        raise ValueError(
            f"{graph.path_of(call)!r} of the class {type(layer).__name__} has no plain "
            f"form: {error}. Leave it as it is, or attach another attention."
        ) from error
    if gain != 1:
        name = rewriting.new_name(graph, f"{layer.name}_gain")
        rescaling = keras.layers.Rescaling(gain, dtype=layer.dtype_policy, name=name)
        for each in graph.calls_of(layer):
            rewriting.put(rescaling, graph, each)
    return []


def _norm_before(graph, call):
    """The batch norm whose only use is to feed this attention; None where none is."""
    before = graph.calls[call.parents[0]]
    norm = before.operation
    alone = (
        len(graph.consumers[before.index]) == 1
        and before.index not in graph.output_calls
        and len(graph.calls_of(norm)) == len(graph.calls_of(call.operation)) == 1
    )
    scales = isinstance(norm, keras.layers.BatchNormalization) and norm.scale
    return norm if alone and scales else None


def _plain(layer, input_gain=1.0):
    """The plain layer, for an input multiplied by a number."""
    plain = remade(layer, identity_start=False)
    plain.build_from_config(layer.get_build_config())
    layer.fold_into(plain, input_gain)
    return plain


def _plain_placement(placement):
    spec = placement.spec
    if "identity_start" in spec.fields():
        spec = dataclasses.replace(spec, identity_start=False)
    return dataclasses.replace(placement, spec=spec)
