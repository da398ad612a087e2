"""Search for where attention belongs, and which.

`search` runs a bilevel search, `derive_run` and `compare` use what it found, and
`tune` has Keras Tuner choose; the rest are their parts. `AttentionHyperModel` needs
Keras Tuner, and is imported when it is asked for.
"""

from keras_attention.tuning.batch_statistics import exact_batch_statistics
from keras_attention.tuning.comparison import Candidate, Comparison, compare
from keras_attention.tuning.contenders import candidates_of
from keras_attention.tuning.controls import random_genotype, uniform_genotype
from keras_attention.tuning.costs import (
    costs_by_block,
    latency_costs,
    operation_costs,
)
from keras_attention.tuning.deriving import derive_run, derive_within
from keras_attention.tuning.genotype import Genotype, derive
from keras_attention.tuning.hypergradient import hypergradient
from keras_attention.tuning.mixed import (
    MixedAttention,
    MixedCBAM,
    architecture_variables,
    block_probabilities,
    mixed_layers,
)
from keras_attention.tuning.mixed_conv import MixedAWConv2D
from keras_attention.tuning.penalty import (
    Penalty,
    cost_penalty,
    paper_penalty,
    released_penalty,
)
from keras_attention.tuning.pictures import draw
from keras_attention.tuning.schedule import SearchSchedule
from keras_attention.tuning.searching import (
    SearchRequest,
    load_supernet,
    read_search,
    search,
)
from keras_attention.tuning.selection import select, select_within
from keras_attention.tuning.space import SPACES, Operation, SearchSpace, search_space
from keras_attention.tuning.steps import BilevelSteps
from keras_attention.tuning.transfer import transfer
from keras_attention.tuning.tuners import TuneRequest, tune

__all__ = [
    "SPACES",
    "AttentionHyperModel",
    "BilevelSteps",
    "Candidate",
    "Comparison",
    "Genotype",
    "MixedAWConv2D",
    "MixedAttention",
    "MixedCBAM",
    "Operation",
    "Penalty",
    "SearchRequest",
    "SearchSchedule",
    "SearchSpace",
    "TuneRequest",
    "architecture_variables",
    "block_probabilities",
    "candidates_of",
    "compare",
    "cost_penalty",
    "costs_by_block",
    "derive",
    "derive_run",
    "derive_within",
    "draw",
    "exact_batch_statistics",
    "hypergradient",
    "latency_costs",
    "load_supernet",
    "mixed_layers",
    "operation_costs",
    "paper_penalty",
    "random_genotype",
    "read_search",
    "released_penalty",
    "search",
    "search_space",
    "select",
    "select_within",
    "transfer",
    "tune",
    "uniform_genotype",
]


def __getattr__(name):
    if name == "AttentionHyperModel":
        from keras_attention.tuning.hypermodel import AttentionHyperModel

        return AttentionHyperModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
