"""The candidates of a comparison: what searches found, and the controls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from keras_attention.training import history
from keras_attention.tuning.comparison import Candidate
from keras_attention.tuning.controls import random_genotype, uniform_genotype
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.search_request import SHARED
from keras_attention.tuning.search_run import GENOTYPE, HISTORY_FILE
from keras_attention.tuning.searching import read_search

__all__ = ["candidates_of"]


def candidates_of(
    folders: Sequence[str | Path], *, random: int = 3, uniform: Sequence[str] = ()
) -> tuple[list[Candidate], dict]:
    """What searches found, beside the plain network, uniform and random structures.

    Args:
        folders: of searches with one model and one data set; a folder's name becomes
            the candidate's. Their seconds of searching count as spent.
        random: structures drawn from the first search's space, with seeds 0, 1, …
        uniform: symbols of operations that stand everywhere; `+` may be written for
            `⊕`.

    Returns:
        The candidates, and what `compare` needs to train them: model, data and what
        belongs to them.

    Raises:
        FileNotFoundError: there is no search, or it has not finished an epoch.
        ValueError: searches with other models or data, or an unknown symbol.
    """
    folders = [Path(folder) for folder in folders]
    requests = [read_search(folder) for folder in folders]
    shared = [_shared(request) for request in requests]
    for folder, each in zip(folders, shared, strict=True):
        if each != shared[0]:
            raise ValueError(
                f"The searches must have one model and one data set. {folders[0]} has "
                f"{shared[0]}, and {folder} {each}"
            )
    found = [Genotype.load(folder / GENOTYPE) for folder in folders]
    space, blocks = requests[0].search_space(), found[0].blocks
    symbols = [symbol.replace("+", "⊕") for symbol in uniform]
    controls = [
        Candidate("plain"),
        *(
            Candidate(_uniform_name(symbol), uniform_genotype(space, blocks, symbol))
            for symbol in symbols
        ),
        *(
            Candidate(f"random{seed}", random_genotype(space, blocks, seed))
            for seed in range(random)
        ),
    ]
    results = [
        Candidate(folder.resolve().name, genotype, _seconds(folder))
        for folder, genotype in zip(folders, found, strict=True)
    ]
    return [*controls, *results], shared[0]


def _shared(request) -> dict:
    values = {name: getattr(request, name) for name in SHARED if name != "seed"}
    return {name: value for name, value in values.items() if value is not None}


def _seconds(folder: Path) -> float:
    return sum(row["seconds"] for row in history.read(folder / HISTORY_FILE))


def _uniform_name(symbol: str) -> str:
    return "uniform-" + re.sub(r"[^\w]+", "-", symbol, flags=re.ASCII).strip("-")
