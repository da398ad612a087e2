"""The command line with arguments of every kind: status 0, or 2 and one line."""

import argparse
import contextlib
import csv
import io
import json

import keras
import pytest
from fuzzing import fuzzed
from hypothesis import strategies as st
from references.image_bytes import GOOD
from test_fuzz_configs import RECORD

from keras_attention import cli
from keras_attention.detection import runs as detection_runs
from keras_attention.reports import of_run
from keras_attention.saved_models import from_run
from keras_attention.training import finetuning, run_folder, runs
from keras_attention.tuning import comparison, searching, tuners
from keras_attention.tuning.genotype import Genotype
from keras_attention.visualization import explaining_files

# What would take long: commands end there.
LONG = (
    *((runs, "fit"), (runs, "evaluate"), (runs, "predict"), (finetuning, "fit")),
    *((from_run, "export"), (of_run, "evaluate"), (explaining_files, "explain")),
    *((detection_runs, "fit"), (detection_runs, "evaluate")),
    *((searching, "_search"), (tuners, "_hypermodel"), (comparison, "_train")),
)
# Another package, the network, all devices: not what arguments can get wrong.
LEFT_OUT = {"--help", "-h", "--download", "--distribute", "--debug"}
WORDS = (
    *("run", "run/best.keras", "new", "new/deep/x", "picture.png", "genotype.json"),
    *("data", "notes.txt", "", " ", "\0", "ü 🐈", "a" * 3000, "-", "--", "-1", "none"),
    *("digits", "folder", "cifar10", "coco/2017", "resnet", "cnn3", "cifarresnet-8"),
    *(
        "cifarresnet-x",
        "cifarresnet-[[1]]",
        "mobilenet-nan",
        "mobilenet-inf",
        "vgg16-1",
    ),
    *("aw_se", "se", "cbam", "quick", "cifar", "finetune", "float16", "test"),
    *("se,eca", "%s", "{}", "NaN", "inf", "1e999", "0x10", "١", "1_0", "\ud800"),
)
NUMBERS = (*range(-2, 9), 16, 32, 2**40, 2**63, 10**30, 0.5, -0.5, 1e-300, 1e300)
words = st.one_of(
    st.sampled_from(WORDS), st.sampled_from(NUMBERS).map(str), st.text(max_size=5)
)


class ReachedError(ValueError):
    """The arguments have passed every check."""


def commands():
    """(words of a command, its actions) for every command."""
    found, left = [], [([], cli._parser())]
    while left:
        before, parser = left.pop()
        inner = [
            a for a in parser._actions if isinstance(a, argparse._SubParsersAction)
        ]
        for action in inner:
            left += [([*before, name], sub) for name, sub in action.choices.items()]
        if not inner:
            found.append((before, parser._actions))
    return sorted(found, key=lambda command: command[0])


COMMANDS = commands()


@st.composite
def arguments(draw):
    """Known and unknown options in any order, with right and wrong values."""
    before, actions = draw(st.sampled_from(COMMANDS))
    options = [a for a in actions if not LEFT_OUT & set(a.option_strings)]
    named = [a for a in options if a.option_strings]
    chosen = draw(st.lists(st.sampled_from(named), max_size=4, unique_by=id))
    chosen += [a for a in named if a.required and a not in chosen and draw(mostly)]
    places = [a for a in options if not a.option_strings and draw(mostly)]
    parts = [_words_of(draw, action) for action in [*places, *chosen]]
    if draw(st.integers(0, 9)) == 0:
        parts.append([draw(st.sampled_from(("--no-such-option", "-x", "--outt=3")))])
    if before == ["train"] and draw(st.booleans()):
        parts = [["--model", "cifarresnet-8", "--data", "digits"], *parts]
    return [*before, *(word for part in parts for word in part)]


mostly = st.integers(0, 9).map(bool)


def _words_of(draw, action):
    """An option with as many values as it takes, or one more or less."""
    name = action.option_strings[-1:]
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        return [draw(st.sampled_from(action.option_strings))]
    right = action.nargs if isinstance(action.nargs, int) else 1
    count = max(0, right + draw(st.sampled_from((0, 0, 0, 0, 1, -1))))
    return [*name, *(draw(_values_of(action)) for _ in range(count))]


def _values_of(action):
    if action.dest in ("out", "path", "folder"):  # nowhere else
        return st.sampled_from(
            ("run", "new", "new/deep", "run/best.keras", "notes.txt")
        )
    if action.choices:
        return st.one_of(st.sampled_from(list(action.choices)), words)
    if action.type in (int, float):
        return st.one_of(st.sampled_from(NUMBERS).map(str), words)
    return words


@pytest.fixture
def place(inputs, monkeypatch):
    """The arena with a run, a genotype and a picture; long work is not done."""

    def reached(*args, **options):
        raise ReachedError("reached")

    for module, name in LONG:
        assert hasattr(module, name)
        monkeypatch.setattr(module, name, reached)
    monkeypatch.setattr(runs.Request, "build", reached)
    folder = inputs.inside / "run"
    folder.mkdir()
    (folder / run_folder.RECORD).write_text(json.dumps(RECORD), encoding="utf-8")
    with (folder / "history.csv").open("w", encoding="utf-8") as file:
        csv.writer(file).writerows([("epoch", "loss"), (0, 1.5)])
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save(folder / "best.keras")
    Genotype("mine", ("a",), ("se",), ("se",)).save(inputs.inside / "genotype.json")
    (inputs.inside / "picture.png").write_bytes(GOOD["plain.png"])
    (inputs.inside / "notes.txt").write_text("none of ours\n", encoding="utf-8")
    return inputs


def status_and_error(argv):
    """Exit status and standard error of a command."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = cli.main(argv)
        except SystemExit as stopped:  # argparse's, after its usage
            status = stopped.code
            assert "keras-attention" in error.getvalue().splitlines()[-1]
            return status, ""
    return status, error.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")
@fuzzed(1000, argv=arguments())
def test_command_line(place, argv):
    """One line that says what is wrong, and nothing written but where it was asked."""
    if place.is_over():
        return
    status, error = place.outcome(lambda: status_and_error(argv))
    assert status in (0, 2), (status, error)
    if status and "error: reached\n" not in error:
        place.results -= 1
        place.failed("exit status 2")
    if error:
        assert error.startswith("keras-attention: error: ") and error.count("\n") == 1
    assert (place.inside / "notes.txt").read_text() == "none of ours\n"
