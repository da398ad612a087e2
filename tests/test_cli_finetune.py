"""One command from weights and a folder of classes to a network."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_attention import applications, cli

FINETUNE = ["finetune", "--quiet", "--recipe", "quick", "--epochs", "1"]
FINETUNE += ["--batch-size", "8", "--seed", "3"]


def run(capsys, *argv):
    """Exit status, standard output and standard error of a command."""
    status = cli.main([str(each) for each in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A whole network for four other classes."""
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("weights") / "small.keras"
    applications.ResNet(
        (1, 1), (16, 16), "basic", input_shape=(16, 16, 3), stem="cifar", classes=4
    ).save(path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder with a folder of images for each of three classes."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "owl"):
        (folder / name).mkdir()
        for i in range(12):
            pixels = tf.io.encode_png(rng.integers(0, 256, (20, 24, 3), np.uint8))
            (folder / name / f"{i}.png").write_bytes(pixels.numpy())
    return folder


@pytest.fixture(scope="module")
def finished(weights, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "x"
    words = ["--weights", weights, "--data", photos, "--out", out, "--freeze", "1"]
    words += ["--layer-decay", "0.5", "--ema", "0.9", "--mixup", "0.2"]
    assert cli.main([*FINETUNE, *map(str, words)]) == 0
    return out


def test_a_folder_in_a_network_out(finished, photos, capsys):
    record = json.loads((finished / "run.json").read_text())
    asked = record["model"]
    assert (asked["data"], asked["data_dir"]) == ("folder", str(photos.resolve()))
    assert (asked["freeze"], asked["ema"]) == (1, 0.9)
    assert asked["new_layers"] == ["predictions"]
    model = keras.saving.load_model(finished / "model.keras")
    assert model.output_shape == (None, 3)
    status, out, _ = run(capsys, "evaluate", finished, "--split", "train")
    assert status == 0 and "owl" in out
    image = next((photos / "cat").iterdir())
    status, out, _ = run(capsys, "predict", finished / "model.keras", image)
    assert status == 0 and out.count("%") == 3


def test_it_goes_on_from_the_folder_alone(finished, capsys):
    status, out, _ = run(capsys, "finetune", "--resume", "--out", finished)
    assert status == 0 and "has all of its 1 epochs" in out
    assert f"{finished}/model.keras: the network of the best epoch" in out


def test_it_goes_on_by_the_same_words(finished, weights, photos, capsys):
    words = ["--resume", "--weights", weights, "--data", photos, "--ema", "0.9"]
    status, out, _ = run(capsys, "finetune", *words, "--out", finished)
    assert status == 0 and "has all of its 1 epochs" in out


NEW = ["--out", "{new}"]
RIGHT = [*NEW, "--weights", "{weights}", "--data", "{photos}"]
NAMED = [*NEW, "--weights", "{weights}", "--data", "{photos}", "--model"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*NEW, "--data", "{photos}"], "`weights` is needed"),
        ([*NEW, "--weights", "{weights}"], "`data` is needed"),
        ([*NEW, "--weights", "{new}.keras", "--data", "{photos}"], "no network"),
        ([*NEW, "--weights", "{photos}/cat/0.png", "--data", "{photos}"], "`model`"),
        ([*NEW, "--weights", "imagenet", "--data", "{photos}"], "Without `model`"),
        ([*NEW, "--weights", "{photos}", "--data", "{photos}"], "holds no run"),
        ([*NAMED, "resnet19"], "'resnet19'"),
        ([*NAMED, "resnet18"], "weights"),
        ([*RIGHT, "--attention", "cbam"], "`attention` is for a network that `model`"),
        ([*RIGHT, "--stem", "cifar"], "`stem` is for a network that `model`"),
        ([*RIGHT, "--dtype", "mixed_bfloat16"], "`dtype` is for a network that"),
        ([*RIGHT, "--dtype", "half"], "'mixed_bfloat16'"),
        ([*RIGHT, "--attach", "cbamm"], "'cbam'"),
        ([*RIGHT, "--where", "before_add"], "`where` is for `attach`"),
        ([*RIGHT, "--attach", "se", "--where", "before_ad"], "before_ad"),
        ([*RIGHT, "--recipe", "finetun"], "'finetune'"),
        ([*RIGHT, "--schedule", "cos"], "'cosine'"),
        ([*RIGHT, "--epochs", "0"], "epochs ≥ 1"),
        ([*RIGHT, "--batch-size", "99"], "fewer than one batch of 99"),
        ([*RIGHT, "--learning-rate", "0"], "learning_rate > 0"),
        ([*RIGHT, "--freeze", "5"], "has 2 stages to freeze"),
        ([*RIGHT, "--freeze", "-1"], "freeze ≥ 0"),
        ([*RIGHT, "--freeze", "stam*"], "Unknown layer to freeze: received 'stam*'"),
        ([*RIGHT, "--layer-decay", "1.5"], "layer_decay ≤ 1"),
        ([*RIGHT, "--new-learning-rate-factor", "0"], "new_learning_rate_factor > 0"),
        ([*RIGHT, "--ema", "1"], "ema < 1"),
        ([*RIGHT, "--mixup", "-1"], "mixup ≥ 0"),
        ([*RIGHT, "--label-smoothing", "1"], "label_smoothing < 1"),
        ([*RIGHT, "--data-dir", "x"], "leave `data_dir` out"),
        ([*RIGHT, "--image-size", "32", "32"], "takes images of 16×16 pixels only"),
        ([*RIGHT, "--validation", "1"], "fraction of the images"),
        ([*RIGHT, "--limit", "0"], "at least 1 image"),
        ([*RIGHT, "--seed", "-1"], "from 0 to 2147483647"),
        ([*RIGHT, "--split-seed", "-1"], "from 0 to 2147483647"),
        ([*RIGHT, "--stop-after", "0"], "`stop_after` must be at least 1"),
        (
            [*NEW, "--weights", "{weights}", "--data", "digits"],
            "have 1 channels, and resnet takes 3",
        ),
        (
            [*NEW, "--weights", "{weights}", "--data", "folder", "--data-dir", "{new}"],
            "There is no folder",
        ),
        (  # before data is looked for
            [*NEW, "--weights", "{weights}", "--data", "{new}", "--freeze", "5"],
            "has 2 stages to freeze",
        ),
        (["--out", "{new}", "--resume"], "holds no run"),
        (["--out", "{run}", "--resume", "--ema", "0.5"], "ema: 0.9 then, 0.5 now"),
        ([*RIGHT, "--out", "{run}"], "already holds a run"),
    ],
)
def test_errors_are_one_line_before_anything_is_written(
    finished, weights, photos, capsys, tmp_path, words, message
):
    names = {"new": tmp_path / "new", "run": finished}
    names |= {"weights": weights, "photos": photos}
    argv = ["finetune", "--quiet", *(word.format(**names) for word in words)]
    status, _, error = run(capsys, *argv)
    assert status == 2
    assert error.startswith("keras-attention: error: ")
    assert message in error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("where", "new"),
    [
        ([], {"stage1_block1_add_cbam", "stage2_block1_add_cbam"}),
        (["--where", "between_stages"], {"stage1_block1_out_cbam"}),
        (
            ["--where", "stage1_block1_conv1", "stage2_block1_conv1"],
            {"stage1_block1_conv1_cbam", "stage2_block1_conv1_cbam"},
        ),
    ],
)
def test_attention_is_attached(weights, photos, capsys, tmp_path, where, new):
    words = ["--weights", weights, "--attach", "cbam", *where, "--data", photos]
    status, _, error = run(capsys, *FINETUNE, *words, "--out", tmp_path / "x")
    assert status == 0, error
    record = json.loads((tmp_path / "x/run.json").read_text())
    assert set(record["model"]["new_layers"]) == new | {"predictions"}
    model = keras.saving.load_model(tmp_path / "x/model.keras")
    assert new <= {layer.name for layer in model.layers}
    status, out, error = run(capsys, "finetune", "--resume", "--out", tmp_path / "x")
    assert status == 0 and "has all" in out, error


def test_runs_of_training_and_of_fine_tuning_are_not_mixed_up(
    finished, capsys, tmp_path
):
    status, _, error = run(capsys, "train", "--resume", "--out", finished)
    assert status == 2 and "go on with it by `finetune`" in error
    record = json.loads((finished / "run.json").read_text())
    del record["model"]["new_layers"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    status, _, error = run(capsys, "finetune", "--resume", "--out", tmp_path)
    assert status == 2 and "go on with it by `train`" in error
