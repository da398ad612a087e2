"""Controls of a search, and fair comparisons with them."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from keras_attention.training import Evaluation, Request
from keras_attention.training.runs import check_request
from keras_attention.tuning import comparison
from keras_attention.tuning.comparison import Candidate, compare, read_comparison
from keras_attention.tuning.contenders import candidates_of
from keras_attention.tuning.controls import random_genotype, uniform_genotype
from keras_attention.tuning.genotype import Genotype
from keras_attention.tuning.searching import read_search
from keras_attention.tuning.space import search_space

SPACE = search_space("sscbam", aw=True)
BLOCKS = tuple(f"stage1_block{i}" for i in range(1, 9))


def test_random_genotypes_draw_every_operation_alike():
    """χ² over 4,000 draws, at a level that chance passes once in 10,000."""
    drawn = [random_genotype(SPACE, BLOCKS, seed) for seed in range(500)]
    found = [operation for genotype in drawn for operation in genotype.operations]
    symbols = [SPACE.symbol(i, conv) for i in range(5) for conv in range(2)]
    counts = np.array([found.count(symbol) for symbol in symbols])
    assert counts.sum() == 4000
    assert ((counts - 400) ** 2 / 400).sum() < 33.7  # 9 degrees of freedom
    first = [genotype.operations[0] for genotype in drawn]
    last = [genotype.operations[-1] for genotype in drawn]
    same = sum(a == b for a, b in zip(first, last, strict=True))
    assert 20 < same < 90, "blocks are drawn one by one: 50 of 500 expected"


def test_random_genotypes_are_their_seeds():
    first = random_genotype(SPACE, BLOCKS, 7)
    assert first == random_genotype(SPACE, BLOCKS, 7)
    assert first != random_genotype(SPACE, BLOCKS, 8)
    assert first.blocks == BLOCKS
    with pytest.raises(ValueError, match="from 0 to 2147483647"):
        random_genotype(SPACE, BLOCKS, -1)


def test_a_uniform_genotype_has_one_operation():
    genotype = uniform_genotype(SPACE, BLOCKS, "SA⊕CA")
    assert set(genotype.operations) == {"SA⊕CA"} and len(genotype) == len(BLOCKS)
    assert set(genotype.entries) == {SPACE.operations[2].attention}
    with pytest.raises(ValueError, match="'SA⊕CA'"):
        uniform_genotype(SPACE, BLOCKS, "SA+CA")


# -- the comparison ----------------------------------------------------------------

ERRORS = {"plain": [30.0, 31.0, 35.0], "found": [20.0, 22.0, 24.0]}
ASKED = {"model": "cifarresnet-8", "data": "digits", "recipe": "quick"}


class Trainings:
    """In place of training: notes what was asked, an epoch takes 2 seconds."""

    def __init__(self):
        self.asked, self.tested, self.fails, self.models = [], [], None, {}

    def train(self, *, out, resume, attention, seed, **options):
        if self.fails == (out.parent.name, seed):
            raise KeyboardInterrupt
        out.mkdir(parents=True, exist_ok=True)
        epochs = options.get("epochs") or 5
        self.models[out.parent.name] = options["model"]
        self.asked.append((out.parent.name, out.name, seed, epochs))
        return [{"epoch": i, "seconds": 9.0 if i == 0 else 2.0} for i in range(epochs)]

    def evaluate(self, folder, split):
        assert split == "test"
        name, seed = folder.parent.name, int(folder.name.removeprefix("seed"))
        self.tested.append((name, seed))
        wrong = int(ERRORS[name][seed])
        return Evaluation("test", ("a", "b"), np.array([[100 - wrong, wrong], [0, 0]]))


@pytest.fixture
def trainings(monkeypatch):
    own = Trainings()
    weights = [np.zeros((1000, 1234)), np.zeros(567)]
    network = SimpleNamespace(trainable_weights=weights)
    monkeypatch.setattr(comparison, "train", own.train)
    monkeypatch.setattr(comparison, "evaluate_run", own.evaluate)
    monkeypatch.setattr(comparison, "load_trained", lambda folder: (network, folder))
    return own


CANDIDATES = [Candidate("plain"), Candidate("found", "cbam", spent=10.0)]


def test_every_candidate_is_trained_alike_and_tested_once(trainings, tmp_path):
    out = tmp_path / "c"
    found = compare(CANDIDATES, out=out, verbose=0, epochs=4, **ASKED)
    runs = [(name, seed) for name in ("plain", "found") for seed in range(3)]
    assert trainings.tested == runs
    assert trainings.asked == [(name, f"seed{s}", s, 4) for name, s in runs]
    assert found.errors("plain") == pytest.approx(ERRORS["plain"])
    with (out / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["candidate"], int(row["seed"])) for row in rows] == runs
    assert {float(row["seconds"]) for row in rows} == {9.0 + 3 * 2.0}
    plain, other = (out / "table.md").read_text().splitlines()[2:]
    # s² = 7 and 4.
    half = [4.30265 * (square / 3) ** 0.5 for square in (7, 4)]
    assert plain == f"| plain | 3 | 32.00 | ± {half[0]:.2f} | 4 | 1,234,567 | 15 | 0 |"
    assert other == f"| found | 3 | 22.00 | ± {half[1]:.2f} | 4 | 1,234,567 | 15 | 10 |"
    assert str(found) == (out / "table.md").read_text().rstrip()


def test_a_candidates_own_options(trainings, tmp_path, capsys):
    """Another model for one; the others have the shared one."""
    own = Candidate("found", options={"model": "cnn3"})
    compare([Candidate("plain"), own], out=tmp_path, **ASKED)
    assert trainings.models == {"plain": "cifarresnet-8", "found": "cnn3"}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Run 1/6: plain, seed 0"
    assert lines[5] == "Run 6/6: found, seed 2, 0 s left"
    other = Candidate("found", options={"model": "mobilenet"})
    with pytest.raises(ValueError, match=r"options\.model: 'cnn3' then, 'mobilenet'"):
        compare([other], out=tmp_path, resume=True, **ASKED)
    with pytest.raises(ValueError, match="`seed` is a candidate's"):
        Candidate("found", options={"seed": 1})
    with pytest.raises(ValueError, match="nknown option"):
        compare([Candidate("x", options={"modle": "cnn3"})], out=tmp_path, **ASKED)


def test_the_test_errors_of_every_run_are_kept(trainings, tmp_path):
    compare(CANDIDATES, out=tmp_path, verbose=0, **ASKED)
    content = json.loads((tmp_path / "found" / "seed1" / "evaluation.json").read_text())
    tested = Evaluation.from_dict(content)
    np.testing.assert_array_equal(tested.confusion, [[78, 22], [0, 0]])
    assert tested.class_names == ("a", "b") and tested.top5_error is None
    assert read_comparison(tmp_path).errors("found") == pytest.approx(ERRORS["found"])


def test_a_comparison_goes_on_with_the_run_it_stopped_at(trainings, tmp_path):
    trainings.fails = ("found", 1)
    with pytest.raises(KeyboardInterrupt):
        compare(CANDIDATES, out=tmp_path, verbose=0, **ASKED)
    before = list(trainings.tested)
    trainings.fails = None
    with pytest.raises(FileExistsError, match="already holds a run"):
        compare(CANDIDATES, out=tmp_path, verbose=0, **ASKED)
    with pytest.raises(ValueError, match=r"training\.recipe: 'quick' then, 'cifar'"):
        changed = ASKED | {"recipe": "cifar"}
        compare(CANDIDATES, out=tmp_path, verbose=0, resume=True, **changed)
    other = [CANDIDATES[0], Candidate("found", "se", spent=10.0)]
    with pytest.raises(ValueError, match="attention: 'cbam' then, 'se' now"):
        compare(other, out=tmp_path, verbose=0, resume=True, **ASKED)
    found = compare(CANDIDATES, out=tmp_path, verbose=0, resume=True, **ASKED)
    assert before == [("plain", 0), ("plain", 1), ("plain", 2), ("found", 0)]
    assert trainings.tested == [*before, ("found", 1), ("found", 2)]
    assert found.errors("found") == pytest.approx(ERRORS["found"])


def test_equal_seconds(trainings, tmp_path):
    """25 s of 2 s each: 12 epochs, and 7 where 10 s went into the search."""
    asked = {"out": tmp_path, "verbose": 0, "seeds": [0], "seconds": 25, **ASKED}
    compare(CANDIDATES, **asked)
    speed = [run for run in trainings.asked if run[1] == "speed"]
    assert [(name, epochs) for name, _, _, epochs in speed] == [
        ("plain", 2),
        ("found", 2),
    ]
    runs = {
        name: epochs for name, what, _, epochs in trainings.asked if what == "seed0"
    }
    assert runs == {"plain": 12, "found": 7}
    # Once measured it stays, whatever the machine does later.
    trainings.asked.clear()
    compare(CANDIDATES, resume=True, **asked | {"seeds": [0, 1]})
    assert trainings.asked == [("plain", "seed1", 1, 12), ("found", "seed1", 1, 7)]


def test_too_few_seconds_are_refused(trainings, tmp_path):
    with pytest.raises(ValueError, match="'found' has 1.5 of 11.5 seconds left"):
        compare(CANDIDATES[1:], out=tmp_path, verbose=0, seconds=11.5, **ASKED)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"candidates": []}, "different names"),
        ({"candidates": [Candidate("a"), Candidate("a", "se")]}, "different names"),
        ({"seeds": [1, 1]}, "Different seeds"),
        ({"seeds": []}, "Different seeds"),
        ({"seconds": 5, "epochs": 1}, "two budgets"),
        ({"attention": "se"}, "`attention` is a candidate's"),
        ({"recipe": "quik"}, "'quick'"),
        ({"modell": "x"}, "'model'"),
        ({"data": None}, "`data` is needed"),
        ({"validation": 0}, "Without validation images"),
        ({"seconds": -5}, "`seconds` must be above 0"),
        ({"seconds": float("inf")}, "`seconds` must be above 0"),
    ],
)
def test_what_does_not_fit_is_refused(trainings, tmp_path, asked, message):
    with pytest.raises(ValueError, match=message):
        compare(**{"candidates": CANDIDATES, "out": tmp_path / "c", **ASKED, **asked})
    assert not (tmp_path / "c").exists() and not trainings.asked


@pytest.mark.parametrize("name", ["", "a/b", "..", "CA⊕SA", "a b"])
def test_names_of_candidates_are_folders(name):
    with pytest.raises(ValueError, match="name is letters"):
        Candidate(name)


# -- what is compared --------------------------------------------------------------


def searched(folder, operation, **asked):
    """A search's folder, of two epochs, as far as a comparison reads it."""
    folder.mkdir()
    search = {"model": "resnet18", "data": "digits", "space": "sscbam", "epochs": 2}
    search |= asked
    record = {"format": 1, "kind": "search", "search": search}
    (folder / "run.json").write_text(json.dumps(record))
    genotype = uniform_genotype(search_space("sscbam"), BLOCKS, operation)
    genotype.save(folder / "genotype.json")
    (folder / "history.csv").write_text("epoch,seconds\n0,3.5\n1,2\n")
    return folder


def test_contenders(tmp_path):
    folders = [
        searched(tmp_path / "whole", "CA", limit=64, seed=3),
        searched(
            tmp_path / "null",
            "SA",
            limit=64,
            seed=4,
            split_seed=3,
            control="penalty-only",
        ),
    ]
    candidates, shared = candidates_of(folders, random=2, uniform=["CA+SA"])
    named = {each.name: each for each in candidates}
    assert list(named) == [
        "plain", "uniform-CA-SA", "random0", "random1", "whole", "null"
    ]  # fmt: skip
    assert named["plain"].attention is None
    assert set(named["uniform-CA-SA"].attention.operations) == {"CA⊕SA"}
    space = search_space("sscbam")
    for seed in range(2):
        wanted = random_genotype(space, BLOCKS, seed)
        assert named[f"random{seed}"].attention == wanted
    assert named["whole"].attention == Genotype.load(folders[0] / "genotype.json")
    assert [each.spent for each in candidates] == [0, 0, 0, 0, 5.5, 5.5]
    assert shared == {
        "model": "resnet18",
        "data": "digits",
        "limit": 64,
        "validation": 0.1,
        "split_seed": 3,
        "dtype": "float32",
    }
    for name, asked in {"a": {"limit": 65, "seed": 3}, "b": {"limit": 64}}.items():
        other = searched(tmp_path / name, "CA", **asked)
        with pytest.raises(ValueError, match="one model and one data set"):
            candidates_of([folders[0], other])


def test_no_test_image_was_searched_with(tmp_path):
    """The digits have no test images of their own: the division decides."""
    folder = searched(tmp_path / "s", "CA", seed=3)
    seen = {image.tobytes() for image in pixels(read_search(folder).load_data().train)}
    _, shared = candidates_of([folder], random=0)
    for seed in (0, 1, 2, 3):
        tested = check_request(Request, shared | {"seed": seed}).load_data().test
        tested = [image.tobytes() for image in pixels(tested)]
        assert len(tested) > 300 and not seen.intersection(tested)


def pixels(split):
    return np.asarray(split.images)


def test_a_search_must_have_ended(tmp_path):
    folder = searched(tmp_path / "s", "CA", epochs=3)
    with pytest.raises(ValueError, match="ended 2 of its 3 epochs.*--resume --out"):
        candidates_of([folder])
    (folder / "history.csv").unlink()
    with pytest.raises(ValueError, match="ended 0 of its 3 epochs"):
        candidates_of([folder])


def test_random_structures_are_also_told_as_one():
    """Means 11 and 15 of two structures: 13 ± 12.7062 · √8 / √2."""
    errors = {"random0": (10, 12), "random1": (15, 15), "randomly": (90, 90)}
    rows = tuple(
        {"candidate": name, "seed": seed, "test_top1_error": error, "epochs": 1}
        | {"parameters": 1, "seconds": 1, "spent": 0}
        for name, pair in errors.items()
        for seed, error in enumerate(pair)
    )
    said = str(comparison.Comparison(rows)).splitlines()[-1]
    half = 12.7062 * 8**0.5 / 2**0.5
    assert said == (
        f"Random structures: 13.00 ± {half:.2f} over the means of 2 structures."
    )
    assert "Random" not in str(comparison.Comparison(rows[2:]))
