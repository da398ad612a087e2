"""The genotype of a search, by a rule or within a budget."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from keras_attention.choices import check_choice
from keras_attention.tuning.costs import (
    MEASURES,
    costs_by_block,
    latency_costs,
    operation_costs,
)
from keras_attention.tuning.genotype import Genotype, derive
from keras_attention.tuning.mixed import block_probabilities
from keras_attention.tuning.searching import load_supernet
from keras_attention.tuning.selection import select_within

__all__ = ["COSTS", "derive_run", "derive_within"]

LATENCY = "latency"
COSTS = (*MEASURES, LATENCY)


def derive_run(
    folder: str | Path,
    *,
    rule: str | None = None,
    budget: float | None = None,
    cost: str | None = None,
) -> Genotype:
    """The genotype of a search as of its last checkpoint.

    Args:
        folder: of the search.
        rule: `"paper"` or `"argmax"`, as for `derive`.
        budget: in place of a rule: the most that all attentions together may cost.
        cost: of what the budget is, as for `derive_within`; by default parameters.

    Raises:
        FileNotFoundError: there is no search, or it has no checkpoint yet.
        ValueError: a rule and a budget together, a cost without a budget, or a rule or
            budget that does not fit the space.
    """
    if budget is not None and rule is not None:
        raise ValueError(
            "A budget is a rule of its own: give `rule` or `budget`. Received: "
            f"rule={rule!r}, budget={budget}"
        )
    if budget is None and cost is not None:
        raise ValueError(
            f"A cost is a budget's: give `budget` with it. Received: cost={cost!r}"
        )
    if cost is not None:
        check_choice("cost", cost, COSTS)
    model, space = load_supernet(folder)
    if budget is None:
        return derive(model, space, rule)
    return derive_within(model, space, budget, cost or "parameters")


def derive_within(model, space, budget: float, cost: str = "parameters") -> Genotype:
    """The likeliest genotype that costs at most a budget.

    max Σ_b (log p_b + log q_b) over operations and, where they are searched,
    convolutions, subject to Σ_b cost ≤ budget; exact.

    Args:
        model: the supernet.
        space: its `SearchSpace`.
        budget: what the attentions may add to the network without attention, all
            blocks together.
        cost: of what: `"parameters"`, `"multiply_adds"` (of one image), or
            `"latency"` (milliseconds for one image, measured now).

    Raises:
        ValueError: an unknown cost, or a budget that nothing fits.
    """
    check_choice("cost", cost, COSTS)
    blocks = block_probabilities(model)
    p, costs = np.array(list(blocks.values())), _costs(model, space, cost, "block")
    q, conv_costs = _second_axis(model, space, cost, blocks)
    operations, convs = p.shape[1], q.shape[1]
    joint = (p[:, :, None] * q[:, None, :]).reshape(len(p), -1)
    joint_costs = (costs[:, :, None] + conv_costs[:, None, :]).reshape(len(p), -1)
    chosen = select_within(joint, joint_costs, budget)
    choices, conv_choices = np.unravel_index(chosen, (operations, convs))
    genotype = Genotype.of(space, blocks, choices.tolist(), conv_choices.tolist())
    likeliest = derive(model, space)
    return dataclasses.replace(
        genotype,
        candidates=likeliest.candidates,
        probabilities=likeliest.probabilities,
    )


def _costs(model, space, cost, site) -> np.ndarray:
    if cost == LATENCY:
        costs = 1000 * latency_costs(model, space, site)
    else:
        costs = operation_costs(model, space, cost, site)
    return costs_by_block(model, costs, site)


def _second_axis(model, space, cost, blocks) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and costs of each block's convolutions."""
    count = max(1, len(space.conv_symbols))
    # A block without this axis (a stem) is plain for certain.
    p, costs = np.eye(1, count).repeat(len(blocks), 0), np.zeros((len(blocks), count))
    if space.conv is None:
        return p, costs.astype("int64")
    found = block_probabilities(model, "conv")
    measured = _costs(model, space, cost, "conv")
    rows = [list(blocks).index(name) for name in found]
    costs = costs.astype(measured.dtype)
    p[rows], costs[rows] = list(found.values()), measured
    return p, costs
