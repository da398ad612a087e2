"""A small study, trained once."""

import pytest

from keras_attention.studies import ablation


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Two forms of the ablation, two seeds, on digits."""
    out = tmp_path_factory.mktemp("study") / "ablation"
    ablation(
        ["cnn3"],
        ["none", "series"],
        out=out,
        seeds=2,
        data="digits",
        recipe="quick",
        epochs=2,
        limit=96,
        batch_size=32,
        verbose=0,
        command="keras-attention study ablation",
    )
    return out
