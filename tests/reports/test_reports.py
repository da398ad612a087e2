"""Reports show what their folders say."""

import csv
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from search_folder import write_search

from keras_attention.data import load
from keras_attention.reports import Figures, Gallery, Interval, Table, write_report
from keras_attention.reports.gallery import pick
from keras_attention.reports.of_comparison import comparison_page
from keras_attention.reports.of_run import run_page
from keras_attention.reports.of_search import losses_of, search_page
from keras_attention.training import evaluate_run, load_trained
from keras_attention.training.runs import load_run_data
from keras_attention.visualization import attention_maps, draw_curves, overlay

figure = pytest.importorskip("matplotlib.figure")
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


def test_top5_and_time_are_the_runs_own(page, study):
    (table,) = sections(page, Table).values()
    heads = [column.name for column in table.columns]
    for row in table.rows:
        name = row[0]
        found = [r for r in rows_of(study) if r["candidate"] == name]
        top5 = [float(r["test_top5_error"]) for r in found]
        assert row[heads.index("top-5 error")].mean == pytest.approx(np.mean(top5))
        seconds = []
        for seed in (0, 1):
            with (study / name / f"seed{seed}" / "history.csv").open() as file:
                seconds.append(float(list(csv.DictReader(file))[1]["seconds"]))
        time = row[heads.index("time of an epoch")]
        assert time.mean == pytest.approx(np.mean(seconds))


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


def test_answers_and_maps_of_the_gallery_are_the_networks(page, study):
    """The second image, by the saved network itself."""
    (gallery,) = sections(page, Gallery).values()
    folder = study / "cnn3-series" / "seed0"
    model, _ = load_trained(folder)
    shown = pick(load_run_data(folder), 3)
    scores = np.asarray(model.predict_on_batch(shown.inputs))[1]
    best = int(scores.argmax())
    panel = gallery.items[1].panels[1]
    right = "right" if best == 1 else "wrong"
    assert panel.heading == f"{best} {100 * scores[best]:.0f} %, {right}"
    spatial = [m for m in attention_maps(model, shown.inputs) if m.kind == "spatial"]
    large = shown.images[1].repeat(16, 0).repeat(16, 1)
    pixels = tf.io.decode_png(panel.pictures[2].png).numpy()
    np.testing.assert_array_equal(pixels, overlay(large, spatial[0].values[1]))


def test_another_recipe_in_one_run_is_told(broken, page):
    assert "All had the same recipe." in page.lead[0]
    path = broken / "cnn3-series" / "seed1" / "run.json"
    record = json.loads(path.read_text())
    record["recipe"]["learning_rate"] /= 2
    path.write_text(json.dumps(record))
    assert "Their recipes differ." in comparison_page(broken, **QUIET).lead[0]


def test_an_unfinished_study_says_so(broken):
    rows = (broken / "runs.csv").read_text().splitlines()
    (broken / "runs.csv").write_text("\n".join(rows[:-1]) + "\n")
    page = comparison_page(broken, **QUIET)
    assert page.lead[0].startswith("2 networks, 1 to 2 runs of each, over 2 epochs")
    (table,) = sections(page, Table).values()
    assert [row[2] for row in table.rows] == [2, 1]


def test_runs_without_a_common_seed_have_no_difference(broken):
    rows = (broken / "runs.csv").read_text().splitlines()
    (broken / "runs.csv").write_text("\n".join([rows[0], rows[1], rows[4]]) + "\n")
    page = comparison_page(broken, **QUIET)
    (table,) = sections(page, Table).values()
    assert table.rows[1][5] is None


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
    (losses,) = [each for each in page.sections if each.title == "Losses"]
    assert len(losses.figures) == 1
    titles = [each.title for each in page.sections]
    assert "p of the attention over the epochs" in titles
    assert "p of the convolutions at the end" in titles
    assert write_report(tmp_path, verbose=0) == tmp_path / "report.html"


def test_a_warm_up_leaves_a_gap_in_the_loss_of_alpha():
    """Of three epochs the first has none: the others stay where they are."""
    rows = [{"loss": 3.0}, {"loss": 2.0, "alpha_loss": 2.5}]
    rows.append({"loss": 1.0, "alpha_loss": 1.5})
    axes = figure.Figure().subplots()
    draw_curves(axes, losses_of(rows), "loss")
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), [np.nan, 2.5, 1.5])


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
        ("cnn3-none/candidate.json", "{}", r"candidate\.json is damaged"),
        ("cnn3-none/seed0/evaluation.json", "{}", r"evaluation\.json is damaged"),
        ("cnn3-none/seed0/evaluation.json", "[]", r"evaluation\.json is damaged"),
        ("cnn3-none/seed0/history.csv", "a,b\n1,2\n", r"history\.csv is damaged"),
        ("cnn3-none/seed0/history.csv", "epoch,x\n0", r"history\.csv is damaged"),
        ("cnn3-none/seed0/run.json", '{"format": 1}', r"seed0/run\.json is damaged"),
        ("runs.csv", "a,b\n1,2\n", r"runs\.csv has no column"),
        ("runs.csv", "", "No run of the comparison"),
        (
            "run.json",
            '{"format": 1, "kind": "comparison"}',
            r"run\.json is damaged: it has no training",
        ),
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
