"""Latencies of files: by a clock that only they move, and of a real LiteRT file."""

import csv
import json
import shutil
import sys
from itertools import cycle
from xml.etree import ElementTree

import keras
import pytest

from keras_attention import applications, cli, saved_models
from keras_attention.saved_models import benchmarking
from keras_attention.saved_models.benchmarking import benchmark
from keras_attention.saved_models.description import Description
from keras_attention.saved_models.runtime import Artifact

MS = 1e-3


class Clock:
    """The time, and every call by the file's name."""

    def __init__(self):
        self.now, self.calls = 0.0, []


class Fake(Artifact):
    """A file whose calls take the milliseconds that it is told, over and over."""

    def __init__(self, path, clock, milliseconds, batch=None, format="litert"):
        path.write_bytes(b"0" * 2500)
        description = Description(
            model="m",
            format=format,
            precision="int8",
            input_shape=(batch, 4, 6, 3),
            signature="serving_default",
            input_name="image",
            output_names=("scores",),
            softmax=True,
        )
        super().__init__(path, description, threads=None)
        self.clock, self.milliseconds, self.runners = clock, milliseconds, []

    def operators(self):
        return {}

    def runner(self, count, *, logits=False):
        self.runners.append((count, self.threads))
        left = cycle(self.milliseconds)

        def run(images):
            self.clock.calls.append((self.path.name, images.shape, str(images.dtype)))
            self.clock.now += MS * next(left)

        return run


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("keras_attention.timing.perf_counter", lambda: made.now)
    return made


@pytest.fixture
def fake(clock, tmp_path):
    def make(name, milliseconds=(1,), **options):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        return Fake(path, clock, milliseconds, **options)

    return make


@pytest.fixture
def two(fake):
    return [fake("a.tflite", [1, 2, 10]), fake("b.tflite", [3, 2, 40])]


def test_medians_and_ratios_to_the_first_within_rounds(two):
    a, b = benchmark(two, runs=3, warm_up=0, verbose=False).rows
    assert (a.name, a.format, a.precision, a.runs) == ("a.tflite", "litert", "int8", 3)
    assert a.megabytes == 0.0025 and a.input_shape == (1, 4, 6, 3) and a.note == ""
    found = [a.quartile_1, a.milliseconds, a.quartile_3]
    assert found == pytest.approx([1.5, 2, 6])
    assert [b.quartile_1, b.milliseconds] == pytest.approx([2.5, 3])
    assert (a.ratio_quartile_1, a.ratio, a.ratio_quartile_3) == (1, 1, 1)
    # 3, 1 and 4, where the medians' ratio is 1.5.
    found = [b.ratio_quartile_1, b.ratio, b.ratio_quartile_3]
    assert found == pytest.approx([2, 3, 3.5])
    assert " cores" in a.machine and a.machine == b.machine


def test_the_baseline_is_the_first(two):
    b, a = benchmark(two[::-1], runs=3, warm_up=0, verbose=False).rows
    assert (b.name, b.ratio) == ("b.tflite", 1)
    assert a.ratio == pytest.approx(1 / 3)


def test_rounds_have_every_file_once_in_orders_of_their_own(fake, clock):
    files = [fake(name) for name in "abc"]
    benchmark(files, runs=12, warm_up=2, verbose=False)
    names = [name for name, _, _ in clock.calls]
    rounds = ["".join(names[i : i + 3]) for i in range(6, len(names), 3)]
    assert len(rounds) == 12
    assert {"".join(sorted(each)) for each in rounds} == {"abc"}
    assert len(set(rounds)) > 2
    benchmark(files, runs=12, warm_up=2, verbose=False)
    assert [name for name, _, _ in clock.calls[len(names) :]] == names


def test_warm_up_is_not_counted(fake):
    (row,) = benchmark([fake("a", [50, 50, 1, 2])], runs=2, warm_up=2, verbose=0).rows
    assert row.quartile_3 < 2


def test_threads_are_passed_on(fake, monkeypatch):
    given, loaded = fake("a.tflite"), fake("b.tflite")
    monkeypatch.setattr(benchmarking, "load", {"b.tflite": loaded}.get)
    found = benchmark([given, "b.tflite"], threads=3, runs=1, verbose=False)
    assert given.runners == loaded.runners == [(1, 3)]
    assert [row.threads for row in found.rows] == [3, 3]
    assert given.threads is None  # the caller's own is left as it was
    found = benchmark([given], threads=None, runs=1, verbose=False)
    assert given.runners[1:] == [(1, None)] and found.rows[0].threads is None
    assert found.rows[0].note == ""


def test_a_saved_model_has_its_own_threads_and_the_result_says_so(fake):
    folder = fake("s", format="saved_model")
    found = benchmark([fake("a.tflite"), folder], threads=2, runs=1, verbose=False)
    assert folder.runners == [(1, None)]
    assert [row.threads for row in found.rows] == [2, None]
    assert "s: ran on TensorFlow's own threads, not on 2" in str(found)
    assert "runtime's" in str(found)


def test_a_file_runs_at_the_batch_it_was_made_for_and_the_result_says_so(fake, clock):
    files = [fake("open"), fake("eight", batch=8)]
    found = benchmark(files, batch_size=2, runs=1, warm_up=0, verbose=False)
    assert set(clock.calls) == {
        ("open", (2, 4, 6, 3), "float32"),
        ("eight", (8, 4, 6, 3), "float32"),
    }
    assert [row.input_shape[0] for row in found.rows] == [2, 8]
    assert "eight: made for 8 images in a call, not 2" in str(found)
    assert "open: " not in str(found)


def test_names(fake):
    files = [fake("x/a.tflite"), fake("y/a.tflite")]
    found = benchmark(files, runs=1, verbose=False)
    assert [row.name for row in found.rows] == [str(file.path) for file in files]
    found = benchmark(files, runs=1, names=("plain", "se"), verbose=False)
    assert [row.name for row in found.rows] == ["plain", "se"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": 0}, "`runs` must be an integer of at least 1. Received: 0"),
        ({"threads": 0}, "`threads` must be an integer of at least 1. Received: 0"),
        ({"batch_size": 0}, "`batch_size` must be"),
        ({"warm_up": -1}, "`warm_up` must be an integer of at least 0. Received: -1"),
        ({"names": ["a"]}, "a different name for each of 2 files. Received: ['a']"),
        ({"names": ["a", "a"]}, "a different name for each of 2 files"),
        ({"names": "ab"}, "a different name for each of 2 files. Received: 'ab'"),
    ],
)
def test_errors_of_arguments(two, clock, options, message):
    with pytest.raises(ValueError) as caught:
        benchmark(two, **options)
    assert message in str(caught.value) and not clock.calls


def test_errors_of_files(two, clock, tmp_path, monkeypatch):
    for none in ([], (), "a.tflite", two[0]):
        with pytest.raises(ValueError, match="a list of one or more files"):
            benchmark(none)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"twice: .*a.tflite, a.tflite"):
        benchmark([*two, "a.tflite"])
    with pytest.raises(FileNotFoundError, match=r"There is no c.tflite"):
        benchmark([*two, "c.tflite"])
    assert not clock.calls


def test_the_table_is_aligned_and_names_the_machine(two):
    found = benchmark(two, runs=3, warm_up=0, verbose=False)
    header, first, second, what, machine = str(found).splitlines()
    assert len(header) == len(first) == len(second)
    assert first.split() == [
        *("a.tflite", "litert", "int8", "1×4×6×3", "1", "0.00"),
        *("2.000", "1.500–6.000", "1.000", "1.000–1.000"),
    ]
    end = header.index("ms per call") + len("ms per call")
    assert second[:end].endswith(" 3.000")
    assert what.startswith("3 calls of each file") and "ratios to a.tflite" in what
    assert machine == found.rows[0].machine


def test_progress_says_what_is_left(two, capsys):
    benchmark(two, runs=3)
    said = capsys.readouterr().out
    assert said.startswith("2 files: 5 calls of each to warm up, then 3\n")
    assert "3/3" in said
    benchmark(two, runs=3, verbose=False)
    assert capsys.readouterr().out == ""


def test_the_saved_table_and_picture(two, fake, tmp_path):
    pytest.importorskip("matplotlib", reason="keras_attention[viz] is missing")
    files = [*two, fake("s", [7], format="saved_model")]
    found = benchmark(files, runs=3, warm_up=0, verbose=False)
    table, picture = found.save(tmp_path / "new" / "out")
    assert sorted(table.parent.iterdir()) == [table, picture]
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a.tflite", "b.tflite", "s"]
    assert [float(row["milliseconds"]) for row in rows] == [2, 3, 7]
    assert [row["threads"] for row in rows] == ["1", "1", ""]
    assert float(rows[1]["ratio"]) == 3 and rows[1]["runs"] == "3"
    assert rows[0]["input_shape"] == "1×4×6×3"
    assert {row["machine"] for row in rows} == {found.rows[0].machine}
    assert "TensorFlow's own threads" in rows[2]["note"]
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    for words in ("a.tflite", "3.000 ms, 3.00×", "ms per call", found.rows[0].machine):
        assert words in picture.read_text(encoding="utf-8")
    dumped = json.loads(json.dumps(found.to_dict()))
    assert dumped["rows"][1]["ratio_quartile_1"] == pytest.approx(2)


def test_bars_are_the_medians_the_first_on_top(two):
    figure = pytest.importorskip("matplotlib.figure", reason="[viz] is missing")
    axes = figure.Figure().subplots()
    benchmark(two, runs=3, warm_up=0, verbose=False).draw(axes)
    bars = sorted(axes.patches, key=lambda bar: -bar.get_y())
    assert [bar.get_width() for bar in bars] == pytest.approx([2, 3])
    labels = dict(zip(axes.get_yticks(), axes.get_yticklabels(), strict=True))
    assert labels[max(labels)].get_text().startswith("a.tflite")
    (whiskers,) = (c.get_segments() for c in axes.collections)
    assert [x for x, _ in whiskers[0]] == pytest.approx([1.5, 6])
    assert axes.get_xlim()[1] > 21.5  # b's third quartile


@pytest.mark.parametrize("where", ["matplotlib", "drawing"])
def test_nothing_is_written_where_the_picture_fails(two, tmp_path, monkeypatch, where):
    found = benchmark(two, runs=1, verbose=False)
    if where == "matplotlib":
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        error = pytest.raises(ImportError, match=r"keras_attention\[viz\]")
    else:
        monkeypatch.setattr(benchmarking, "draw_bars", lambda *arguments: 1 / 0)
        error = pytest.raises(ZeroDivisionError)
    with error:
        found.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_disk_leaves_the_old_files(two, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="keras_attention[viz] is missing")
    found = benchmark(two, runs=1, verbose=False)
    before = {path: path.read_bytes() for path in found.save(tmp_path / "out")}

    def full(*arguments):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        benchmark(two, runs=2, verbose=False).save(tmp_path / "out")
    left = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert left == before


# -- a real file, and the command --------------------------------------------------


@pytest.fixture(scope="module")
def litert(tmp_path_factory):
    """A LiteRT file of a small network, twice."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("one backend is enough: the file is the same")
    pytest.importorskip("ai_edge_litert", reason="keras_attention[export] is missing")
    folder = tmp_path_factory.mktemp("files")
    first, second = folder / "a.tflite", folder / "b.tflite"
    saved_models.export(applications.CifarResNet(8), first, "litert", verbose=False)
    shutil.copy(first, second)
    return first, second


def run(capsys, *argv):
    """Exit status, standard output and standard error of a command."""
    status = cli.main([str(each) for each in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_real_file(litert):
    found = saved_models.benchmark(litert, runs=5, threads=2, verbose=False)
    a, b = found.rows
    assert a.megabytes == b.megabytes == litert[0].stat().st_size / 1e6
    assert (a.format, a.precision) == ("litert", "float32")
    assert a.input_shape == (1, 32, 32, 3) and a.threads == 2 and a.ratio == 1
    assert 0 < a.quartile_1 <= a.milliseconds <= a.quartile_3
    assert 0 < b.ratio_quartile_1 <= b.ratio <= b.ratio_quartile_3
    assert ", ai-edge-litert " in a.machine


def test_the_command(litert, capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="keras_attention[viz] is missing")
    argv = ["benchmark", *litert, "--runs", 3, "--threads", 1]
    status, out, error = run(capsys, *argv, "--quiet", "--out", tmp_path / "out")
    assert status == 0, error
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["file", "a.tflite", "b.tflite"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"benchmark.csv", "benchmark.svg"}
    status, out, error = run(capsys, *argv, "--json")
    assert status == 0, error
    rows = json.loads(out)["rows"]  # and no progress bar before it
    assert [row["name"] for row in rows] == ["a.tflite", "b.tflite"]
    assert [row["runs"] for row in rows] == [3, 3]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["{new}.tflite"], "There is no "),
        (["{csv}"], "is no exported network"),
        (["{csv}", "{csv}"], "Received one file twice"),
        (["{csv}", "--runs", "0"], "`runs` must be an integer of at least 1"),
        (["{csv}", "--threads", "0"], "`threads` must be an integer of at least 1"),
    ],
)
def test_errors_of_the_command(capsys, tmp_path, argv, message):
    names = {"new": tmp_path / "new", "csv": tmp_path / "some.csv"}
    names["csv"].write_text("a\n")
    argv = [each.format(**names) for each in argv]
    status, _, error = run(capsys, "benchmark", *argv, "--out", tmp_path / "out")
    assert status == 2
    assert error.startswith("keras-attention: error: ") and message in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()
