"""Processes that are started, prefixed, told to stop, and started again."""

import os
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from keras_attention.training.launch import jobs, members
from keras_attention.training.launch.__main__ import main
from keras_attention.training.launch.members import Place
from keras_attention.training.launch.running import Runner

PROGRAM = str(Path(__file__).with_name("launched.py"))
# The launcher without the package around it, which would import Keras.
ALONE = """
import sys, types
for name, folder in zip(("keras_attention", "keras_attention.training"), sys.argv[1:3]):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from keras_attention.training.launch.__main__ import main
sys.exit(main(sys.argv[3:]))
"""


def launch(*words, options=("--processes", "2"), out):
    return main([*options, "--", sys.executable, PROGRAM, *words, "--out", str(out)])


def starts(out, number=0):
    return (out / f"starts-{number}").read_text().splitlines()


def wait_for(*paths):
    end = time.monotonic() + 20
    while not all(path.exists() for path in paths):
        assert time.monotonic() < end, paths
        time.sleep(0.05)


def two(out, *words, before=lambda: None):
    """A job of two processes; `before` is called before each start."""

    def places():
        before()
        name = "KERAS_DISTRIBUTION_PROCESS_ID"
        return [Place(f"process {n}", {name: str(n)}, f"[{n}] ") for n in (0, 1)]

    command = [sys.executable, PROGRAM, *words, "--out", str(out)]
    return jobs.Job("both", command, places, 2)


def test_processes_know_each_other(tmp_path, capfd):
    assert launch(out=tmp_path) == 0
    first, second = (starts(tmp_path, number)[0].split()[:3] for number in (0, 1))
    assert re.fullmatch(r"127\.0\.0\.1:\d+", first[0])
    assert [first[1:], second] == [["2", "0"], [first[0], "2", "1"]]
    lines = capfd.readouterr().out.splitlines()
    assert sorted(lines) == ["[1] a line of 1", "a line of 0"]


def test_some_of_a_clusters_processes(tmp_path):
    options = ["--coordinator", "10.0.0.1:99", "--processes", "8", "--first", "6"]
    assert launch(options=[*options, "--here", "1"], out=tmp_path) == 0
    assert starts(tmp_path, 6)[0].split()[:3] == ["10.0.0.1:99", "8", "6"]
    assert not (tmp_path / "starts-0").exists()


def test_one_that_dies_has_all_started_again(tmp_path, capfd):
    began = time.monotonic()
    assert launch("die-1", out=tmp_path) == 0
    assert time.monotonic() - began < 30  # the one that waits is killed
    for number in (0, 1):
        resumes = [line.endswith("--resume") for line in starts(tmp_path, number)]
        assert resumes == [False, True]
    said = capfd.readouterr().err
    assert "process 1 was killed by SIGKILL (signal 9): the machine may" in said


@pytest.mark.parametrize(
    "words, number, status",
    [
        (("die",), 3, 137),  # 2 restarts without a checkpoint
        (("die", "learn"), 5, 137),  # 3 checkpoints came, each of which is progress
        (("die", "half"), 3, 137),  # a file that is no checkpoint is none
        (("fail",), 1, 1),  # before a run has begun
        (("refuse",), 1, 2),  # an error of the user's
    ],
)
def test_starts_that_bring_nothing_end(words, number, status, tmp_path, capfd):
    options = ["--processes", "1", "--restarts", "2"]
    assert launch(*words, options=options, out=tmp_path) == status
    assert len(starts(tmp_path)) == number


@pytest.mark.parametrize("words, status", [((), 0), (("stubborn",), 137)])
def test_a_signal_is_passed_on_and_a_second_one_kills(words, status, tmp_path, capfd):
    def ask():
        wait_for(*(tmp_path / f"ready-{each}" for each in (0, 1)))
        os.kill(os.getpid(), signal.SIGTERM)
        wait_for(*(tmp_path / f"stopped-{each}" for each in (0, 1)))
        if words:
            os.kill(os.getpid(), signal.SIGTERM)

    asker = threading.Thread(target=ask)
    asker.start()
    assert launch("hang", *words, out=tmp_path) == status
    asker.join()
    assert len(starts(tmp_path)) == 1
    said = capfd.readouterr().err
    assert "all are asked to stop" in said
    assert ("killing all" in said) == bool(words)


def test_a_signal_after_a_death_ends_all(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "SETTLING", 5.0)

    def ask():
        wait_for(*(tmp_path / f"starts-{each}" for each in (0, 1)))
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    asker = threading.Thread(target=ask)
    asker.start()
    assert launch("die-1", out=tmp_path) == 137
    asker.join()
    assert (tmp_path / "stopped-0").exists()
    assert len(starts(tmp_path)) == 1


def test_a_signal_while_all_start_again_reaches_them(tmp_path):
    asked = []

    def ask():
        asked.append(1)
        if len(asked) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    job = two(tmp_path, "die-1", "hang-again", before=ask)
    assert Runner([job], 1).run()["both"] in (0, 143)  # 143: not even begun
    assert len(asked) == 2


def test_a_process_that_cannot_start_leaves_none_behind(tmp_path, monkeypatch):
    made = []

    def member(command, place):
        if made:
            raise OSError("no more processes")
        made.append(members.Member(command, place))
        return made[0]

    monkeypatch.setattr(jobs, "Member", member)
    with pytest.raises(OSError, match="no more processes"):
        Runner([two(tmp_path, "hang")], 1).run()
    assert made[0].status() == -signal.SIGKILL


def test_an_error_of_the_users_is_told_from_what_others_make_of_it(tmp_path):
    assert launch("abort", out=tmp_path) == 2
    assert len(starts(tmp_path)) == 1


def test_what_a_process_leaves_running_does_not_hold_the_launcher(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(members, "LAST_LINES", 0.2)
    job = two(tmp_path, "leave")
    assert Runner([job], 1).run() == {"both": 0}
    readers = set(threading.enumerate()) - {threading.main_thread()}
    assert readers
    for left in tmp_path.glob("left-*"):
        os.kill(int(left.read_text()), signal.SIGKILL)
    assert all(thread.daemon for thread in readers)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a death")
def test_a_killed_launcher_leaves_no_orphans(tmp_path):
    folder = Path(jobs.__file__).parents[1]
    words = ["--processes", "2", "--", sys.executable, PROGRAM, "hang"]
    launcher = subprocess.Popen(
        [sys.executable, "-c", ALONE, folder.parent, folder, *words, "--out", tmp_path]
    )
    wait_for(*(tmp_path / f"ready-{each}" for each in (0, 1)))
    launcher.kill()
    launcher.wait()
    wait_for(*(tmp_path / f"stopped-{each}" for each in (0, 1)))


def test_the_last_out_counts():
    assert jobs._out(["x", "--out", "a", "--out=b"]) == Path("b")
    assert jobs._out(["x", "--out=b", "--out", "a"]) == Path("a")


def test_seeds_run_at_once_and_are_summed_up(tmp_path, capfd):
    options = ["--seeds", "3", "4", "5", "--at-once", "2", "--restarts", "1"]
    folder = tmp_path / "s{seed}"
    assert launch("--seed", "{seed}", "die-0", options=options, out=folder) == 0
    lines = capfd.readouterr().out.splitlines()
    for seed in (3, 4, 5):
        assert f"--seed {seed} die-0" in starts(tmp_path / f"s{seed}")[1]
        assert f"[seed {seed}] a line of 0" in lines
    summary = lines[-3:]
    assert [line.split(":")[0] for line in summary] == ["seed 3", "seed 4", "seed 5"]
    assert all("done after" in x and "restarted 1 times" in x for x in summary)


def test_a_seed_that_fails_does_not_end_the_others(tmp_path, capfd):
    options = ["--seeds", "0", "1", "--restarts", "0"]
    command = [sys.executable, PROGRAM, "{seed}", "--out", str(tmp_path / "s{seed}")]
    (tmp_path / "s0").mkdir()
    (tmp_path / "s0/starts-0").mkdir()  # which the program cannot write to
    assert main([*options, "--", *command]) == 1
    lines = capfd.readouterr().out.splitlines()
    assert "seed 0: failed with exit status 1" in lines[-2]
    assert "seed 1: done" in lines[-1]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--seeds", "0", "1", "--", "x", "--out", "y"], "must have {seed}"),
        (["--seeds", "0", "1", "--", "x", "{seed}", "--out", "y"], "a folder for each"),
        (["--processes", "4", "--here", "2", "--", "x"], "--coordinator HOST:PORT"),
        (["--processes", "2", "--first", "2", "--", "x"], "must be of the"),
        (["--", "no-such-program", "--out", "x"], "no-such-program"),
        (["--", "x", "--stop-after", "3", "--out", "y"], "--stop-after would count"),
        ([], "a command is needed"),
    ],
)
def test_wrong_arguments(arguments, words, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_the_launcher_needs_no_backend():
    """Of its own modules; the package around them imports Keras."""
    folder = Path(sys.modules[main.__module__].__file__).parent
    wanted = set(sys.stdlib_module_names) | {"keras_attention"}
    for path in folder.glob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.match(r"(?:from|import) (\w+)", line)
            assert not found or found[1] in wanted, line


def test_it_runs_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["launch", "--help"])
    monkeypatch.delitem(sys.modules, main.__module__)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("keras_attention.training.launch", run_name="__main__")
    assert end.value.code == 0
    assert "--coordinator" in capsys.readouterr().out
