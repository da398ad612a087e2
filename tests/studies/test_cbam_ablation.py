"""The ablation study: its networks, and that they are trained as a comparison."""

import keras
import numpy as np
import pytest

from keras_attention import applications
from keras_attention.studies import ablation, ablation_candidates
from keras_attention.studies import cbam_ablation as module
from keras_attention.studies.cbam_ablation import FORMS


def test_the_forms_of_the_study():
    assert [c.name for c in ablation_candidates(["cnn3"])] == [
        "cnn3-none",
        "cnn3-channel",
        "cnn3-spatial",
        "cnn3-parallel",
        "cnn3-series",
    ]
    both = [c.name for c in ablation_candidates()]
    assert both[5:] == ["resnet34-none", "resnet34-series"]


@pytest.mark.parametrize(
    ("form", "added"),
    [
        ("none", 0),
        # 32, 64, 128 channels, hidden 2, 4, 8: 2·C·h + h + C; and 7·7·2 each.
        ("channel", 162 + 580 + 2184),
        ("spatial", 3 * 98),
        ("parallel", 3220),  # the study's
        ("series", 3220),
    ],
)
def test_what_a_form_adds_to_the_network(form, added):
    model = applications.build("cnn3", attention=FORMS[form])
    count = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert count == 2_202_122 + added


def test_parallel_joins_as_bam_and_series_as_cbam(rng):
    """y = x + x ⊙ σ(Mc + Ms), and x ⊙ Mc ⊙ Ms, by the parts' own maps."""
    inputs = rng.normal(size=(2, 6, 6, 32)).astype("float32")
    for form in ("parallel", "series"):
        layer = FORMS[form].make()
        layer.build(inputs.shape)
        channel, spatial = layer.channel_attention, layer.spatial_attention
        if form == "parallel":
            logits = channel.attention_logits(inputs) + spatial.attention_logits(inputs)
            expected = inputs + inputs * keras.ops.sigmoid(logits)
        else:
            once = inputs * channel.attention_map(inputs)
            expected = once * spatial.attention_map(once)
        np.testing.assert_allclose(layer(inputs), expected, atol=1e-6)


def test_a_stem_is_for_the_models_that_have_a_choice():
    found = {c.name: dict(c.options) for c in ablation_candidates(stem="cifar")}
    assert found["cnn3-none"] == {"model": "cnn3"}
    assert found["resnet34-series"] == {"model": "resnet34", "stem": "cifar"}


@pytest.mark.parametrize(
    ("models", "forms", "message"),
    [
        (["cnn3"], ["serial"], "Unknown form: received 'serial'.*'series'"),
        (["cnn3", "cnn3"], None, "Different models and forms"),
        ([], None, "Different models and forms"),
        (["cnn4"], None, "Unknown model.*'cnn3'"),
    ],
)
def test_what_is_no_study_is_refused(models, forms, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ablation(models, forms, out=tmp_path / "x", data="digits", stem="cifar")
    assert not (tmp_path / "x").exists()


def test_a_study_is_a_comparison_of_its_forms(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(
        module, "compare", lambda c, **kwargs: asked.update(kwargs, c=c)
    )
    ablation(["cnn3"], ["none", "series"], out=tmp_path, seeds=4, data="digits")
    assert [c.name for c in asked["c"]] == ["cnn3-none", "cnn3-series"]
    assert list(asked["seeds"]) == [0, 1, 2, 3]
    assert (asked["out"], asked["data"]) == (tmp_path, "digits")
