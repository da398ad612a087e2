"""The CBAM ablation study: which part of the attention does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_attention import applications
from keras_attention.attention import spec
from keras_attention.choices import check_choice
from keras_attention.tuning.comparison import Candidate, Comparison, compare

__all__ = ["FORMS", "MODELS", "ablation", "ablation_candidates"]

# The study's forms, the plain network first. Its spatial part has no batch norm.
FORMS = {
    "none": None,
    "channel": spec("channel"),
    "spatial": spec("spatial", use_norm=False),
    "parallel": spec("cbam_sum", spatial_norm=False),
    "series": spec("cbam", spatial_norm=False),
}
# The study's networks, and the forms of each: all, or with and without CBAM.
MODELS = {"cnn3": tuple(FORMS), "resnet34": ("none", "series")}


def ablation_candidates(
    models: Sequence[str] = tuple(MODELS),
    forms: Sequence[str] | None = None,
    stem: str | None = None,
) -> list[Candidate]:
    """The networks of the study, called `MODEL-FORM`.

    Args:
        models: names for `keras_attention.applications.build`.
        forms: of `FORMS`; by default all, but for `"resnet34"` without and with CBAM.
        stem: for the models that have a choice, as for `train`.

    Raises:
        ValueError: an unknown model or form, one that is there twice, or none.
    """
    pairs = [
        (model, form)
        for model in models
        for form in (forms or MODELS.get(model, FORMS))
    ]
    if not pairs or len(set(pairs)) < len(pairs):
        raise ValueError(
            f"Different models and forms are needed. Received: {list(models)} and "
            f"{forms and list(forms)}"
        )
    return [
        Candidate(
            f"{model}-{form}",
            FORMS[check_choice("form", form, FORMS)],
            options={"model": model, **_stem(model, stem)},
        )
        for model, form in pairs
    ]


def ablation(
    models: Sequence[str] = tuple(MODELS),
    forms: Sequence[str] | None = None,
    *,
    out: str | Path,
    seeds: int = 3,
    **asked,
) -> Comparison:
    """Train every form of every model with every seed, and test each network once.

    The forms: no attention; CBAM's channel part alone; its spatial part alone; both in
    parallel, x + x ⊙ σ(Mc + Ms), as BAM joins them; both in series.

    Args:
        models, forms: see `ablation_candidates`.
        out: the study's folder, a comparison's (`keras_attention.tuning.compare`).
        seeds: so many runs of each, with seeds 0, 1, …
        **asked: as for `compare`; `stem` is for the models that have a choice.

    Returns:
        The comparison. `keras_attention.reports.write_report(out)` makes a page of it.

    Raises:
        ValueError, FileExistsError, FileNotFoundError, ImportError: as
            `ablation_candidates` and `compare` do.
    """
    candidates = ablation_candidates(models, forms, asked.pop("stem", None))
    return compare(candidates, out=out, seeds=range(seeds), **asked)


def _stem(model: str, stem: str | None) -> Mapping:
    chosen = stem is not None and applications.takes(model, "stem")
    return {"stem": stem} if chosen else {}
