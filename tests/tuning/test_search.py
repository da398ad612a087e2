"""A search from its request to its folder, killed in the middle and gone on with."""

import csv
import dataclasses
import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_attention import applications, complexity, data, training
from keras_attention.data import Augmentation, RecordSplit
from keras_attention.layers import SE, CBAMSpec
from keras_attention.training.interruption import Interrupted
from keras_attention.training.run_folder import Remembered
from keras_attention.tuning import searching
from keras_attention.tuning.costs import operation_costs
from keras_attention.tuning.deriving import derive_run, derive_within
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.mixed import architecture_variables, block_probabilities
from keras_attention.tuning.penalty import PAPER_COSTS
from keras_attention.tuning.rounds import bilevel_rounds
from keras_attention.tuning.schedule import SearchSchedule
from keras_attention.tuning.search_checkpoint import Progress, restore, save
from keras_attention.tuning.search_data import batches, divide_training
from keras_attention.tuning.search_penalty import named_penalty
from keras_attention.tuning.search_request import SearchRequest
from keras_attention.tuning.search_run import SearchRun
from keras_attention.tuning.searching import load_supernet, search
from keras_attention.tuning.selection import select
from keras_attention.tuning.space import search_space
from keras_attention.tuning.steps import BilevelSteps

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the search runs on TensorFlow"
)
EPOCHS, STEPS = 2, 4
ASKED = {
    "model": "cifarresnet-8",
    "data": "digits",
    "limit": 128,
    "batch_size": 16,
    "epochs": EPOCHS,
    "alpha_learning_rate": 0.05,
    "seed": 3,
}
BLOCKS = ("stage1_block1", "stage2_block1", "stage3_block1")


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def numbers(row, name, count=5):
    return np.array([float(row[f"{name}_{i}"]) for i in range(count)])


def array(variable):
    return keras.ops.convert_to_numpy(variable)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a search that was never interrupted."""
    out = tmp_path_factory.mktemp("searches") / "whole"
    search(out=out, verbose=0, command="me", **ASKED)
    return out


def small_supernet(**options):
    """Two blocks, and the search space."""
    space = search_space("sscbam", reduction_ratio=2, **options)
    model = applications.ResNet(
        (1, 1),
        (4, 8),
        "basic",
        stem="cifar",
        stem_width=4,
        input_shape=(8, 8, 1),
        classes=10,
        attention=space.spec(),
    )
    return model, space


# -- the folder --------------------------------------------------------------------


@tensorflow_only
def test_the_folder(finished):
    names = {path.name for path in finished.iterdir()}
    files = {"run.json", "history.csv", "alpha.csv", "genotype.json"}
    files |= {"search.keras", "search-1.keras"}
    pictures = {
        f"{name}.{form}"
        for name in ("probabilities", "heat_map")
        for form in ("svg", "png")
    }
    assert names == files | pictures | {"genotypes"}
    assert len(list((finished / "genotypes").iterdir())) == EPOCHS
    record = json.loads((finished / "run.json").read_text())
    assert record["kind"] == "search" and record["sessions"][0]["command"] == "me"
    assert record["search"]["penalty"] == "cost"
    assert record["operations"]["block"][1] == "CA⊕SA"
    history = rows_of(finished / "history.csv")
    assert [row["epoch"] for row in history] == ["0", "1"]
    schedule = SearchSchedule(EPOCHS)
    for row in history:
        step = (int(row["epoch"]) + 1) * STEPS - 1
        share = 0.5 * (1 + math.cos(math.pi * step / (EPOCHS * STEPS)))
        rate = schedule.least_learning_rate
        rate += share * (schedule.learning_rate - schedule.least_learning_rate)
        assert float(row["learning_rate"]) == pytest.approx(rate, rel=1e-5)
        measured = [float(row[name]) for name in ("loss", "alpha_loss", "penalty")]
        assert all(math.isfinite(value) and value > 0 for value in measured)


@tensorflow_only
def test_alpha_csv(finished):
    rows = rows_of(finished / "alpha.csv")
    assert [(row["epoch"], row["block"]) for row in rows] == [
        (str(epoch), block) for epoch in range(EPOCHS) for block in BLOCKS
    ]
    for row in rows:
        alpha, p = numbers(row, "alpha"), numbers(row, "p")
        np.testing.assert_allclose(p, np.exp(alpha) / np.exp(alpha).sum(), rtol=1e-6)
        entropy = -sum(each * math.log(each) for each in p)
        assert float(row["entropy"]) == pytest.approx(entropy, rel=1e-6)
        ranked = sorted(p)
        assert float(row["margin"]) == pytest.approx(ranked[-1] - ranked[-2], abs=1e-9)
        assert np.abs(alpha).max() > 0.01, "α did not move"
    model, _ = load_supernet(finished)
    for row, alpha in zip(rows[-3:], architecture_variables(model), strict=True):
        np.testing.assert_allclose(numbers(row, "alpha"), array(alpha), atol=1e-7)


@tensorflow_only
def test_every_epoch_has_its_genotype(finished):
    rows = rows_of(finished / "alpha.csv")
    symbols = [*search_space("sscbam").symbols, "(CA, SA)"]
    for epoch in range(EPOCHS):
        genotype = Genotype.load(finished / f"genotypes/epoch_{epoch:03d}.json")
        own = [numbers(row, "p") for row in rows if row["epoch"] == str(epoch)]
        assert list(genotype.operations) == [symbols[i] for i in select(own)]
        assert genotype.blocks == BLOCKS
        np.testing.assert_allclose(genotype.probabilities, own, atol=1e-6)
    assert Genotype.load(finished / "genotype.json") == genotype


# -- killed and gone on with -------------------------------------------------------


@tensorflow_only
def test_killed_in_the_middle_of_an_epoch_it_ends_where_the_other_did(
    finished, tmp_path
):
    """Killed in step 7 of 8; the last checkpoint is of step 6, in the second epoch."""
    out = tmp_path / "killed"
    program = Path(__file__).with_name("killed_search.py")
    options = json.dumps(ASKED | {"checkpoint_steps": 3})
    command = [sys.executable, str(program), str(out), str(EPOCHS * STEPS), options]
    root = Path(__file__).parents[2]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(rows_of(out / "history.csv")) == 1
    model, _ = load_supernet(out)
    between = [array(alpha) for alpha in architecture_variables(model)]
    genotype = search(out=out, resume=True, verbose=0)
    found, wanted = (rows_of(run / "alpha.csv") for run in (out, finished))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(
            numbers(one, "alpha"), numbers(other, "alpha"), atol=1e-5
        )
    first, last = (np.array([numbers(r, "alpha") for r in wanted])[i] for i in (
        slice(0, 3), slice(3, 6)
    ))  # fmt: skip
    assert np.abs(between - first).max() > 1e-3, "the checkpoint is the epoch's"
    assert np.abs(between - last).max() > 1e-3, "nothing was left to do"
    assert genotype.operations == Genotype.load(finished / "genotype.json").operations
    assert_same_end(out, finished)


def assert_same_end(out, finished):
    found, wanted = (rows_of(run / "history.csv") for run in (out, finished))
    for one, other in zip(found, wanted, strict=True):
        for name in set(one) - {"seconds"}:
            assert float(one[name]) == pytest.approx(float(other[name]), abs=1e-4), name
    models = [load_supernet(run)[0] for run in (out, finished)]
    weights = zip(models[0].weights, models[1].weights, strict=True)
    for one, other in weights:
        np.testing.assert_allclose(array(one), array(other), atol=1e-4)


@tensorflow_only
@pytest.mark.parametrize("harm", ["none", "truncated", "deleted"])
def test_asked_to_stop_it_saves_and_goes_on(
    harm, finished, tmp_path, monkeypatch, capsys
):
    """In step 7 of 8, whatever becomes of the file that is written then."""
    out, step, made = tmp_path / "run", BilevelSteps.weight_step, []

    def asked(*arguments):
        made.append(1)
        if len(made) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
            if harm == "deleted":
                shutil.rmtree(out)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BilevelSteps, "weight_step", asked)
        with pytest.raises(Interrupted, match="SIGTERM.*after step 7"):
            search(out=out, verbose=0, checkpoint_steps=3, **ASKED)
    newest = out / "search.keras"
    if harm == "truncated":
        newest.write_bytes(newest.read_bytes()[:-50])
    search(out=out, resume=True, verbose=0)
    assert_same_end(out, finished)
    refused = capsys.readouterr().err
    assert (f"Refused: {newest} holds no run" in refused) == (harm == "truncated")
    assert (f"{out} was deleted" in refused) == (harm == "deleted")


@pytest.mark.slow
@tensorflow_only
def test_two_replicas_search_and_go_on(tmp_path):
    """A round on several devices is in `test_steps.py`; here is all around it."""
    program = Path(__file__).with_name("mirrored_search.py")
    root = Path(__file__).parents[2]
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    alphas = json.loads(done.stdout.splitlines()[-1])
    assert alphas["devices"] == ["cpu:2", "cpu:2"]
    assert "the devices of one machine" in alphas["hosts"]
    np.testing.assert_allclose(alphas["twice"], alphas["whole"], atol=1e-5)
    np.testing.assert_allclose(alphas["whole"], alphas["alone"], atol=1e-5)
    assert np.abs(alphas["whole"]).min() > 1e-3
    asked = ASKED | {"alpha_learning_rate": 0.1, "epochs": 2, "batch_size": 16}
    asked |= {"space": "none,se", "limit": 64, "control": "penalty-only"}
    search(out=tmp_path / "one", verbose=0, **asked)
    wanted = [float(row["alpha_0"]) for row in rows_of(tmp_path / "one/alpha.csv")]
    np.testing.assert_allclose(alphas["null"], wanted, atol=1e-5)


@tensorflow_only
def test_a_finished_search_stays_as_it_is(finished, capsys):
    before = (finished / "search.keras").read_bytes()
    search(out=finished, resume=True)
    assert "has all of its 2 epochs already" in capsys.readouterr().out
    assert (finished / "search.keras").read_bytes() == before
    assert len(rows_of(finished / "history.csv")) == EPOCHS


@tensorflow_only
def test_going_on_with_other_settings_is_refused(finished):
    with pytest.raises(ValueError, match="order: 1 then, 2 now; seed: 3 then, 4 now"):
        search(out=finished, resume=True, seed=4, order=2)
    with pytest.raises(FileExistsError, match="already holds a run"):
        search(out=finished, **ASKED)
    with pytest.raises(ValueError, match="kind 'search', and 'training' is needed"):
        training.train(out=finished, resume=True)
    with pytest.raises(ValueError, match="kind 'search', and 'training' is needed"):
        training.evaluate_run(finished)


def dropping():
    """A network with a random seed, and two optimizers that have stepped."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    )
    optimizers = keras.optimizers.SGD(0.1, 0.9), keras.optimizers.Adam(0.1)
    variables = model.trainable_variables
    for optimizer, own in zip(optimizers, (variables[:1], variables[1:]), strict=True):
        optimizer.build(own)
        optimizer.apply([keras.ops.ones(v.shape) for v in own], own)
    model(keras.ops.ones((1, 4)), training=True)
    return model, optimizers


def test_a_checkpoint_holds_everything(tmp_path):
    path = tmp_path / "search.keras"
    model, optimizers = dropping()
    progress = Progress()
    progress.add({"loss": keras.ops.convert_to_tensor(0.1)})
    progress.add({"loss": keras.ops.convert_to_tensor(0.7), "penalty": 2.0})
    progress.seconds = 1.5
    save(path, model, optimizers, progress)
    keras.utils.set_random_seed(99)
    other, others = dropping()
    for variable in [*other.variables, *(v for o in others for v in o.variables)]:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    found = restore(path, other, others)
    assert found.step == 2 and found.seconds == 1.5
    assert found.means() == pytest.approx({"loss": 0.4, "penalty": 2.0})
    pairs = [(model.variables, other.variables)]
    both = zip(optimizers, others, strict=True)
    pairs += [(one.variables, another.variables) for one, another in both]
    names = set()
    for a, b in itertools.chain(*(zip(*pair, strict=True) for pair in pairs)):
        np.testing.assert_array_equal(array(a), array(b), err_msg=a.path)
        names.add(a.path.rsplit("/", 1)[-1])
    assert {"seed_generator_state", "iteration", "kernel"} <= names


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "search.keras"
    model, optimizers = dropping()
    model.save(path)
    with pytest.raises(ValueError, match="holds no run to go on with"):
        restore(path, model, optimizers)
    save(path, model, optimizers, Progress())
    with pytest.raises(ValueError, match="of another search"):
        restore(path, model, optimizers[:1])
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="holds no run to go on with"):
        restore(path, model, optimizers)


def test_a_loss_that_is_no_number_leaves_the_checkpoint(tmp_path):
    model, space = small_supernet()

    def rounds(step):
        for loss in (1.0, 2.0, 3.0, float("nan")):
            yield {"loss": loss}

    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    run = SearchRun(
        tmp_path,
        model,
        space,
        rounds,
        [optimizer],
        SearchSchedule(3),
        steps_per_epoch=2,
        checkpoint_steps=1,
        keep=1,
        remembered=Remembered(tmp_path, {}, []),
        images=None,
        verbose=0,
    )
    with pytest.raises(FloatingPointError, match="After step 4.* lower learning rate"):
        run.go(None)
    assert restore(tmp_path / "search.keras", model, [optimizer]).step == 3
    (row,) = rows_of(tmp_path / "history.csv")
    assert float(row["loss"]) == 1.5 and row["alpha_loss"] == ""


# -- the images --------------------------------------------------------------------


def test_the_training_images_are_divided_and_the_others_left_out():
    whole = data.load("digits", limit=101)
    weights, alpha = divide_training(whole, 0.3, seed=5)
    for part in (weights, alpha):
        assert set(part.splits) == {"train"}
        assert part.preprocessing == whole.preprocessing
    images = [
        part.train.images.reshape(len(part.train), -1) for part in (weights, alpha)
    ]
    assert [len(each) for each in images] == [71, 30]
    joined = np.concatenate(images)
    np.testing.assert_array_equal(
        joined[np.lexsort(joined.T)],
        (flat := whole.train.images.reshape(101, -1))[np.lexsort(flat.T)],
    )
    again, other = (divide_training(whole, 0.3, seed)[0].train for seed in (5, 6))
    np.testing.assert_array_equal(again.images, weights.train.images)
    assert (other.images != again.images).any()


def test_streamed_records_are_divided_at_a_place():
    whole = data.load("digits", limit=60)
    split = RecordSplit(["a", "b", "c"], [5, 0, 2], [10, 20, 30], parse=None)
    weights, alpha = divide_training(dataclasses.replace(whole, train=split), 0.4, 0)

    def records(part):
        own = part.train
        spans = zip(own.files, own.skips, own.takes, strict=True)
        return [(f, i) for f, skip, take in spans for i in range(skip, skip + take)]

    assert len(weights.train) == 36 and len(alpha.train) == 24
    every = [*(("a", i) for i in range(5, 15)), *(("b", i) for i in range(20))]
    every += [("c", i) for i in range(2, 32)]
    assert records(alpha) + records(weights) == every


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, 0.001])
def test_a_part_without_images_is_refused(fraction):
    with pytest.raises(ValueError, match="architecture_fraction"):
        divide_training(data.load("digits", limit=60), fraction, 0)


@pytest.mark.parametrize("first", [0, 2, 3, 7])
def test_batches_are_the_same_wherever_one_begins(first):
    """Three a epoch; first = 3 is the second epoch's beginning."""
    images = data.load("digits", limit=50)
    options = {"batch_size": 16, "seed": 4, "total": 8}
    augmentation = Augmentation(flip=True, pad_crop=2)
    whole = list(batches(images, augmentation, first=0, **options))[:8]
    tail = list(batches(images, augmentation, first=first, **options))[: 8 - first]
    assert len(whole) == 8
    for one, other in zip(whole[first:], tail, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    assert (whole[0][1].numpy() != whole[3][1].numpy()).any(), "one order for all"


# -- what moves when ---------------------------------------------------------------


class Recorder:
    """Steps that write down which batches they got."""

    def __init__(self):
        self.calls = []

    def weight_step(self, images, labels):
        self.calls.append(("w", images))
        return {"loss": 1, "accuracy": 2}

    def architecture_step(self, images, labels, others, other_labels):
        self.calls.append(("α", images, others))
        return {"loss": 3, "accuracy": 4, "penalty": 5}


def numbered(first):
    return ((number, None) for number in itertools.count(first))


def recorded_calls(step, count):
    recorder = Recorder()
    schedule = SearchSchedule(4, warmup_epochs=1, weight_steps=2)
    rounds = bilevel_rounds(
        recorder, schedule, 3, numbered, lambda first: numbered(100 + first)
    )(step)
    return recorder.calls, list(itertools.islice(rounds, count))


def test_alpha_waits_for_the_warm_up_and_takes_its_turns():
    calls, metrics = recorded_calls(0, 6)
    assert calls == [
        ("w", 0),
        ("w", 1),
        ("w", 2),
        ("α", 3, 100),
        ("w", 3),
        ("w", 4),
        ("α", 5, 101),
        ("w", 5),
    ]
    of_weights = {"loss": 1, "accuracy": 2}
    of_alpha = {"alpha_loss": 3, "alpha_accuracy": 4, "penalty": 5}
    assert metrics[2:5] == [of_weights, of_alpha | of_weights, of_weights]


@pytest.mark.parametrize("step", range(1, 7))
def test_rounds_go_on_as_if_they_had_not_stopped(step):
    whole, _ = recorded_calls(0, 7)
    rest, _ = recorded_calls(step, 7 - step)
    assert rest == whole[len(whole) - len(rest) :]
    assert len([call for call in rest if call[0] == "w"]) == 7 - step


@tensorflow_only
def test_the_penalty_alone_ends_at_the_papers_structure(tmp_path, monkeypatch):
    """p = [0, ½, ½, 0, 0], with no image seen and the weights as they were."""

    def unwanted(*args, **kwargs):
        raise AssertionError("the null run asked for images")

    monkeypatch.setattr(searching, "batches", unwanted)
    asked = ASKED | {
        "penalty": "paper",
        "control": "penalty-only",
        "batch_size": 1,
        "epochs": 3,
        "alpha_learning_rate": 0.1,
        "alpha_l2": 0.0,
    }
    out = tmp_path / "null"
    search(out=out, verbose=0, **asked)
    model, _ = load_supernet(out)
    for p in block_probabilities(model).values():
        np.testing.assert_allclose(p, [0, 0.5, 0.5, 0, 0], atol=0.01)
    request = searching.read_search(out)
    first = request.build(request.load_data())
    names = [v.path for v in first.weights]
    for name, one, other in zip(names, first.weights, model.weights, strict=True):
        if not name.endswith("alpha"):
            np.testing.assert_array_equal(array(one), array(other), err_msg=name)
    history = rows_of(out / "history.csv")
    # 3 blocks, w = 0.1, two operations of r = 1 at p = ½.
    assert float(history[-1]["penalty"]) == pytest.approx(0.3 * 2 * 0.5**1.1, rel=0.02)
    assert history[-1]["loss"] == ""


# -- what is asked -----------------------------------------------------------------


def test_penalties_by_name():
    model, space = small_supernet(aw=True)
    costs = [
        *operation_costs(model, space, "multiply_adds").tolist(),
        *operation_costs(model, space, "multiply_adds", "conv").tolist(),
    ]
    penalty = named_penalty("cost-multiply-adds", model, space, weight=0.5)
    assert penalty.weight == 0.5
    for row, own in zip(costs, penalty.costs, strict=True):
        np.testing.assert_allclose(own, [2 * cost / max(row) for cost in row])
    assert len(penalty.costs) == 2 + 4
    for name, first, weight in (("paper", 4, 0.1), ("released", 3, 0.05)):
        penalty = named_penalty(name, model, space)
        assert penalty.weight == pytest.approx(weight)
        assert penalty.costs == ((first, *PAPER_COSTS[1:]),) * 2 + ((0, 0),) * 4
    assert named_penalty("none", model, space) is None
    # The α that the search hands to it, in that order.
    alphas = [
        *architecture_variables(model, "block"),
        *architecture_variables(model, "conv"),
    ]
    wanted = 0.05 * 2 * sum(r * 0.2**1.1 for r in (3, 1, 1, 2, 2))
    found = named_penalty("released", model, space)(alphas)
    assert float(array(found)) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="'paper' has costs for Identity"):
        named_penalty("paper", model, search_space(["none", "se"]))


def test_the_released_penalty_brings_its_optimizer():
    asked = {"model": "cifarresnet-8", "data": "digits"}
    for request, rate, l2 in (
        (SearchRequest(**asked), 3e-4, 1e-3),
        (SearchRequest(**asked, penalty="released"), 0.1, 0.0),
        (SearchRequest(**asked, penalty="released", alpha_l2=0.5), 0.1, 0.5),
        (SearchRequest(**asked, alpha_learning_rate=0.25), 0.25, 1e-3),
    ):
        optimizer = request.alpha_optimizer()
        assert float(array(optimizer.learning_rate)) == pytest.approx(rate)
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.999)
        assert request.l2_of_alpha() == l2


def test_a_space_by_names():
    asked = {"model": "cifarresnet-8", "data": "digits"}
    space = SearchRequest(
        **asked, space="none,se,cbam", reduction_ratio=4
    ).search_space()
    assert [operation.attention for operation in space.operations] == [
        None,
        SE(reduction_ratio=4),
        CBAMSpec(reduction_ratio=4),
    ]
    assert space.conv is None
    assert SearchRequest(**asked, aw=True).search_space().conv is not None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"model": None}, "`model` is needed"),
        ({"modell": "resnet18"}, "'model'"),
        ({"space": "sscbamm"}, "'sscbam'"),
        ({"space": ["none", "se"]}, "names joined by commas"),
        ({"penalty": "costs"}, "'cost'"),
        ({"augmentation": "cifra"}, "'cifar'"),
        ({"control": "random"}, "'penalty-only'"),
        ({"control": "penalty-only", "penalty": "none"}, "nothing to do"),
        ({"penalty": "none", "penalty_weight": 0.5}, "is for a penalty"),
        ({"order": 3}, "must be 1 or 2"),
        ({"warmup_epochs": 99}, "warmup_epochs from 0 to epochs"),
        ({"alpha_l2": -1.0}, "`alpha_l2` must be at least 0"),
        ({"architecture_fraction": 1.0}, "`architecture_fraction` must be between"),
        ({"batch_size": 65}, "64 images, fewer than one batch of 65"),
        ({"space": "none,se", "penalty": "paper"}, "use the penalty 'cost'"),
        ({"checkpoint_steps": 0}, "checkpoint_steps"),
        ({"stop_after": 0}, "stop_after"),
    ],
)
@tensorflow_only
def test_what_does_not_fit_is_refused_before_anything_is_made(tmp_path, asked, message):
    with pytest.raises(ValueError, match=message):
        search(out=tmp_path / "new", verbose=0, **{**ASKED, **asked})
    assert not (tmp_path / "new").exists()


def test_another_backend_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
        search(out=tmp_path / "new", **ASKED)


# -- what is derived ---------------------------------------------------------------


def trainable(genotype):
    network = applications.build(
        "cifarresnet-8", attention=genotype, input_shape=(8, 8, 1), classes=10
    )
    return complexity(network).trainable_parameters


@tensorflow_only
def test_a_budget_is_kept_and_used_best(finished):
    model, space = load_supernet(finished)
    p = np.array(list(block_probabilities(model).values()))
    costs = operation_costs(model, space)
    free = derive_run(finished, rule="argmax")
    dearest = trainable(free) - trainable(None)
    budget = dearest - 1
    options = itertools.product(range(5), repeat=3)
    rows = range(3)
    best = max(
        (choice for choice in options if costs[rows, choice].sum() <= budget),
        key=lambda choice: np.log(p[rows, choice]).sum(),
    )
    found = derive_run(finished, budget=budget)
    assert found.operations == tuple(space.symbols[i] for i in best)
    assert trainable(found) - trainable(None) <= budget < dearest
    np.testing.assert_allclose(found.probabilities, p, atol=1e-6)
    assert derive_run(finished, budget=10**9).operations == free.operations
    with pytest.raises(ValueError, match="give `rule` or `budget`"):
        derive_run(finished, rule="argmax", budget=5)
    with pytest.raises(ValueError, match="'multiply_adds'"):
        derive_run(finished, budget=5, cost="madds")
    with pytest.raises(ValueError, match="give `budget` with it"):
        derive_run(finished, cost="latency")


def test_a_budget_over_both_axes(rng):
    """Against all choices of operations and convolutions of two blocks."""
    model, space = small_supernet(aw=True)
    for alpha in architecture_variables(model):
        alpha.assign(rng.normal(size=alpha.shape))
    blocks = block_probabilities(model)
    p = np.array(list(blocks.values()))
    q = np.array(list(block_probabilities(model, "conv").values()))
    costs = operation_costs(model, space)
    conv_costs = operation_costs(model, space, "parameters", "conv")
    conv_costs = conv_costs.reshape(2, 2, 2).sum(axis=1)  # two convolutions a block
    rows = range(2)
    every = []
    for choice in itertools.product(range(5), repeat=2):
        for conv in itertools.product(range(2), repeat=2):
            cost = costs[rows, choice].sum() + conv_costs[rows, conv].sum()
            gain = np.log(p[rows, choice]).sum() + np.log(q[rows, conv]).sum()
            every.append((gain, cost, choice, conv))
    dearest = max(cost for _, cost, _, _ in every)
    for budget in (0, dearest // 5, dearest // 2, dearest):
        _, _, choice, conv = max(row for row in every if row[1] <= budget)
        wanted = Genotype.of(space, blocks, choice, conv)
        assert derive_within(model, space, budget).entries == wanted.entries


def test_latency_is_a_cost(monkeypatch):
    """In milliseconds: two operations of 2 ms fit into 4, and not into 3."""
    model, space = small_supernet()
    seconds = np.array([[0, 0.002, 0.002, 0.002, 0.002]] * 2)
    monkeypatch.setattr(
        "keras_attention.tuning.deriving.latency_costs", lambda *a: seconds
    )
    for alpha in architecture_variables(model):
        alpha.assign([0.0, 1.0, 0.0, 0.0, 0.0])
    architecture_variables(model)[1].assign([0.0, 5.0, 0.0, 0.0, 0.0])
    found = derive_within(model, space, 3, "latency")
    assert found.operations == ("Identity", "CA⊕SA")
    assert derive_within(model, space, 4, "latency").operations == ("CA⊕SA",) * 2
