"""Nothing in the package runs what a file holds: its source is looked through."""

import ast
from pathlib import Path

import pytest

import keras_attention

ROOT = Path(keras_attention.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
# They run code, or unpack to wherever a file says.
FORBIDDEN_CALLS = {
    *("eval", "exec", "__import__", "literal_eval", "system", "popen"),
    *("extract", "extractall", "unpack_archive", "read_pickle", "unsafe_load"),
    *("enable_unsafe_deserialization", "model_from_json", "model_from_config"),
}
FORBIDDEN_MODULES = {
    *("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle"),
    *("joblib", "yaml", "tarfile"),
}
# Its `UnpicklingError` is what `torch.load(weights_only=True)` raises.
ALLOWED_IMPORTS = {("weights/pytorch_files.py", "pickle")}
LOADERS = {
    ("weights/pytorch_files.py", "torch.load"): ("weights_only", True),
    ("weights/whole_networks.py", "keras.saving.load_model"): ("safe_mode", True),
    ("weights/keras_files.py", "keras.saving.deserialize_keras_object"): (
        *("safe_mode", True),
    ),
    ("tuning/search_checkpoint.py", "np.load"): ("allow_pickle", False),
    ("saved_models/worker.py", "np.load"): ("allow_pickle", False),
}
LOADING = {"torch.load", "np.load", "numpy.load", "keras.models.load_model"}
LOADING |= {"keras.saving.load_model", "load_model"}
# Of a config that Keras itself reads, within its own safe mode.
PARTS = {"training/schedules.py", "detection/faster_rcnn.py", "detection/ssd.py"}
# Their own size limit stands before the call, or the text is another process' of ours.
LIMITED = {
    *("files.py", "weights/hub.py", "weights/safetensors_files.py"),
    *("weights/keras_files.py", "weights/sources.py", "tuning/genotype.py"),
    *("training/checkpoint.py", "tuning/search_checkpoint.py"),
    *("training/run_folder.py", "saved_models/worker.py"),
    "saved_models/description.py",
}


NODES = [
    (path.relative_to(ROOT).as_posix(), node)
    for path in FILES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
]
# (path, dotted name, call)
CALLS = [
    (path, ast.unparse(node.func), node)
    for path, node in NODES
    if isinstance(node, ast.Call)
]


def nodes(kind):
    """(path in the package, node) of every such node of the source."""
    return [(path, node) for path, node in NODES if isinstance(node, kind)]


def test_the_source_is_found():
    assert len(FILES) > 100


def test_no_module_that_runs_what_it_reads():
    found = set()
    for path, node in nodes(ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names]
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
        found |= {(path, name.partition(".")[0]) for name in modules}
    assert {pair for pair in found if pair[1] in FORBIDDEN_MODULES} == ALLOWED_IMPORTS
    used = [
        ast.unparse(node)
        for path, node in nodes(ast.Attribute)
        if ast.unparse(node.value) == "pickle"
    ]
    assert set(used) == {"pickle.UnpicklingError"}


def test_no_call_that_runs_what_it_reads():
    found = [
        (path, name)
        for path, name, _ in CALLS
        if name.rpartition(".")[2] in FORBIDDEN_CALLS
    ]
    assert found == []


@pytest.mark.parametrize("place", LOADERS, ids=lambda place: place[0])
def test_loaders_are_safe(place):
    keyword, value = LOADERS[place]
    given = [
        {each.arg: each.value for each in call.keywords}
        for path, name, call in CALLS
        if (path, name) == place
    ]
    assert given
    for keywords in given:
        assert ast.literal_eval(keywords[keyword]) is value


def test_there_are_no_other_loaders():
    found = {(path, name) for path, name, _ in CALLS if name in LOADING}
    assert found <= set(LOADERS)
    parts = {
        path
        for path, name, _ in CALLS
        if name.endswith("deserialize_keras_object") and (path, name) not in LOADERS
    }
    assert parts == PARTS


def test_json_is_read_where_its_size_is_limited():
    found = {path for path, name, _ in CALLS if name in ("json.load", "json.loads")}
    assert found == LIMITED
