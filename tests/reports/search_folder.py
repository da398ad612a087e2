"""A search's folder written by hand."""

import json

import numpy as np

from keras_attention.training.history import append_rows
from keras_attention.tuning.controls import uniform_genotype
from keras_attention.tuning.space import search_space

SPACE = search_space("sscbam", aw=True)
BLOCKS = ["stage1_block1", "stage1_block2"]
EPOCHS = 3


def write_search(folder):
    """Three epochs, two blocks, both sites; p of the last epoch, by site."""
    p = np.random.default_rng(0).dirichlet(np.ones(5), (EPOCHS, 2))
    q = np.random.default_rng(1).dirichlet(np.ones(2), (EPOCHS, 2))
    for epoch in range(EPOCHS):
        for site, values in (("block", p), ("conv", q)):
            rows = [_row(epoch, site, i, values[epoch, i]) for i in range(len(BLOCKS))]
            append_rows(folder / "alpha.csv", rows)
    rows = [{"epoch": e, "loss": 2.0 - e, "alpha_loss": 2.5 - e} for e in range(EPOCHS)]
    append_rows(folder / "history.csv", rows)
    uniform_genotype(SPACE, BLOCKS, "SA").save(folder / "genotype.json")
    search = {
        "model": "resnet18",
        "data": "digits",
        "space": "sscbam",
        "penalty": "cost",
    }
    search |= {"order": 1, "seed": 0, "control": None, "epochs": EPOCHS}
    preprocessing = {"size": [8, 8], "channels": 1, "class_names": ["a", "b"]}
    data = {"name": "digits", "images": {"train": 10}, "fingerprint": "f"}
    session = {"command": "keras-attention search", "started": "today"}
    session |= {"backend": "tensorflow", "versions": {"keras": "3"}}
    record = {"format": 1, "kind": "search", "search": search, "data": data}
    record |= {"preprocessing": preprocessing, "sessions": [session]}
    record["operations"] = {"block": SPACE.symbols, "conv": SPACE.conv_symbols}
    (folder / "run.json").write_text(json.dumps(record))
    return {"block": p[-1], "conv": q[-1]}


def _row(epoch, site, i, p):
    own = {"epoch": epoch, "site": site, "block": BLOCKS[i], "layer": BLOCKS[i] + site}
    return own | {f"p_{k}": p[k] if k < len(p) else "" for k in range(5)}
