"""The command line, from training to a prediction, and every way to get it wrong."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_attention as ka
from keras_attention import applications, cli, studies, training
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.saved_models import load
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.space import search_space

TRAIN = ["train", "--model", "cifarresnet-8", "--data", "digits", "--quiet"]
TRAIN += ["--recipe", "quick", "--epochs", "2", "--limit", "128", "--seed", "3"]
TRAIN += ["--attention", "se"]
tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the search runs on TensorFlow"
)
tensorflow_only_export = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="saved_models/test_worker.py has JAX's way to a file",
)
SEARCH = ["search", "--model", "cifarresnet-8", "--data", "digits", "--quiet"]
SEARCH += ["--limit", "64", "--batch-size", "16", "--space", "none,se"]
SEARCH += ["--augmentation", "none", "--epochs", "2", "--alpha-learning-rate", "0.1"]


def run(capsys, *argv):
    """Exit status, standard output and standard error of a command."""
    status = cli.main([str(each) for each in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that stopped after one epoch and was resumed."""
    out = tmp_path_factory.mktemp("runs") / "x"
    assert cli.main([*TRAIN, "--out", str(out), "--stop-after", "1"]) == 0
    assert len((out / "history.csv").read_text().splitlines()) == 2
    assert cli.main(["train", "--resume", "--out", str(out), "--quiet"]) == 0
    return out


def test_a_run_and_its_folder(finished):
    names = {path.name for path in finished.iterdir()} - {"tensorboard"}
    assert names == {
        "run.json",
        "history.csv",
        "state.json",
        "last.keras",
        "last-1.keras",
        "best.keras",
    }
    assert len((finished / "history.csv").read_text().splitlines()) == 3
    record = json.loads((finished / "run.json").read_text())
    assert record["model"]["attention"] == "se"
    commands = [session["command"] for session in record["sessions"]]
    assert commands[0].startswith("keras-attention train --model cifarresnet-8")
    assert "--resume" in commands[1]


def test_going_on_with_a_finished_run_changes_nothing(finished, capsys):
    before = (finished / "last.keras").read_bytes()
    status, out, _ = run(capsys, "train", "--resume", "--out", finished)
    assert status == 0 and "has all of its 2 epochs" in out
    assert (finished / "last.keras").read_bytes() == before


def test_evaluate(finished, capsys):
    status, out, _ = run(capsys, "evaluate", finished)
    assert status == 0
    assert out.startswith("test: 128 images\ntop-1 error")
    status, out, _ = run(
        capsys, "evaluate", finished / "last.keras", "--split", "validation", "--json"
    )
    found = json.loads(out)
    rows = (finished / "history.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert found["top1_error"] == pytest.approx(float(last["val_top1_error"]), abs=1e-3)


def test_predict(finished, capsys, tmp_path):
    image = tmp_path / "digit.png"
    pixels = np.random.default_rng(0).integers(0, 256, (20, 11, 1), np.uint8)
    image.write_bytes(tf.io.encode_png(pixels).numpy())
    status, out, _ = run(capsys, "predict", finished, image, image, "--top", 2)
    assert status == 0
    lines = out.splitlines()
    assert len(lines) == 2 and lines[0] == lines[1]
    assert lines[0].startswith(f"{image}: ") and lines[0].count("%") == 2
    status, out, _ = run(capsys, "predict", finished, image, "--top", 10, "--json")
    (found,) = json.loads(out)
    assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert sorted(found["classes"]) == [str(number) for number in range(10)]


def test_summary(capsys):
    arguments = ("--attention", "se", "--input-shape", 8, 8, 1, "--classes", 10)
    status, out, _ = run(capsys, "summary", "cifarresnet-8", *arguments)
    model = applications.build(
        "cifarresnet-8", attention="se", input_shape=(8, 8, 1), classes=10
    )
    assert status == 0 and f"{model.count_params():,}" in out
    status, out, _ = run(capsys, "summary", "cifarresnet-8", *arguments, "--json")
    assert status == 0 and json.loads(out)["parameters"] == model.count_params()


NEW = ["train", "--out", "{new}", "--quiet"]
RIGHT = ["--model", "cifarresnet-8", "--data", "digits"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([*NEW, "--data", "digits"], "`model` is needed"),
        ([*NEW, "--model", "cifarresnet-8"], "`data` is needed"),
        ([*NEW, "--model", "resnet19", "--data", "digits"], "'resnet19'"),
        ([*NEW, *RIGHT, "--attention", "cbamm"], "'cbam'"),
        ([*NEW, *RIGHT, "--recipe", "imagnet"], "'imagenet'"),
        ([*NEW, *RIGHT, "--schedule", "cos"], "'cosine'"),
        ([*NEW, *RIGHT, "--epochs", "0"], "epochs ≥ 1"),
        ([*NEW, *RIGHT, "--limit", "0"], "at least 1 image"),
        ([*NEW, *RIGHT, "--limit", "20"], "fewer than one batch of 128"),
        ([*NEW, *RIGHT, "--validation", "1"], "fraction of the images"),
        ([*NEW, *RIGHT, "--seed", "-1"], "from 0 to 2147483647"),
        ([*NEW, *RIGHT, "--dtype", "bf16"], "'mixed_bfloat16'"),
        ([*NEW, *RIGHT, "--stem", "cifar"], "has one stem"),
        ([*NEW, *RIGHT, "--stop-after", "0"], "`stop_after` must be at least 1"),
        (
            [*NEW, "--model", "cifarresnet-8", "--data", "cifar1o"],
            "Nearest: cifar10",
        ),
        (
            [
                *NEW,
                "--model",
                "cifarresnet-8",
                "--data",
                "folder",
                "--data-dir",
                "{new}",
            ],
            "There is no folder",
        ),
        (["train", "--resume", "--out", "{new}"], "holds no run"),
        ([*TRAIN, "--out", "{run}"], "already holds a run"),
        (
            [
                "train",
                "--resume",
                "--out",
                "{run}",
                "--seed",
                "4",
                "--model",
                "resnet18",
            ],
            "model: 'cifarresnet-8' then, 'resnet18' now; seed: 3 then, 4 now",
        ),
        (["evaluate", "{new}"], "holds no run"),
        (["evaluate", "{run}", "--split", "tests"], "'test'"),
        (["predict", "{run}", "{new}.png"], "There is no image file"),
        (
            ["predict", "{run}", "{run}/run.json"],
            "run.json cannot be decoded: its contents are no JPEG, PNG, BMP, GIF",
        ),
        (["summary", "resnet51"], "'resnet50'"),
    ],
)
def test_errors_are_one_line_and_status_2(finished, capsys, tmp_path, argv, message):
    names = {"new": tmp_path / "new", "run": finished}
    status, _, error = run(capsys, *(each.format(**names) for each in argv))
    assert status == 2
    assert error.startswith("keras-attention: error: ")
    assert message in error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "new").exists()


def test_debug_shows_the_error_itself(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        cli.main(["evaluate", str(tmp_path), "--debug"])


def test_a_damaged_network_is_refused(finished, capsys, tmp_path):
    for name in ("run.json", "last.keras"):
        (tmp_path / name).write_bytes((finished / name).read_bytes()[:900])
    status, _, error = run(capsys, "evaluate", tmp_path / "last.keras")
    assert status == 2 and "run.json is no JSON file" in error
    (tmp_path / "run.json").write_bytes((finished / "run.json").read_bytes())
    status, _, error = run(capsys, "evaluate", tmp_path / "last.keras")
    assert status == 2 and "last.keras" in error


@tensorflow_only_export
def test_export_a_run(finished, capsys, tmp_path):
    """Compared on the run's test images, with its class names and preprocessing."""
    path = tmp_path / "digits.tflite"
    command = ["export", finished, "--precision", "int8", "--out", path, "--images", 64]
    status, out, _ = run(capsys, *command, "--json")
    assert status == 0
    report = json.loads(out)
    assert (report["format"], report["precision"]) == ("litert", "int8")
    assert report["inputs"] == 128
    artifact = load(path)
    assert artifact.labels == tuple(str(i) for i in range(10))
    how = training.read_preprocessing(finished)
    assert Preprocessing.from_dict(artifact.description.preprocessing) == how
    status, _, error = run(capsys, *command)
    assert status == 2
    assert "--overwrite" in error
    status, out, _ = run(capsys, *command, "--overwrite")
    assert status == 0
    assert "top-1 agreement" in out
    assert "relative error" in out


@tensorflow_only_export
def test_export_goes_beside_the_network(finished, capsys):
    status, out, _ = run(capsys, "export", finished / "last.keras", "--format", "onnx")
    assert status == 0
    assert out.startswith(f"{finished / 'last.onnx'}: onnx, float32")
    (finished / "last.onnx").unlink()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["{run}", "--format", "coreml"], "Unknown format: received 'coreml'"),
        (["{run}", "--format", "onnx", "--precision", "int8"], "format='litert' has"),
        (["{run}", "--precision", "int8", "--images", "5"], "has 5 images"),
        (["{run}", "--float-layers", "stem_conv"], "is for precision='int8'"),
        (["{new}"], "holds no run"),
        (["{new}/x.keras"], "There is no"),
        (["{bare}"], "is in no run's folder.*--data"),
        (["{bare}", "--data", "digit"], "digit"),
    ],
)
def test_errors_of_an_export(finished, capsys, tmp_path, argv, message):
    bare = tmp_path / "bare.keras"
    bare.write_bytes((finished / "last.keras").read_bytes())
    names = {"new": tmp_path / "new", "run": finished, "bare": bare}
    before = sorted(finished.iterdir())
    status, _, error = run(capsys, "export", *(each.format(**names) for each in argv))
    assert status == 2
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert sorted(finished.iterdir()) == before


def terminate(*args, **options):
    os.kill(os.getpid(), signal.SIGTERM)


def test_preempted_it_saves_says_how_to_go_on_and_does(capsys, tmp_path, monkeypatch):
    def preempted(self, *args, callbacks, **options):
        ask = keras.callbacks.LambdaCallback(on_train_batch_end=terminate)
        return fit(self, *args, callbacks=[ask, *callbacks], **options)

    fit, out = keras.Model.fit, tmp_path / "my run"
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", preempted)
        status, _, error = run(capsys, *TRAIN, "--out", out)
    assert status == 0
    assert "Stopped by SIGTERM" in error and "after step 1 of" in error
    command = f"keras-attention train --out '{out}' --resume"
    assert command in error
    status, said, _ = run(capsys, *shlex.split(command)[1:])
    assert status == 0 and "epoch 2" in said


@pytest.mark.parametrize("argv", [TRAIN, ("evaluate", "x")])
def test_preempted_where_nothing_can_go_on(argv, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_attention.training.train", terminate)
    monkeypatch.setattr("keras_attention.training.evaluate_run", terminate)
    out = ("--out", tmp_path / "x") if argv is TRAIN else ()
    before = signal.getsignal(signal.SIGTERM)
    status, _, error = run(capsys, *argv, *out)
    assert status == 130 and "Nothing was changed" in error
    assert signal.getsignal(signal.SIGTERM) is before


def test_mixed_precision_trains(capsys, tmp_path):
    argv = [*TRAIN, "--dtype", "mixed_bfloat16", "--epochs", "1"]
    status, _, error = run(capsys, *argv, "--out", tmp_path / "x")
    assert status == 0, error
    model = keras.saving.load_model(tmp_path / "x/last.keras", compile=False)
    assert model.layers[2].compute_dtype == "bfloat16"


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "keras_attention", "train", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--resume" in done.stdout


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    status, _, error = run(capsys, *TRAIN, "--out", tmp_path / "x")
    assert status == 2
    assert "pip install 'keras_attention[data]'" in error and "'digits'" in error


# -- search ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search that stopped after one epoch and was resumed."""
    out = tmp_path_factory.mktemp("searches") / "s"
    assert cli.main([*SEARCH, "--out", str(out), "--stop-after", "1"]) == 0
    assert len((out / "history.csv").read_text().splitlines()) == 2
    assert cli.main(["search", "--resume", "--out", str(out), "--quiet"]) == 0
    return out


@pytest.fixture
def genotype_file(tmp_path):
    space = search_space(["none", "se"], reduction_ratio=8)
    blocks = [f"stage{stage}_block1" for stage in (1, 2, 3)]
    Genotype.of(space, blocks, [1, 0, 1]).save(tmp_path / "g.json")
    return tmp_path / "g.json"


@tensorflow_only
def test_search_derives_a_structure(searched, capsys, tmp_path):
    assert len((searched / "history.csv").read_text().splitlines()) == 3
    record = json.loads((searched / "run.json").read_text())
    commands = [session["command"] for session in record["sessions"]]
    assert commands[0].startswith("keras-attention search --model cifarresnet-8")
    assert "--resume" in commands[1]
    saved = tmp_path / "g.json"
    status, out, _ = run(capsys, "derive", searched, "--out", saved)
    assert status == 0
    assert Genotype.load(saved) == Genotype.load(searched / "genotype.json")
    assert out.splitlines()[0].split() == ["block", "none", "se", "Op"]
    # SE costs something in every block.
    status, out, _ = run(
        capsys, "derive", searched, "--budget", 0, "--cost", "multiply-adds"
    )
    assert status == 0
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["none"] * 3


def test_train_a_genotype(genotype_file, capsys, tmp_path):
    argv = [*TRAIN[: TRAIN.index("--attention")], "--genotype", genotype_file]
    out = tmp_path / "x"
    status, _, error = run(capsys, *argv, "--out", out, "--stop-after", 1)
    assert status == 0, error
    genotype_file.unlink()  # the run's record has it
    status, said, error = run(capsys, "train", "--resume", "--out", out)
    assert status == 0, error
    assert "by block: se(reduction_ratio=8), none, se(reduction_ratio=8)" in said
    status, said, _ = run(capsys, "evaluate", out)
    assert status == 0 and said.startswith("test: 128 images")
    model = keras.saving.load_model(out / "best.keras", compile=False)
    attention = [x.name for x in model.layers if x.name.endswith("_attention")]
    assert attention == ["stage1_block1_attention", "stage3_block1_attention"]


@tensorflow_only
def test_compare_what_a_search_found(searched, capsys, tmp_path):
    argv = ["compare", searched, "--out", tmp_path / "c", "--quiet", "--seeds", 1]
    argv += ["--random", 0, "--recipe", "quick", "--epochs", 1]
    status, out, error = run(capsys, *argv)
    assert status == 0, error
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in table[2:]] == ["plain", "s"]
    assert (tmp_path / "c/table.md").read_text() in out
    plain = applications.build("cifarresnet-8", input_shape=(8, 8, 1), classes=10)
    parameters = ka.complexity(plain).trainable_parameters
    assert parameters < plain.count_params() and f"| {parameters:,} |" in table[2]
    status, out, error = run(capsys, *argv)
    assert status == 2 and "already holds a run" in error


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([*SEARCH, "--out", "{new}", "--space", "sscbamm"], "'sscbam'"),
        ([*SEARCH, "--out", "{new}", "--penalty", "papers"], "'paper'"),
        ([*SEARCH, "--out", "{new}", "--order", "3"], "must be 1 or 2"),
        ([*SEARCH, "--out", "{new}", "--limit", "16"], "8 images, fewer than one"),
        (["search", "--resume", "--out", "{new}"], "holds no run"),
        (["search", "--out", "{new}"], "`model` is needed"),
    ],
)
@tensorflow_only
def test_errors_of_a_search(capsys, tmp_path, argv, message):
    new = tmp_path / "new"
    status, _, error = run(capsys, *(each.format(new=new) for each in argv))
    assert status == 2 and message in error
    assert error.count("\n") == 1 and not new.exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["search", "--resume", "--out", "{run}"], "'search' is needed"),
        (["derive", "{run}"], "'search' is needed"),
        (["derive", "{new}"], "holds no run"),
        (["compare", "{new}", "--out", "{new}"], "holds no run"),
        ([*NEW, *RIGHT, "--genotype", "{run}/run.json"], "run.json is no genotype"),
        ([*NEW, *RIGHT, "--genotype", "{new}.json"], "No such file"),
        (
            [
                *NEW,
                "--model",
                "resnet18",
                "--data",
                "digits",
                "--genotype",
                "{genotype}",
            ],
            "has 3 entries and the network has 8 blocks",
        ),
    ],
)
def test_errors_of_structures(
    finished, genotype_file, capsys, tmp_path, argv, message, monkeypatch
):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    names = {"new": tmp_path / "new", "run": finished, "genotype": genotype_file}
    status, _, error = run(capsys, *(each.format(**names) for each in argv))
    assert status == 2 and message in error
    assert error.count("\n") == 1 and not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["search"],
        ["compare", "a b", "--uniform", "CA+SA", "--epochs", "3"],
        ["tune"],
        ["study", "ablation", "--model", "cnn3", "--seeds", "2", "--stem", "cifar"],
    ],
)
def test_what_an_interruption_says_goes_on(capsys, monkeypatch, tmp_path, argv):
    """The command that is printed asks for the same, and to go on."""
    asked = []

    def interrupted(*args, **options):
        asked.append((args, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_attention.tuning.searching.search", interrupted)
    monkeypatch.setattr("keras_attention.tuning.comparison.compare", interrupted)
    monkeypatch.setattr("keras_attention.tuning.tuners.tune", interrupted)
    monkeypatch.setattr(studies, "ablation", interrupted)
    monkeypatch.setattr(
        "keras_attention.tuning.contenders.candidates_of",
        lambda *args, **options: ([args, options], {}),
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my run").mkdir()
    (tmp_path / "my run/run.json").touch()
    status, _, error = run(capsys, *argv, "--out", "my run")
    assert status == 0
    _, program, command = error.partition("keras-attention ")
    assert program
    run(capsys, *shlex.split(command))
    (first, options), (second, resumed) = asked
    assert first == second and not options["resume"] and resumed["resume"]
    for each in (options, resumed):
        del each["resume"], each["command"]
    assert options == resumed


# -- tune --------------------------------------------------------------------------


def test_tune_finds_a_network(capsys, tmp_path):
    if keras.backend.backend() == "tensorflow":
        pytest.importorskip("tensorboard", reason="keras_attention[tuning] is missing")
    out = tmp_path / "t"
    argv = ["tune", "--models", "cifarresnet-8", "--data", "digits", "--quiet"]
    argv += ["--attentions", "none", "se", "--algorithm", "random", "--trials", "2"]
    argv += ["--recipe", "quick", "--epochs", "1", "--limit", "64", "--out", out]
    status, said, error = run(capsys, *argv)
    assert status == 0, error
    with (out / "trials.csv").open(newline="") as file:
        best, other = csv.DictReader(file)
    assert {best["optimizer"], other["optimizer"]} == {"sgd", "adam"}
    first, second = said.splitlines()
    assert f"2 of 2 trials completed; best, trial {best['trial']}: " in first
    assert f"val_top1_error {float(best['val_top1_error']):.4g}" in first
    assert len(Genotype.load(second.rpartition(" ")[2])) == 3
    status, _, error = run(capsys, *argv)
    assert status == 2 and "already holds a run" in error
    status, _, error = run(capsys, "tune", "--out", tmp_path / "u", "--data", "digits")
    assert status == 2 and "`models` is needed" in error
    status, _, error = run(capsys, *argv[:-1], tmp_path / "u", "--attentions", "sse")
    assert status == 2 and "'se'" in error and not (tmp_path / "u").exists()


# -- pictures ------------------------------------------------------------------------


@pytest.fixture
def digit(tmp_path):
    path = tmp_path / "digit.png"
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 1), np.uint8)
    path.write_bytes(tf.io.encode_png(pixels).numpy())
    return path


def test_explain(finished, digit, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    argv = ["--class", "3", "--layer", "stage1", "stage3", "--patch", "2", "--quiet"]
    argv += ["--maps", "grad-cam", "occlusion", "--out", tmp_path / "seen"]
    status, out, _ = run(capsys, "explain", finished / "best.keras", digit, *argv)
    assert (status, out) == (0, f"{tmp_path / 'seen' / 'digit.explained.png'}\n")
    assert (tmp_path / "seen" / "digit.explained.png").exists()


def test_report(finished, tmp_path, capsys):
    pytest.importorskip("jinja2")
    page = tmp_path / "page.html"
    argv = ["--images", "1", "--quiet", "--out", page]
    status, out, _ = run(capsys, "report", finished, *argv)
    assert (status, out.splitlines()[-1]) == (0, str(page))
    assert "cifarresnet-8" in page.read_text()


def test_a_study_goes_on_where_it_was(tmp_path, capsys):
    argv = ["study", "ablation", "--model", "cnn3", "--data", "digits", "--quiet"]
    argv += [
        "--recipe",
        "quick",
        "--epochs",
        "1",
        "--limit",
        "64",
        "--batch-size",
        "32",
    ]
    argv += ["--images", "1", "--out", tmp_path / "s"]
    status, first, _ = run(capsys, *argv, "--forms", "spatial", "--seeds", "1")
    assert status == 0 and "| cnn3-spatial | 1 |" in first
    forms = ["--forms", "none", "spatial", "--seeds", "1", "--resume"]
    status, both, _ = run(capsys, *argv, *forms)
    assert status == 0 and "| cnn3-none | 1 |" in both
    assert first.splitlines()[2] in both  # the run that was there is not done again
    assert "cnn3-none" in (tmp_path / "s" / "report.html").read_text()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["explain", "{run}", "{run}/run.json"], "run.json cannot be decoded"),
        (["explain", "{run}", "{digit}", "--class", "ten"], "Unknown class"),
        (["explain", "{run}", "{digit}", "--maps", "cam"], "'grad-cam'"),
        (["explain", "{run}", "{digit}", "--layer", "stage4"], "'stage4'"),
        (["explain", "{run}", "{digit}", "--patch", "9"], "`patch` must fit"),
        (["explain", "{new}", "{digit}"], "holds no run"),
        (["report", "{new}"], "holds no run"),
        (["report", "{run}", "--images", "-1"], "`images` must be at least 0"),
        (["report", "{run}", "--out", "{new}/x/y.html", "--images", "0"], "new/x"),
        (["study", "ablation", "--out", "{new}"], "`data` is needed"),
        (
            ["study", "ablation", "--out", "{new}", "--data", "digits", "--forms", "x"],
            "Unknown form: received 'x'",
        ),
        (
            ["study", "ablation", "--out", "{run}", "--data", "digits"],
            "already holds a run",
        ),
    ],
)
def test_errors_of_pictures(finished, digit, tmp_path, capsys, argv, message):
    pytest.importorskip("matplotlib")
    names = {"new": tmp_path / "new", "run": finished, "digit": digit}
    status, _, error = run(capsys, *(each.format(**names) for each in argv))
    assert status == 2 and message in error
    assert error.count("\n") == 1 and not (tmp_path / "new").exists()
