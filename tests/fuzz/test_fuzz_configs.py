"""A run's files from strangers: records, reports, histories, recipes, COCO's JSON."""

import json

import numpy as np
import pytest
from fuzzing import fuzzed
from hypothesis import strategies as st
from mangling import damaged_bytes, damaged_json, values
from references.image_bytes import blocks, png

from keras_attention.data import load
from keras_attention.data.preprocessing import Preprocessing
from keras_attention.detection.data.coco_folder import read_coco
from keras_attention.detection.recipes import detection_recipe
from keras_attention.reports import writing
from keras_attention.training import bad_images, history, run_folder, runs
from keras_attention.training.finetune_recipes import finetune_recipe
from keras_attention.training.recipes import recipe

REQUEST = runs.Request("cifarresnet-8", "digits", attention="aw_se", limit=40)
DATA = load("digits", limit=40)
RECORD = {
    "format": run_folder.FORMAT,
    "kind": run_folder.TRAINING,
    "model": runs.to_record(REQUEST),
    "data": DATA.to_dict(),
    "preprocessing": DATA.preprocessing.to_dict(),
    "recipe": recipe("quick").to_dict(),
    "seed": 0,
    "dtype": "float32",
    "sessions": [{"command": None, "distribute": None, "batch_norm": "synchronized"}],
}
FOLDER_RECORD = {
    **RECORD,
    "model": {**runs.to_record(REQUEST), "data": "folder", "data_dir": "../images"},
    "data": {"source": {"name": "folder", "data_dir": "images"}, "fingerprint": "x"},
}


@pytest.fixture
def no_training(monkeypatch):
    """A run ends where its network would be built and trained."""

    def fit(model, data, recipe, *, out, description, **options):
        run_folder.open_run(out, {"model": description}, command=None, resume=True)
        return [{"epoch": 0.0}]

    monkeypatch.setattr(runs, "fit", fit)
    monkeypatch.setattr(runs.Request, "build", lambda self, data: None)


@fuzzed(900, content=damaged_json([RECORD, FOLDER_RECORD]), way=st.integers(0, 3))
def test_run_records(inputs, no_training, content, way):
    """Data, preprocessing or a resumed run, as the record has it; or which is wrong."""
    if inputs.is_over():
        return
    folder = inputs.inside / "run"
    folder.mkdir(exist_ok=True)
    (folder / run_folder.RECORD).write_bytes(content)
    if way == 0:
        found = inputs.outcome(
            lambda: run_folder.read_preprocessing(folder), named=[folder]
        )
        if found is not None:
            assert Preprocessing.from_dict(found.to_dict()) == found
    elif way == 1:
        # Where the data is not there, its own place is named.
        found = inputs.outcome(
            lambda: runs.load_run_data(folder), named=[folder, "There is no folder"]
        )
        if found is not None:
            assert found.fingerprint == DATA.fingerprint
    elif way == 2:
        inputs.outcome(lambda: runs.train(out=folder, resume=True, verbose=0))
    else:
        inputs.outcome(lambda: writing.write_report(folder, verbose=0), named=[folder])


@fuzzed(
    500,
    content=damaged_json(
        [
            {"images": 3, "bad_images": [{"file": "a/b.png", "reason": "empty"}]},
            {"images": 0, "bad_images": []},
        ]
    ),
)
def test_bad_image_reports(inputs, content):
    """Paths in the data's folder and nowhere else."""
    if inputs.is_over():
        return
    path = inputs.inside / bad_images.REPORT
    path.write_bytes(content)
    root = inputs.inside / "data"
    found = inputs.outcome(
        lambda: bad_images.read_report(inputs.inside, root), named=[path]
    )
    for each in found or ():
        assert each.startswith(f"{root}/") and "/../" not in f"{each}/"


HISTORY = b"epoch,loss,top1_error\n0,1.5,50\n1,NA,25\n2,1e-3,12.5\n"


@fuzzed(400, content=damaged_bytes([HISTORY, HISTORY[:20], b"\xef\xbb\xbf" + HISTORY]))
def test_histories(inputs, content):
    """Rows of numbers."""
    if inputs.is_over():
        return
    path = inputs.inside / history.FILE
    path.write_bytes(content)
    rows = inputs.outcome(lambda: history.read(path), named=[path])
    for row in rows or ():
        assert all(isinstance(value, float) for value in row.values())
    if inputs.outcome(lambda: history.forget_after(path, 2) or True, named=[path]):
        left = history.read(path)
        assert all(row["epoch"] < 2 for row in left)


COCO = {
    "images": [
        {"id": 1, "file_name": "a.png", "height": 48, "width": 40},
        {"id": 5, "file_name": "b/c.png", "height": 48, "width": 40},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 20]},
        {
            "id": 2,
            "image_id": 5,
            "category_id": 1,
            "bbox": [0.5, 0, 3.25, 48],
            "area": 100.5,
            "iscrowd": 1,
        },
    ],
}


@pytest.mark.filterwarnings("ignore:.*without width or height:UserWarning")
@fuzzed(1300, content=damaged_json([COCO]))
def test_coco_files(inputs, content):
    """Images in their folder, boxes of finite corners, labels of the categories."""
    if inputs.is_over():
        return
    images = inputs.inside / "images"
    (images / "b").mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b/c.png"):
        (images / name).write_bytes(png(blocks()))
    path = inputs.inside / "instances.json"
    path.write_bytes(content)
    found = inputs.outcome(lambda: read_coco(path, images), named=[path, images])
    for image in found.images if found else ():
        assert image.path.resolve().is_relative_to(images.resolve())
        assert image.height > 0 and image.width > 0
        boxes = np.asarray(image.boxes).reshape(-1, 4)
        assert np.isfinite(boxes).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert all(1 <= label <= len(found.class_names) for label in image.labels)
        assert np.isfinite(np.asarray(image.areas, float)).all()


RECIPES = (
    (recipe, ("cifar", "quick", "imagenet", "nothing", None)),
    (finetune_recipe, ("finetune", "probe", "no\0thing", 3)),
    (detection_recipe, ("coco", "ssd", "quick", "")),
)


@st.composite
def recipes(draw):
    """A maker of recipes, a name, and changes of their fields."""
    make, known = draw(st.sampled_from(RECIPES))
    fields = make(known[0]).to_dict()
    keys = st.sampled_from([*sorted(set(fields) - {"name"}), "no_such_field"])
    changes = draw(st.dictionaries(keys, st.one_of(values, st.integers(1, 9))))
    return make, draw(st.sampled_from(known)), changes


@fuzzed(400, asked=recipes())
def test_recipes(inputs, asked):
    """A recipe whose own conditions hold, with what was asked for."""
    if inputs.is_over():
        return
    make, name, changes = asked
    found = inputs.outcome(lambda: make(name, **changes))
    if found is not None:
        assert all(found.wanted().values())
        assert json.loads(json.dumps(found.to_dict())) is not None
