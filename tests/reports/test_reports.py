"""Reports show what their folders say."""

import csv
import json
import shutil

import numpy as np
import pytest
from search_folder import write_search

from keras_attention.data import load
from keras_attention.reports import Figures, Gallery, Interval, Table, write_report
from keras_attention.reports.gallery import pick
from keras_attention.reports.of_comparison import comparison_page
from keras_attention.reports.of_run import run_page
from keras_attention.reports.of_search import search_page
from keras_attention.training import evaluate_run

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
QUIET = {"images": 0, "data_dir": None, "verbose": 0}


@pytest.fixture(scope="module")
def page(study):
    return comparison_page(study, images=3, data_dir=None, verbose=0)


def sections(page, kind):
    return {each.title: each for each in page.sections if isinstance(each, kind)}


def rows_of(study):
    with (study / "runs.csv").open() as file:
        return list(csv.DictReader(file))


def test_errors_are_means_over_the_seeds(page, study):
    (table,) = sections(page, Table).values()
    heads = [column.name for column in table.columns]
    plain, series = (dict(zip(heads, row, strict=True)) for row in table.rows)
    found = {name: [] for name in ("cnn3-none", "cnn3-series")}
    for row in rows_of(study):
        found[row["candidate"]].append(float(row["test_top1_error"]))
    for row, name in ((plain, "cnn3-none"), (series, "cnn3-series")):
        assert (row["network"], row["runs"]) == (name, 2)
        first, second = found[name]
        # Two values: s = |a − b| / √2, so that h = 12.7062 · |a − b| / 2.
        assert row["top-1 error"].mean == pytest.approx((first + second) / 2)
        half = 12.7062 * abs(first - second) / 2
        assert row["top-1 error"].half == pytest.approx(half, rel=1e-4)
    paired = np.subtract(found["cnn3-series"], found["cnn3-none"])
    difference = series["top-1 less the plain network's"]
    assert isinstance(difference, Interval)
    assert difference.mean == pytest.approx(paired.mean())
    assert plain["top-1 less the plain network's"] is None
    # CBAM's: see the study's own test; without its norm's statistics.
    added = series["trainable parameters"] - plain["trainable parameters"]
    assert added == 3220
    assert series["weights"] - plain["weights"] == pytest.approx(4 * 3220 / 2**20)


def test_findings_say_no_more_than_the_intervals(page):
    (said,) = [each for each in page.sections if each.title == "What that says"]
    (table,) = sections(page, Table).values()
    interval = table.rows[1][5]
    apart = abs(interval.mean) > interval.half
    assert ("not told apart" in said.paragraphs[0]) != apart
    assert f"{interval.mean - interval.half:+.2f}" in said.paragraphs[0]


def test_confusion_is_that_of_all_seeds(page, study):
    """By the SVG's texts: percent of the classes' rows."""
    (figures,) = [f for t, f in sections(page, Figures).items() if "Confusion" in t]
    assert [f.title for f in figures.figures] == [
        "cnn3-none, confusion",
        "cnn3-series, confusion",
    ]
    tested = [
        json.loads(
            (study / "cnn3-none" / f"seed{seed}" / "evaluation.json").read_text()
        )
        for seed in (0, 1)
    ]
    counts = sum(np.array(each["confusion"]) for each in tested)
    percent = 100 * counts / counts.sum(1, keepdims=True)
    assert figures.figures[0].svg.count(f">{percent[0, 0]:.0f}</text>") >= 1


def test_the_gallery_has_every_network_and_its_maps(page):
    (gallery,) = sections(page, Gallery).values()
    assert [item.caption for item in gallery.items] == ["0", "1", "2"]
    for item in gallery.items:
        plain, series = item.panels
        assert (plain.name, series.name) == ("cnn3-none", "cnn3-series")
        kinds = [[p.label.split(",")[0] for p in each.pictures] for each in item.panels]
        assert kinds[0] == ["Grad-CAM", "occlusion"]
        assert kinds[1][:2] == kinds[0] and len(kinds[1]) == 5  # three stages


def test_gates_are_drawn_where_there_are_any(page):
    (figures,) = [f for t, f in sections(page, Figures).items() if "gates" in t]
    assert [each.title for each in figures.figures] == ["cnn3-series, gates"]


def test_images_come_one_of_every_class_in_turn():
    data = load("digits")
    shown = pick(data, 23)
    assert shown.labels.tolist() == [*range(10), *range(10), 0, 1, 2]
    first = [int(np.argmax(data.test.labels == label)) for label in range(10)]
    np.testing.assert_array_equal(shown.images[:10], data.test.images[first])


def test_the_report_of_a_run(study):
    folder = study / "cnn3-series" / "seed1"
    page = run_page(folder, **QUIET)
    (table,) = sections(page, Table).values()
    tested = evaluate_run(folder)
    assert table.rows == ((tested.images, 2, tested.top1_error, tested.top5_error),)
    assert f"{tested.top1_error:.2f}%" in page.lead[0]


def test_a_report_is_one_file(study, tmp_path):
    path = write_report(study, out=tmp_path / "page.html", images=1, verbose=0)
    html = path.read_text()
    for title in ("cnn3-none", "cnn3-series", "Confusion matrices", "How it was run"):
        assert title in html
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_the_report_of_a_search(tmp_path):
    p = write_search(tmp_path)["block"]
    page = search_page(tmp_path)
    (table,) = sections(page, Table).values()
    for i, (block, chosen, largest, margin) in enumerate(table.rows):
        assert (block, chosen) == (f"stage1_block{i + 1}", "SA")
        second, first = np.sort(p[i])[-2:]
        assert (largest, margin) == pytest.approx((first, first - second))
    titles = [each.title for each in page.sections]
    assert "p of the attention over the epochs" in titles
    assert "p of the convolutions at the end" in titles
    assert write_report(tmp_path, verbose=0) == tmp_path / "report.html"


# -- what is no run ------------------------------------------------------------------


@pytest.fixture
def broken(study, tmp_path):
    """A copy of the study, to be damaged."""
    return shutil.copytree(study, tmp_path / "broken")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", None, "holds no run"),
        ("run.json", "{", r"run\.json is no JSON"),
        ("run.json", '{"kind": "tuning"}', "Unknown kind of run.*'tuning'"),
        ("runs.csv", None, "No run of the comparison"),
        ("cnn3-none/seed0/evaluation.json", None, r"seed0/evaluation\.json"),
        ("cnn3-none/seed0/evaluation.json", "[1", r"evaluation\.json is no JSON"),
        ("cnn3-none/seed0/history.csv", None, r"history\.csv"),
        ("cnn3-none/seed0/best.keras", "no zip", r"best\.keras"),
        ("cnn3-none/candidate.json", None, r"candidate\.json"),
    ],
)
def test_a_damaged_folder_names_the_file(broken, file, content, message):
    path = broken / file
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises((ValueError, OSError), match=message):
        write_report(broken, images=0, verbose=0)
    assert not (broken / "report.html").exists()


def test_a_number_of_images_below_0_is_refused(study):
    with pytest.raises(ValueError, match=r"`images`.*-1"):
        write_report(study, images=-1)
