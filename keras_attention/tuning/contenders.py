"""The candidates of a comparison: what searches found, and the controls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from keras_attention.training import history
from keras_attention.training.runs import to_record
from keras_attention.tuning.comparison import Candidate
from keras_attention.tuning.controls import random_genotype, uniform_genotype
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.search_request import SHARED
from keras_attention.tuning.search_run import GENOTYPE
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
        FileNotFoundError: there is no search.
        ValueError: searches with other models or data, one that has not come to its
            end, or an unknown symbol.
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
    for folder, request in zip(folders, requests, strict=True):
        _check_finished(folder, request.epochs)
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
    asked = to_record(request)
    values = {name: asked[name] for name in SHARED if name in asked and name != "seed"}
    # Other seeds would test on images that the search has seen.
    if request.split_seed is None:
        values["split_seed"] = request.seed
    return {name: value for name, value in values.items() if value is not None}


def _check_finished(folder: Path, epochs: int) -> None:
    path = folder / history.FILE
    done = len(history.read(path)) if path.exists() else 0
    if done < epochs:
        raise ValueError(
            f"The search in {folder} has ended {done} of its {epochs} epochs. Go on "
            f"with it first: keras-attention search --resume --out {folder}"
        )


def _seconds(folder: Path) -> float:
    return sum(row["seconds"] for row in history.read(folder / history.FILE))


def _uniform_name(symbol: str) -> str:
    return "uniform-" + re.sub(r"[^\w]+", "-", symbol, flags=re.ASCII).strip("-")
