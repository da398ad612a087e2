"""The report of whatever is in a folder."""

from __future__ import annotations

from pathlib import Path

from keras_attention.choices import check_choice
from keras_attention.reports.of_comparison import comparison_page
from keras_attention.reports.of_run import run_page
from keras_attention.reports.of_search import search_page
from keras_attention.reports.page import Page
from keras_attention.reports.rendering import write_page
from keras_attention.training.files import read_json
from keras_attention.training.run_folder import RECORD, TRAINING
from keras_attention.tuning.comparison import KIND as COMPARISON
from keras_attention.tuning.search_run import KIND as SEARCH

__all__ = ["write_report"]

REPORT = "report.html"
IMAGES = 10


def write_report(
    folder: str | Path,
    *,
    out: str | Path | None = None,
    images: int = IMAGES,
    data_dir: str | None = None,
    verbose: int = 1,
) -> Path:
    """One HTML page about a study, a comparison, a training run or a search.

    The page needs no network and no other file.

    Args:
        folder: of the run.
        out: the page, which is replaced if it is there; by default `report.html` in
            the folder.
        images: in the gallery, with the maps of every network; 0 for none. A search
            has none.
        data_dir: where the data is now, if it moved.
        verbose: whether to tell what is done.

    Returns:
        The page.

    Raises:
        FileNotFoundError: no run there, or a file of it or its data is not there.
        ValueError: a file is damaged, a run of another kind, or a number of images
            below 0.
        ImportError: matplotlib or Jinja2 is not installed.
    """
    folder = Path(folder)
    if images < 0:
        raise ValueError(f"`images` must be at least 0. Received: {images}")
    options = {"images": images, "data_dir": data_dir, "verbose": verbose}
    path = Path(out) if out is not None else folder / REPORT
    write_page(_page(folder, options), path)
    return path


def _page(folder: Path, options: dict) -> Page:
    pages = {
        TRAINING: lambda: run_page(folder, **options),
        COMPARISON: lambda: comparison_page(folder, **options),
        SEARCH: lambda: search_page(folder),
    }
    path = folder / RECORD
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no run: there is no {path}")
    record = read_json(path)
    if not isinstance(record, dict):
        raise ValueError(f"{path} is no record of a run")
    kind = check_choice(
        f"kind of run in {folder} for a report", record.get("kind", TRAINING), pages
    )
    return pages[kind]()
