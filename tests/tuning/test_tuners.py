"""Searches by Keras Tuner: what is in the folder, kills, chief and workers."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import keras
import keras_tuner
import numpy as np
import pytest

from keras_attention import applications
from keras_attention.tuning import oracles, workers
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.hypermodel import AttentionHyperModel
from keras_attention.tuning.tuners import tune

ASKED = {
    "models": ("cifarresnet-8",),
    "data": "digits",
    "attentions": ("none", "se", "cbam"),
    "optimizers": ("sgd",),
    "recipe": "quick",
    "epochs": 2,
    "batch_size": 32,
    "limit": 96,
    "factor": 2,
}
# Three processes that compile everything again take it more than a minute.
slow_on_jax = (
    pytest.mark.slow if keras.backend.backend() == "jax" else lambda test: test
)
OBJECTIVE = keras_tuner.Objective("val_top1_error", "min")


@pytest.fixture(scope="module", autouse=True)
def tensorboard():
    if keras.backend.backend() == "tensorflow":
        reason = "keras_attention[tuning] is not installed"
        pytest.importorskip("tensorboard", reason=reason)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder and the trials of a Hyperband search that nothing disturbed."""
    out = tmp_path_factory.mktemp("tune") / "x"
    return out, ended(start(out), out)


def by_number(rows, *columns):
    return {row["trial"]: [row.get(each) for each in columns] for row in rows}


def test_hyperband_by_hand(finished):
    """Two epochs, factor 2: two trials of one epoch, the better one gets the second
    epoch, then two trials of two epochs (Li et al., 2018, algorithm 1)."""
    _, rows = finished
    epochs = by_number(rows, "tuner/initial_epoch", "tuner/epochs")
    assert epochs == {
        "0000": [0, 1],
        "0001": [0, 1],
        "0002": [1, 2],
        "0003": [0, 2],
        "0004": [0, 2],
    }
    errors = {row["trial"]: row["val_top1_error"] for row in rows}
    better = min(("0000", "0001"), key=errors.get)
    (second,) = [row for row in rows if row["trial"] == "0002"]
    assert second["tuner/trial_id"] == better
    # Its only epoch is the second one.
    assert second["epoch"] == 1
    assert [row["val_top1_error"] for row in rows] == sorted(errors.values())


def test_the_table_has_every_trial(finished):
    out, rows = finished
    with (out / "trials.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 5
    for row, line in zip(rows, written, strict=True):
        filled = {key: value for key, value in line.items() if value != ""}
        assert filled == {key: str(value) for key, value in row.items()}
    assert {row["status"] for row in rows} == {"COMPLETED"}


def test_the_best_genotype_is_the_best_trials_network(finished):
    out, rows = finished
    genotype = Genotype.load(out / "genotype.json")
    network = applications.build(
        rows[0]["model"], attention=genotype, input_shape=(8, 8, 1), classes=10
    )
    count = sum(int(np.prod(w.shape)) for w in network.trainable_weights)
    assert count == rows[0]["parameters"]
    kinds = {type(spec).__name__ for spec in genotype}
    wanted = {"none": "NoneType", "se": "SE", "cbam": "CBAMSpec"}
    assert wanted[rows[0]["block_attention"]] in kinds


def test_going_on_with_a_finished_search_changes_nothing(finished):
    out, rows = finished
    assert tune(out=out, resume=True, verbose=0) == rows
    record = json.loads((out / "run.json").read_text())
    assert len(record["sessions"]) == 3 and record["request"]["epochs"] == 2


def test_a_folder_is_not_mixed_up(finished, tmp_path):
    out, _ = finished
    with pytest.raises(FileExistsError, match="already holds a run"):
        tune(out=out, **ASKED)
    with pytest.raises(ValueError, match="epochs: 2 then, 3 now"):
        tune(out=out, resume=True, epochs=3)
    with pytest.raises(FileNotFoundError, match="holds no run"):
        tune(out=tmp_path, resume=True)
    with pytest.raises(ValueError, match="received 'trails'.*'trials'"):
        tune(out=tmp_path / "x", trails=3, **ASKED)
    with pytest.raises(ValueError, match="received 'grid'"):
        tune(out=tmp_path / "x", **ASKED | {"algorithm": "grid"})
    assert not (tmp_path / "x").exists()


def start(out, *, name=None, port=None, **more):
    """A process that searches, for a chief if it has a name."""
    given = {"out": str(out), "verbose": 0, **ASKED, **more}
    code = f"from keras_attention.tuning.tuners import tune\ntune(**{given!r})"
    environment = dict(os.environ)
    if name is not None:
        environment |= {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(port),
        }
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, out):
    """The trials of a search in a process of its own.

    Not in this one, whose first weights are not Keras' own on every backend.
    """
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return tune(out=out, resume=True, verbose=0)


def wait_until(condition, *processes, seconds=180):
    """Wait, and fail where a process ends before."""
    end = time.monotonic() + seconds
    while not condition():
        for each in processes:
            assert each.poll() is None, each.communicate()[1]
        assert time.monotonic() < end, "too slow"
        time.sleep(0.02)


@slow_on_jax
def test_killed_and_resumed_is_the_same_search(finished, tmp_path):
    """The third trial, which goes on from another one's checkpoint, is killed."""
    _, undisturbed = finished
    out = tmp_path / "x"
    process = start(out)
    running = out / "trials" / "trial_0002" / "trial.json"
    wait_until(running.exists, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert json.loads(running.read_text())["status"] == "RUNNING"
    rows = ended(start(out, resume=True), out)
    columns = ("block_attention", "block_placement", "sgd_learning_rate")
    columns += ("tuner/epochs",)
    assert by_number(rows, *columns) == by_number(undisturbed, *columns)
    was = {row["trial"]: row["val_top1_error"] for row in undisturbed}
    for row in rows:
        # One of 96 images is 1.04 percent.
        assert row["val_top1_error"] == pytest.approx(was[row["trial"]], abs=1.1)


def make_oracle(folder, algorithm="random", **options):
    options = {"trials": 3, "epochs": 2, "factor": 2, "seed": 1} | options
    oracle = oracles.make_oracle(algorithm, objective=OBJECTIVE, **options)
    oracle._set_project_dir(str(folder), "trials")
    oracle.verbose = 0
    space = oracle.get_space()
    space.Choice("attention", ["se", "cbam", "none"])
    space.Float("rate", 0.0, 1.0)
    oracle.update_space(space)
    return oracle


def finish(oracle, trial, error):
    oracle.update_trial(trial.trial_id, {"val_top1_error": error})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


@pytest.mark.parametrize("survives", range(8))
def test_killed_at_any_write(tmp_path, monkeypatch, survives):
    """Of the writes of two trials one is torn: all files are whole after it."""

    class KilledError(BaseException):
        pass

    oracle = make_oracle(tmp_path)
    utils = sys.modules["keras_tuner.src.utils"]
    writes = iter(range(100))
    write = utils.save_json

    def torn(path, content):
        if next(writes) == survives:
            with open(path, "w") as file:
                file.write(json.dumps(content)[:20])
            raise KilledError
        return write(path, content)

    monkeypatch.setattr(utils, "save_json", torn)
    ended = 0
    with pytest.raises(KilledError):
        while ended < 3:
            finish(oracle, oracle.create_trial("tuner0"), error=ended)
            ended += 1
    monkeypatch.setattr(utils, "save_json", write)
    again = make_oracle(tmp_path)
    if (tmp_path / "trials" / "oracle.json").exists():
        again.reload()
    proposed = {}
    while (trial := again.create_trial("tuner0")).status == "RUNNING":
        proposed[trial.trial_id] = trial.hyperparameters.values
        finish(again, trial, error=9)
    assert [t.status for t in again.trials.values()] == ["COMPLETED"] * 3
    undisturbed = make_oracle(tmp_path / "other")
    for trial_id in ("0", "1", "2"):
        trial = undisturbed.create_trial("tuner0")
        assert again.trials[trial_id].hyperparameters.values == (
            trial.hyperparameters.values
        )
        finish(undisturbed, trial, error=0)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only by hand."""
    now = [0.0]
    monkeypatch.setattr(oracles, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_dead_workers_trial_goes_to_another(tmp_path, clock):
    oracle = make_oracle(tmp_path, trials=2)
    mine = oracle.create_trial("a")
    lost = oracle.create_trial("b")
    clock[0] = 50
    oracle.get_trial(mine.trial_id)  # the sign of life of "a"
    clock[0] = 70
    assert oracle.give_up_silent(60) == ["b"]
    assert oracle.give_up_silent(60) == []
    finish(oracle, mine, error=1)
    again = oracle.create_trial("a")
    assert again.trial_id == lost.trial_id
    assert again.hyperparameters.values == lost.hyperparameters.values
    finish(oracle, again, error=2)
    assert oracle.create_trial("a").status == "STOPPED" and oracle.finished


def test_a_worker_waits_while_another_may_die(tmp_path, clock):
    oracle = make_oracle(tmp_path, trials=2)
    mine, lost = oracle.create_trial("a"), oracle.create_trial("b")
    finish(oracle, mine, error=1)
    # Keras Tuner would send it home: two of two trials were begun.
    assert oracle.create_trial("a").status == "IDLE" and not oracle.finished
    clock[0] = 70
    assert oracle.create_trial("a").status == "IDLE"
    assert oracle.give_up_silent(60) == ["b"]
    again = oracle.create_trial("a")
    assert (again.status, again.trial_id) == ("RUNNING", lost.trial_id)


def test_a_worker_that_was_given_up_returns(tmp_path, clock):
    """Its result counts once, whether or not another one has begun the trial."""
    oracle = make_oracle(tmp_path, trials=2)
    first = oracle.create_trial("a")
    clock[0] = 70
    oracle.give_up_silent(60)
    finish(oracle, first, error=1)  # nobody has taken it over yet
    second = oracle.create_trial("a")
    assert second.trial_id != first.trial_id
    clock[0] = 140
    oracle.give_up_silent(60)
    taken_over = oracle.create_trial("b")
    assert taken_over.trial_id == second.trial_id
    finish(oracle, second, error=2)
    finish(oracle, taken_over, error=2)
    assert [oracle.create_trial(each).status for each in "ab"] == ["STOPPED"] * 2
    assert oracle.finished and oracle.end_order == ["0", "1"]


def test_a_trial_that_kills_its_workers_fails(tmp_path, clock):
    oracle = make_oracle(tmp_path, trials=1)
    for number, worker in enumerate("ab", 1):
        oracle.create_trial(worker)
        clock[0] = 100 * number
        assert oracle.give_up_silent(60) == [worker]
    (trial,) = oracle.trials.values()
    assert trial.status == "FAILED" and "workers died" in trial.message
    assert oracle.create_trial("c").status == "STOPPED"


def test_refused_networks_do_not_end_the_search(tmp_path, monkeypatch):
    """Keras Tuner would end it after three in a row; and the seed decides which."""
    # It takes 0 for no seed, and would draw one from here.
    monkeypatch.setattr(sys.modules["keras_tuner.src.engine.oracle"], "random", None)
    refused = {"algorithm": "random", "trials": 4, "max_model_size": 1000}
    rates = set()
    for seed in (0, 1):
        out = tmp_path / str(seed)
        with pytest.raises(ValueError, match="None of 4 trials.*Oversized model: 7"):
            tune(out=out, seed=seed, verbose=0, **ASKED | refused)
        with (out / "trials.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["status"] for row in rows] == ["FAILED"] * 4
        assert all(row["reason"].startswith("Oversized model: 7") for row in rows)
        assert not (out / "genotype.json").exists()
        rates |= {row["sgd_learning_rate"] for row in rows}
    assert len(rates) == 8


def test_crashes_end_the_search(tmp_path, monkeypatch):
    def crash(*args, **options):
        raise KeyError("no such thing")

    monkeypatch.setattr(AttentionHyperModel, "fit", crash)
    with pytest.raises(RuntimeError, match="3 trials in a row crashed") as caught:
        tune(out=tmp_path / "x", verbose=0, **ASKED)
    assert "no such thing" in str(caught.value)
    reasons = sorted((tmp_path / "x" / "trials").glob("trial_*/reason.txt"))
    assert len(reasons) == 3 and "Traceback" in reasons[0].read_text()
    assert "KeyError: 'no such thing'" in (tmp_path / "x" / "trials.csv").read_text()


def test_bayesian_proposals_follow_the_results(tmp_path):
    """After a third of the trials they are where the error is expected least.

    Keras Tuner would draw at random for three trials per hyperparameter.
    """
    oracle = make_oracle(tmp_path, "bayesian", trials=9)

    class Expectation:
        """In place of the Gaussian process: error (rate − 0.7)²."""

        seen = 0

        def fit(self, x, y):
            self.seen = len(y)

        def predict(self, x, return_std):
            return (x[:, 1] - 0.7) ** 2, np.zeros(len(x))

    oracle.gpr = Expectation()
    rates = []
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        rates.append(trial.hyperparameters.get("rate"))
        finish(oracle, trial, error=1.0)
    assert len(rates) == 9 and oracle.gpr.seen == 8
    assert not np.allclose(rates[:3], 0.7, atol=0.01)
    np.testing.assert_allclose(rates[3:], 0.7, atol=1e-3)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's need only"
)
def test_tensorboard_missing_is_said_before_any_trial(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="'tensorboard'.*keras_attention.tuning"):
        tune(out=tmp_path / "x", **ASKED)
    assert not (tmp_path / "x").exists()


@pytest.fixture
def as_process(monkeypatch):
    """A function that makes this process a chief or worker; it returns the port."""

    def become(name):
        port = free_port()
        monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
        monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
        return port

    return become


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_chief_without_workers_ends(tmp_path, as_process):
    as_process("chief")
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="No worker called"):
        tune(out=tmp_path / "x", verbose=0, worker_timeout=2, **ASKED)
    assert time.monotonic() - began < 30


def test_a_worker_without_a_chief_ends(tmp_path, as_process):
    port = as_process("worker1")
    with pytest.raises(TimeoutError, match=f"No chief answered at 127.0.0.1:{port}"):
        tune(out=tmp_path / "x", verbose=0, worker_timeout=1, **ASKED)


def test_half_an_environment_is_an_error(monkeypatch):
    assert workers.role() == "alone"
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    with pytest.raises(ValueError, match="ORACLE_IP, KERASTUNER_ORACLE_PORT must be"):
        workers.role()
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(ValueError, match="KERASTUNER_ORACLE_PORT must be set too"):
        workers.role()


@pytest.mark.slow
def test_chief_and_two_workers_one_of_which_dies(tmp_path):
    out, port = tmp_path / "x", free_port()
    asked = {"port": port, "algorithm": "random", "trials": 4, "worker_timeout": 10.0}
    team = {n: start(out, name=n, **asked) for n in ("chief", "worker1", "worker2")}
    state = out / "trials" / "oracle.json"

    def both_at_work():
        if not state.exists():
            return False
        ongoing = json.loads(state.read_text())["ongoing_trials"]
        return {"worker1", "worker2"} <= set(ongoing)

    wait_until(both_at_work, *team.values())
    lost = json.loads(state.read_text())["ongoing_trials"]["worker2"]
    team["worker2"].send_signal(signal.SIGKILL)
    for name in ("chief", "worker1"):
        _, errors = team[name].communicate(timeout=300)
        assert team[name].returncode == 0, errors
    team["worker2"].communicate()
    with (out / "trials.csv").open(newline="") as file:
        rows = {row["trial"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == ["0", "1", "2", "3"]
    assert {row["status"] for row in rows.values()} == {"COMPLETED"}
    assert float(rows[lost]["val_top1_error"]) <= 100
    assert (out / "genotype.json").exists()
