"""What an operation costs a search: a price on the probabilities."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

# Identity, CA⊕SA, SA⊕CA, CA, SA.
PAPER_COSTS = (4.0, 1.0, 1.0, 2.0, 2.0)
RELEASED_COSTS = (3.0, 1.0, 1.0, 2.0, 2.0)
PAPER_WEIGHT = 0.1
EXPONENT = 1.1


@dataclass(frozen=True)
class Penalty:
    """P(α) = w · Σ_b Σ_i r_{b,i} · p_{b,i}^m, with p_b = softmax(α_b).

    For m > 1 a block without data ends at p_i ∝ r_i^{−1/(m−1)}: with m = 1.1 nearly
    all of it on the cheapest operations, in equal parts.

    Args:
        costs: r, finite and at least 0: one number per operation, for all blocks;
            or one such row per block, which may differ in length.
        weight: w, at least 0.
        exponent: m, at least 1.

    Raises:
        ValueError: a value is out of its range, or when called, the blocks or their
            operations are not as many as the costs.

    Source: the SSCBAM/SSMVAM work, whose numbers `paper_penalty` has.
    """

    costs: tuple
    weight: float
    exponent: float = EXPONENT

    def __post_init__(self):
        object.__setattr__(self, "costs", _checked_costs(self.costs))
        _check_number("weight", self.weight, 0)
        _check_number("exponent", self.exponent, 1)

    def __call__(self, alphas):
        """P as a scalar tensor.

        Args:
            alphas: list of tensors or variables, one of shape (operations,) per
                block, as `architecture_variables` gives them.
        """
        rows = self._rows(alphas)
        # By block, because blocks may have different numbers of operations.
        total = 0.0
        for row, alpha in zip(rows, alphas, strict=True):
            probabilities = ops.softmax(alpha)
            prices = ops.cast(row, probabilities.dtype)
            total += ops.sum(prices * ops.power(probabilities, self.exponent))
        return self.weight * total

    def _rows(self, alphas):
        """A row of costs per block, after comparing their sizes."""
        by_block = isinstance(self.costs[0], tuple)
        rows = self.costs if by_block else (self.costs,) * len(alphas)
        wanted = [len(row) for row in rows]
        found = [int(np.prod(alpha.shape)) for alpha in alphas]
        if wanted != found:
            raise ValueError(
                f"The penalty's costs are for blocks with {wanted} operations. "
                f"Received alphas with {found}: give one cost per operation, and one "
                "row per block where blocks differ."
            )
        return rows


def paper_penalty():
    """The penalty as the paper prints it: r = [4, 1, 1, 2, 2], w = 0.1, m = 1.1.

    Identity is the dearest operation. Without data it ends at p = [0, ½, ½, 0, 0].
    """
    return Penalty(PAPER_COSTS, PAPER_WEIGHT)


def released_penalty(blocks):
    """The penalty of the released code: r = [3, 1, 1, 2, 2], w = 0.1 / blocks, m = 1.1.

    The code averages over the blocks where the paper's formula adds them up.

    Args:
        blocks: int ≥ 1, how many the network has.
    """
    if isinstance(blocks, bool) or not isinstance(blocks, int) or blocks < 1:
        raise ValueError(
            f"`blocks` must be an integer of at least 1. Received: {blocks!r}."
        )
    return Penalty(RELEASED_COSTS, PAPER_WEIGHT / blocks)


def cost_penalty(costs, weight=0.02, exponent=EXPONENT):
    """A penalty by measured costs: r_{b,i} = 2 · cost_{b,i} / max_j cost_{b,j}.

    An operation that costs nothing has r = 0, the dearest of a block r = 2. A block
    whose operations all cost nothing has no penalty.

    Args:
        costs: array (blocks, operations) or a list of rows, at least 0: parameters,
            multiply-adds or seconds that an operation adds to its block.
        weight: w, at least 0.
        exponent: m, at least 1.

    Differs from the paper: there identity is the dearest, here it is free.
    """
    rows = _checked_costs(costs)
    if not isinstance(rows[0], tuple):
        raise ValueError(
            "`costs` needs one row of operations per block. Received one row: "
            f"{costs!r}."
        )
    scaled = tuple(tuple(2 * cost / (max(row) or 1.0) for cost in row) for row in rows)
    return Penalty(scaled, weight, exponent)


def _checked_costs(costs):
    """`costs` as a tuple of floats, or a tuple of such tuples."""
    costs = costs.tolist() if isinstance(costs, np.ndarray) else costs
    if not _is_list(costs) or not len(costs):
        raise ValueError(
            "`costs` must be a list of numbers, or a list of such rows. "
            f"Received: {costs!r}."
        )
    if all(_is_list(row) or isinstance(row, np.ndarray) for row in costs):
        return tuple(_checked_row(row) for row in costs)
    return _checked_row(costs)


def _checked_row(row):
    if not len(row):
        raise ValueError("`costs` has a row without operations.")
    for cost in row:
        _check_number("costs", cost, 0)
    return tuple(float(cost) for cost in row)


def _is_list(value):
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _check_number(name, value, least):
    wrong_type = isinstance(value, bool) or not isinstance(value, numbers.Real)
    if wrong_type or not (math.isfinite(value) and value >= least):
        raise ValueError(
            f"`{name}` must be finite numbers of at least {least}. Received: {value!r}."
        )
