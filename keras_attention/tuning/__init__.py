"""Search for where attention belongs, and which: the parts of a bilevel search."""

from keras_attention.tuning.batch_statistics import exact_batch_statistics
from keras_attention.tuning.costs import (
    costs_by_block,
    latency_costs,
    operation_costs,
)
from keras_attention.tuning.genotype import Genotype, derive
from keras_attention.tuning.hypergradient import hypergradient
from keras_attention.tuning.mixed import (
    MixedAttention,
    MixedCBAM,
    architecture_variables,
    block_probabilities,
    mixed_layers,
    weight_variables,
)
from keras_attention.tuning.mixed_conv import MixedAWConv2D
from keras_attention.tuning.penalty import (
    Penalty,
    cost_penalty,
    paper_penalty,
    released_penalty,
)
from keras_attention.tuning.schedule import SearchSchedule
from keras_attention.tuning.selection import select, select_within
from keras_attention.tuning.space import SPACES, Operation, SearchSpace, search_space
from keras_attention.tuning.steps import BilevelSteps
from keras_attention.tuning.transfer import transfer

__all__ = [
    "SPACES",
    "BilevelSteps",
    "Genotype",
    "MixedAWConv2D",
    "MixedAttention",
    "MixedCBAM",
    "Operation",
    "Penalty",
    "SearchSchedule",
    "SearchSpace",
    "architecture_variables",
    "block_probabilities",
    "cost_penalty",
    "costs_by_block",
    "derive",
    "exact_batch_statistics",
    "hypergradient",
    "latency_costs",
    "mixed_layers",
    "operation_costs",
    "paper_penalty",
    "released_penalty",
    "search_space",
    "select",
    "select_within",
    "transfer",
    "weight_variables",
]
