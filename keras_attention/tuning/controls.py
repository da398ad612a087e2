"""What a found structure must beat: random structures, and one everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_attention.choices import check_choice
from keras_attention.data.order import check_seed
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.space import SearchSpace

__all__ = ["random_genotype", "uniform_genotype"]


def random_genotype(space: SearchSpace, blocks: Sequence[str], seed: int) -> Genotype:
    """An operation drawn for each block, every one as likely as the others.

    Args:
        space: a `SearchSpace`; its searched operations (and convolutions) are drawn,
            not the parallel one.
        blocks: names of the blocks, such as another genotype's.
        seed: 0 to 2³¹ − 1.
    """
    check_seed(seed)
    rng = np.random.default_rng(seed)
    choices = rng.integers(len(space.operations), size=len(blocks))
    convs = rng.integers(max(1, len(space.conv_symbols)), size=len(blocks))
    return Genotype.of(space, blocks, choices.tolist(), convs.tolist())


def uniform_genotype(
    space: SearchSpace, blocks: Sequence[str], operation: str
) -> Genotype:
    """One operation in every block, with plain convolutions.

    Args:
        space: a `SearchSpace`.
        blocks: names of the blocks, such as another genotype's.
        operation: its symbol in the space, such as `"CA⊕SA"`.

    Raises:
        ValueError: no such operation.
    """
    check_choice(f"operation of space {space.name!r}", operation, space.symbols)
    choice = space.symbols.index(operation)
    return Genotype.of(space, blocks, [choice] * len(blocks))
