"""From probabilities to one operation per block."""

import numpy as np

from keras_attention.choices import check_choice

__all__ = ["PARALLEL", "RULES", "select", "select_within"]

RULES = ("paper", "argmax")
# The index of (CA, SA) after the paper's five operations.
PARALLEL = 5
# Printed decimals are not binary fractions: 0.35 − 0.25 comes out below 0.1.
MARGIN = 1e-6
# What the logarithm takes for a probability of 0.
LEAST_PROBABILITY = 1e-300


def select(probabilities, rule="paper"):
    """The index of one operation per block.

    Args:
        probabilities: (blocks, operations), rows that sum to 1.
        rule: `"argmax"`, the first of the largest; or `"paper"`, for the five
            operations Identity, CA⊕SA, SA⊕CA, CA, SA: argmax, but `PARALLEL`, (CA, SA)
            with ½ each, where p3 + p4 > max(p0, p1, p2) and |p3 − p4| < 0.1. What is
            nearer than 1e-6 to either bound counts as on it, so fails it.

    Returns:
        A list of ints.

    Raises:
        ValueError: an unknown rule, rows that are no probabilities, or another number
            of operations than the paper's rule is for.

    Source: the selection rule of SSCBAM and SSMVAM.
    """
    check_choice("rule", rule, RULES)
    p = _check_probabilities(probabilities)
    chosen = p.argmax(axis=1)
    if rule == "paper":
        if p.shape[1] != PARALLEL:
            raise ValueError(
                f"rule='paper' is for {PARALLEL} operations, Identity, CA⊕SA, SA⊕CA, "
                f"CA and SA. Received: {p.shape[1]}. Use rule='argmax'."
            )
        together = p[:, 3] + p[:, 4] - p[:, :3].max(axis=1) > MARGIN
        alike = 0.1 - np.abs(p[:, 3] - p[:, 4]) > MARGIN
        chosen[together & alike] = PARALLEL
    return chosen.tolist()


def select_within(probabilities, costs, budget):
    """The likeliest choice that a budget allows: max Σ_b log p_b,i, Σ_b c_b,i ≤ budget.

    Exact, by dynamic programming over the blocks: a partial choice that costs more than
    another and is no likelier is dropped. Of equally likely choices it is a cheapest.

    Args:
        probabilities: (blocks, operations), rows that sum to 1. 0 counts as 1e-300:
            chosen where the budget leaves nothing else.
        costs: (blocks, operations), finite, of any unit.
        budget: number, in the same unit. Integer costs are compared exactly, others
            with a tolerance of 1e-12 of the largest sum.

    Returns:
        A list of ints.

    Raises:
        ValueError: rows that are no probabilities, shapes that differ, numbers that
            are not finite, or a budget below the smallest possible cost, which the
            message gives.
    """
    p = _check_probabilities(probabilities)
    costs = _check_costs(costs, p.shape)
    limit = _limit(costs, budget)
    least = costs.min(axis=1).sum()
    if least > limit:
        raise ValueError(
            f"No choice fits `budget`={budget}: the smallest possible cost is "
            f"{least.item()}, of the cheapest operation in each of {len(p)} blocks."
        )
    return _best(np.log(np.maximum(p, LEAST_PROBABILITY)), costs, limit)


def _best(gains, costs, limit):
    """Exact maximiser of the gains' sum; at least one choice fits."""
    least_after = _sums_after(costs.min(axis=1))
    cost, gain = np.zeros(1, costs.dtype), np.zeros(1)
    steps = []
    for b in range(len(gains)):
        cost = np.add.outer(cost, costs[b]).ravel()
        gain = np.add.outer(gain, gains[b]).ravel()
        kept = (cost + least_after[b] <= limit).nonzero()[0]
        kept = kept[np.lexsort((-gain[kept], cost[kept]))]
        best_before = np.maximum.accumulate(np.append(-np.inf, gain[kept][:-1]))
        kept = kept[gain[kept] > best_before]
        cost, gain = cost[kept], gain[kept]
        steps.append(kept)
    return _walk_back(steps, gains.shape[1])


def _walk_back(steps, operations):
    """The choices that led to the last (dearest, so likeliest) state."""
    state, choices = len(steps[-1]) - 1, []
    for kept in reversed(steps):
        state, choice = divmod(int(kept[state]), operations)
        choices.append(choice)
    return choices[::-1]


def _sums_after(values):
    """Σ over the blocks after each."""
    return np.append(values[::-1].cumsum()[::-1][1:], 0).astype(values.dtype)


def _check_probabilities(probabilities):
    p = np.asarray(probabilities, "float64")
    if p.ndim != 2 or 0 in p.shape:
        raise ValueError(
            "`probabilities` must be of shape (blocks, operations). Received: "
            f"{p.shape}."
        )
    # Tables print rounded numbers, whose sum is not 1.
    wrong = ~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= 0.05))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"Row {row} of `probabilities` must be of numbers from 0 to 1 that sum to "
            f"1. Received: {p[row].tolist()}."
        )
    return p


def _check_costs(costs, shape):
    costs = np.asarray(costs)
    costs = costs.astype("int64" if costs.dtype.kind in "iu" else "float64")
    if costs.shape != shape or not np.isfinite(costs).all():
        raise ValueError(
            f"`costs` must be finite and of the probabilities' shape {shape}. "
            f"Received: shape {costs.shape}, {costs.tolist()}."
        )
    return costs


def _limit(costs, budget):
    number = isinstance(budget, int | float | np.number) and not isinstance(
        budget, bool
    )
    if not number or not np.isfinite(budget):
        raise ValueError(f"`budget` must be a finite number. Received: {budget!r}.")
    if costs.dtype.kind == "i":
        return budget
    return budget + 1e-12 * np.abs(costs).max(axis=1).sum()
