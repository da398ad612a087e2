"""The penalty of a search, by name."""

from __future__ import annotations

import dataclasses

import keras

from keras_attention.choices import check_choice
from keras_attention.tuning.costs import operation_costs
from keras_attention.tuning.mixed import architecture_variables
from keras_attention.tuning.penalty import (
    Penalty,
    cost_penalty,
    paper_penalty,
    released_penalty,
)
from keras_attention.tuning.space import SearchSpace

PRICES = {"cost": "parameters", "cost-multiply-adds": "multiply_adds"}
PENALTIES = (*PRICES, "paper", "released", "none")


def named_penalty(
    name: str,
    supernet: keras.Model,
    space: SearchSpace,
    weight: float | None = None,
) -> Penalty | None:
    """The penalty of that name, for the α of a supernet, the block site's first.

    Args:
        name: `"cost"` (by parameters), `"cost-multiply-adds"`, `"paper"`, `"released"`
            or `"none"`. The paper's and the released code's have no price for the
            AW-convolution.
        supernet: built with `attention=space.spec()`.
        space: its `SearchSpace`.
        weight: w in place of the penalty's own.

    Raises:
        ValueError: an unknown name, or the paper's penalty for a space of other
            operations than its five.
    """
    check_choice("penalty", name, PENALTIES)
    if name == "none":
        return None
    if name in PRICES:
        penalty = cost_penalty(_costs(supernet, space, PRICES[name]))
    else:
        penalty = _printed(name, supernet, space)
    return penalty if weight is None else dataclasses.replace(penalty, weight=weight)


def _costs(supernet, space, measure) -> list:
    sites = ["block"] if space.conv is None else ["block", "conv"]
    return [
        row
        for site in sites
        for row in operation_costs(supernet, space, measure, site).tolist()
    ]


def _printed(name, supernet, space) -> Penalty:
    blocks = len(architecture_variables(supernet, "block"))
    penalty = paper_penalty() if name == "paper" else released_penalty(blocks)
    if space.shared is None:
        raise ValueError(
            f"The penalty {name!r} has costs for Identity, CA⊕SA, SA⊕CA, CA and SA. "
            f"Received the space {space.name!r}: use the penalty 'cost'"
        )
    convs = 0 if space.conv is None else len(architecture_variables(supernet, "conv"))
    rows = (penalty.costs,) * blocks + ((0.0, 0.0),) * convs
    return dataclasses.replace(penalty, costs=rows)
