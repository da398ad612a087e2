"""`keras-attention detect`, from training to pictures, and how it goes wrong."""

import dataclasses
import json
import shlex

import keras
import numpy as np
import pytest
import tensorflow as tf
from references.rectangles import write_rectangles

from keras_attention import cli
from keras_attention.detection import DetectionRequest, runs
from keras_attention.detection.coco_metrics import METRICS
from keras_attention.detection.request import make_request

TRAIN = ["detect", "train", "--quiet", "--detector", "ssd", "--recipe", "quick"]
TRAIN += ["--backbone", "mobilenet-0.25", "--channels", "16", "--size", "64", "64"]
TRAIN += ["--epochs", "2", "--seed", "3", "--learning-rate", "0.001"]


def run(capsys, *argv):
    """Exit status, standard output and standard error of a command."""
    status = cli.main([str(each) for each in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rectangles(tmp_path_factory.mktemp("coco") / "data", images=3)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A run that stopped after one epoch and was resumed."""
    out = tmp_path_factory.mktemp("runs") / "x"
    argv = [*TRAIN, "--data", str(data), "--out", str(out), "--stop-after", "1"]
    assert cli.main([*argv, "--evaluate-every", "2"]) == 0
    assert not (out / "best.keras").exists()
    assert cli.main(["detect", "train", "--resume", "--out", str(out), "--quiet"]) == 0
    return out


def test_a_run_and_its_folder(finished, data):
    names = {
        "run.json",
        "history.csv",
        "state.json",
        "last.keras",
        "last-1.keras",
        "best.keras",
    }
    assert {path.name for path in finished.iterdir()} == names
    assert len((finished / "history.csv").read_text().splitlines()) == 3
    record = json.loads((finished / "run.json").read_text())
    assert (record["model"]["data"], record["model"]["data_dir"]) == (
        "folder",
        str(data),
    )
    assert record["classes"]["category_ids"] == [3, 7, 8]
    commands = [session["command"] for session in record["sessions"]]
    assert commands[0].startswith("keras-attention detect train --quiet --detector ssd")
    assert "--resume" in commands[1]
    model = keras.saving.load_model(finished / "best.keras", compile=False)
    assert (model.num_classes, model.image_size) == (4, (64, 64))


def test_going_on_with_a_finished_run_changes_nothing(finished, capsys):
    before = (finished / "last.keras").read_bytes()
    status, out, _ = run(capsys, "detect", "train", "--resume", "--out", finished)
    assert status == 0 and "has all of its 2 epochs" in out
    assert (finished / "last.keras").read_bytes() == before


def test_evaluate(finished, capsys):
    """The numbers of the last epoch, which is also the best: it alone was measured."""
    argv = ("detect", "evaluate", finished, "--quiet")
    status, out, _ = run(capsys, *argv, "--json")
    found = json.loads(out)
    assert status == 0 and (found["split"], found["images"]) == ("val2017", 3)
    rows = (finished / "history.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    for name in METRICS:
        logged = last[name] and float(last[name])
        assert logged == (
            "" if found[name] is None else pytest.approx(found[name], abs=1e-6)
        )
    assert list(found["AP50_per_class"]) == ["red", "green", "blue"]


def test_evaluate_tells_a_person(finished, capsys, monkeypatch):
    numbers = dict.fromkeys(METRICS, 0.25) | {"AP_large": None}
    by_class = {"red": 0.5, "green": None, "blue": 0.125}

    def measured(model, images, **options):
        assert len(images) == 2
        return {**numbers, "AP50_per_class": by_class}

    monkeypatch.setattr(runs, "evaluate", measured)
    argv = ("--split", "train2017", "--limit", 2)
    status, out, _ = run(capsys, "detect", "evaluate", finished, *argv)
    assert status == 0
    lines = out.splitlines()
    assert lines[:2] == ["train2017: 2 images", "AP         0.250"]
    assert "AP_large   –" in lines
    assert lines[-3:] == ["  red    0.500", "  green  –", "  blue   0.125"]
    assert len(lines) == 1 + 12 + 1 + 3


def test_predict(finished, data, tmp_path, capsys):
    """Pictures show the detections of COCO's file, and images are left as they were."""
    pytest.importorskip("matplotlib")
    out = tmp_path / "found"
    out.mkdir()
    source = sorted((data / "val2017").iterdir())[0]
    # An image called as the first one's picture would be.
    image, tricky = tmp_path / "a.png", out / "a.detected.png"
    for path in (image, tricky):
        path.write_bytes(source.read_bytes())
    argv = ["detect", "predict", finished, image, tricky, "--out", out, "--quiet"]
    status, said, error = run(capsys, *argv, "--min-score", 0)
    assert status == 0, error
    assert tricky.read_bytes() == source.read_bytes()
    lines = said.splitlines()
    assert lines[0].startswith(f"{image}: ") and lines[1].startswith(f"{tricky}: ")
    assert lines[0].partition(": ")[2] == lines[1].partition(": ")[2]
    assert lines[2] == str(out / "detections.json")
    written = {path.name for path in out.iterdir()} - {tricky.name}
    pictures = {"a-2.detected.png", "a.detected.detected.png"}
    assert written == {"detections.json", *pictures}
    results = json.loads((out / "detections.json").read_text())
    first = [each for each in results if each["image_id"] == 1]
    assert 2 * len(first) == len(results) > 0
    assert {each["file_name"] for each in first} == {str(image)}
    assert {each["category_id"] for each in results} <= {3, 7, 8}
    for x, y, width, height in (each["bbox"] for each in results):
        assert x >= 0 and y >= 0 and x + width <= 64.01 and y + height <= 64.01
    drawn = tf.io.decode_png((out / "a-2.detected.png").read_bytes()).numpy()
    pixels = tf.io.decode_png(source.read_bytes()).numpy()
    assert drawn.shape == pixels.shape and (drawn != pixels).any()
    # Nothing is as sure as that.
    status, said, _ = run(capsys, *argv, "--min-score", 1)
    assert status == 0 and said.splitlines()[0] == f"{image}: nothing"
    drawn = tf.io.decode_png((out / "a-2.detected.png").read_bytes()).numpy()
    np.testing.assert_array_equal(drawn, pixels)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="test_detection_export.py has JAX's"
)
def test_export(finished, capsys, tmp_path):
    out = tmp_path / "saved"
    status, said, error = run(capsys, "detect", "export", finished, "--out", out)
    assert status == 0, error
    assert said.startswith(f"{out}: ") and "in 3 images" in said
    loaded = tf.saved_model.load(str(out)).signatures["serving_default"]
    shape = loaded.structured_input_signature[1]["images"].shape
    assert shape == (1, 64, 64, 3)
    classes = json.loads((out / "assets.extra/classes.json").read_text())
    assert classes == {"class_names": ["red", "green", "blue"]}


def test_options_reach_the_detector():
    request = DetectionRequest(
        "folder",
        backbone="mobilenet-0.25",
        attention="aw_se",
        channels=32,
        anchor_sizes=(4, 8, 16, 32, 64),
        head_units=12,
        proposals=30,
        samples=20,
    )
    model = request.build(4)
    assert (model.num_classes, model.channels) == (4, 32)
    assert model.proposals.anchor_sizes == (4, 8, 16, 32, 64)
    assert model.proposals.training_post_nms == model.proposals.pre_nms == 30
    assert (model.head.units, model.head.samples) == (12, 20)
    layers = {
        layer.name: type(layer).__name__ for layer in model.feature_extractor.layers
    }
    assert layers["fpn_output2"] == "AWConv2D"
    assert layers["fpn_lateral5_attention"] == "SqueezeExcitation"
    frozen = DetectionRequest("x", freeze_norms=True, clip_norm=2.0, short_side=320)
    recipe = frozen.load_recipe()
    assert (recipe.name, recipe.freeze_norms, recipe.clip_norm) == ("coco", True, 2.0)
    assert (recipe.short_side, recipe.flip) == (320, True)
    assert DetectionRequest("x", detector="ssd300").load_recipe().name == "ssd"


def test_an_interruption_says_how_to_go_on(data, capsys, tmp_path, monkeypatch):
    asked = []

    def interrupted(*args, **options):
        asked.append(options["resume"])
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "train", interrupted)
    out = tmp_path / "my run"
    out.mkdir()
    (out / "run.json").touch()
    status, _, error = run(capsys, *TRAIN, "--data", data, "--out", out)
    assert status == 0
    assert f"keras-attention detect train --out '{out}' --resume" in error
    run(capsys, *shlex.split(error.partition("keras-attention ")[2]))
    assert asked == [False, True]


def test_a_list_by_name_has_group_norms():
    """As the names of the whole pyramid have; through what a run records."""
    asked = {"data": "coco/2017", "backbone": "resnet18", "channels": 32}
    request = make_request({**asked, "attention": ["aw"] + [None] * 7})
    again = make_request(json.loads(json.dumps(dataclasses.asdict(request))))
    assert again == request
    pyramid = again.build(3).feature_extractor
    assert pyramid.get_layer("fpn_lateral2").norm == "group"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet19"}, "'resnet18'"),
        ({"detector": "ssd", "recipe": "quick"}, "'ssd' needs `size`"),
        ({"attention": ["aw", "wa"]}, "'wa'"),
    ],
)
def test_names_are_looked_at_before_any_data(changes, message):
    with pytest.raises(ValueError, match=message):
        make_request({"data": "coco/2017", **changes})


NEW = ["detect", "train", "--quiet", "--out", "{new}"]
MADE = [*TRAIN, "--data", "{data}", "--out", "{new}"]
RESUME = ["detect", "train", "--resume", "--out", "{run}"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (NEW, "`data` is needed"),
        ([*NEW, "--data", "{new}/coco"], "There is no folder"),
        ([*NEW, "--data", "COC0"], "There is no folder 'COC0'. Unknown data set"),
        ([*NEW, "--data", "folder"], "`data_dir` is needed"),
        ([*NEW, "--data", "{data}", "--data-dir", "{data}"], "give one of them"),
        ([*MADE, "--detector", "yolo"], "'faster_rcnn'"),
        ([*MADE, "--recipe", "cocoo"], "'coco'"),
        ([*MADE, "--backbone", "resnet19"], "'resnet18'"),
        ([*MADE, "--train-split", "train"], "Splits in {data}: train2017, val2017"),
        ([*MADE, "--head-units", "8"], "`head_units` is for faster_rcnn"),
        ([*MADE, "--limit", "0"], "`limit`"),
        ([*MADE, "--seed", "-1"], "from 0 to 2147483647"),
        ([*MADE, "--attention", "aw"], "replaces a convolution"),
        ([*MADE, "--epochs", "0"], "epochs ≥ 1"),
        ([*TRAIN, "--data", "{data}", "--out", "{run}"], "already holds a run"),
        ([*RESUME, "--seed", "4"], "seed: 3 then, 4 now"),
        (["detect", "train", "--resume", "--out", "{new}"], "holds no run"),
        (["train", "--resume", "--out", "{run}"], "'training' is needed here"),
        (["detect", "evaluate", "{new}"], "holds no run"),
        (["detect", "evaluate", "{run}", "--split", "val"], "val2017"),
        (["detect", "evaluate", "{run}", "--split", "none"], "name a split"),
        (["detect", "evaluate", "{run}", "--data", "{other}"], "has ('cat',)"),
        (
            ["detect", "predict", "{run}", "{new}.png", "--out", "{new}"],
            "no image file",
        ),
        (
            ["detect", "predict", "{run}", "{run}/run.json", "--out", "{new}"],
            "run.json cannot be decoded",
        ),
        (
            ["detect", "predict", "{run}", "x.png", "--out", "{run}/run.json"],
            "is a file",
        ),
        (
            [
                "detect",
                "predict",
                "{run}",
                "x.png",
                "--out",
                "{new}",
                "--min-score",
                "50",
            ],
            "`min_score` must be in [0, 1]. Received: 50",
        ),
        (["detect", "export", "{run}", "--split", "val"], "val2017"),
    ],
)
def test_errors_are_one_line_and_status_2(
    finished, data, capsys, tmp_path, argv, message
):
    other = tmp_path / "other"
    (other / "annotations").mkdir(parents=True)
    (other / "val2017").mkdir()
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path = other / "annotations" / "instances_val2017.json"
    path.write_text(json.dumps(content))
    names = {"new": tmp_path / "new", "run": finished, "data": data, "other": other}
    status, _, error = run(capsys, *(each.format(**names) for each in argv))
    assert status == 2
    assert error.startswith("keras-attention: error: ")
    assert message.format(**names) in error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "new").exists()


def test_debug_shows_the_error_itself(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        cli.main(["detect", "evaluate", str(tmp_path), "--debug"])
