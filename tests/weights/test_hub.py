"""The hub: from a cache made by hand, and from a server on this machine."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from local_hub import LocalHub, cache_by_hand, etag
from references.weight_files import entry, safetensors_bytes

from keras_attention.weights import hub
from keras_attention.weights.reading import read_tensors

COMMIT = "0123456789" * 4
WEIGHTS = safetensors_bytes({"a": entry()}, np.float32([1, 2]).tobytes())
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()
CONFIG = {"architecture": "resnet18", "num_classes": 3}
CONFIG_BYTES = json.dumps(CONFIG).encode()


@pytest.fixture
def library():
    pytest.importorskip(
        "huggingface_hub.constants", reason="huggingface_hub is not installed"
    )
    return sys.modules["huggingface_hub"]


def point_to(library, monkeypatch, address):
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(library.constants, "ENDPOINT", address)
    monkeypatch.setattr(library.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def cache(library, tmp_path, monkeypatch):
    """An empty cache, with no network behind it but what a test makes."""
    monkeypatch.setattr(library.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", False)
    # Nothing listens there, and nobody waits between tries.
    point_to(library, monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    return tmp_path / "cache"


@pytest.fixture(params=[True, False], ids=["offline", "no network"])
def offline(request, cache, library, monkeypatch):
    """`HF_HUB_OFFLINE=1`, or a network that does not answer."""
    monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", request.param)


@pytest.fixture
def server(cache, library, monkeypatch):
    """A hub with three repositories."""
    server = LocalHub(
        {
            "me/net/model.safetensors": WEIGHTS,
            "me/net/config.json": CONFIG_BYTES,
            "me/net/sub/other.safetensors": WEIGHTS,
            "me/old/pytorch_model.bin": b"a pickle",
            "me/none/README.md": b"nothing",
        }
    )
    point_to(library, monkeypatch, server.address)
    yield server
    server.stop()


class TestAddress:
    @pytest.mark.parametrize(
        ("address", "wanted"),
        [
            ("hf://me/net", ("me/net", "main", None)),
            ("hf://me/net@v1.0", ("me/net", "v1.0", None)),
            ("hf://me/net@refs/pr/3", ("me/net", "refs/pr/3", None)),
            ("hf://me/net@refs/pr/3/a.bin", ("me/net", "refs/pr/3", "a.bin")),
            ("hf://me/net/a/b.bin", ("me/net", "main", "a/b.bin")),
            (f"hf://me-2/n_e.t@{COMMIT}/x", ("me-2/n_e.t", COMMIT, "x")),
        ],
    )
    def test_parts(self, address, wanted):
        assert hub.parse_address(address) == wanted

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "hf://",
            "hf://me",
            "hf://me/",
            "hf:/me/net",
            "https://huggingface.co/me/net",
            "hf://me/net/",
            "hf://me/net@",
            "hf://me/net@/a",
            "hf://me/net@v1@v2",
            "hf://me/net/../../secret",
            "hf://me/net/a/./b",
            "hf://me/net//a",
            "hf://me/net/a\\b",
            "hf://me/net/a b",
            "hf://mé/net",
            "hf://me/net\n",
            Path("hf://me/net"),
            None,
        ],
    )
    def test_none(self, address):
        with pytest.raises(ValueError, match=r"hf://owner/name\[@revision\]\[/file\]"):
            hub.fetch(address)

    def test_none_to_the_hub(self, cache):
        """Names that only the hub's own rules refuse."""
        with pytest.raises(ValueError, match="hf://a--b/net is no address.*'a--b/net'"):
            hub.fetch("hf://a--b/net")

    def test_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "huggingface_hub", None)
        with pytest.raises(ImportError, match=r"keras_attention\[hub\]"):
            hub.fetch("hf://me/net")


@pytest.mark.usefixtures("offline")
class TestCache:
    def test_weights_and_config(self, cache):
        folder = cache_by_hand(
            cache,
            "me/net",
            COMMIT,
            {
                "model.safetensors": (WEIGHTS, SHA256),
                "config.json": (CONFIG_BYTES, etag(CONFIG_BYTES, large=False)),
            },
        )
        found = hub.fetch("hf://me/net")
        assert found == hub.Fetched(
            path=folder / "snapshots" / COMMIT / "model.safetensors",
            config=CONFIG,
            repository="me/net",
            revision=COMMIT,
            sha256=SHA256,
        )
        assert read_tensors(found.path)["a"].tolist() == [1, 2]
        assert hub.fetch(f"hf://me/net@{COMMIT}/model.safetensors") == found
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.revision = "main"

    def test_another_revision(self, cache):
        files = {"model.safetensors": (WEIGHTS, SHA256)}
        cache_by_hand(cache, "me/net", COMMIT, files, ref="v1")
        assert hub.fetch("hf://me/net@v1").revision == COMMIT
        with pytest.raises(ConnectionError, match="not in the cache"):
            hub.fetch("hf://me/net")

    def test_the_second_default(self, cache):
        sha256 = hashlib.sha256(b"a pickle").hexdigest()
        files = {"pytorch_model.bin": (b"a pickle", sha256)}
        cache_by_hand(cache, "me/net", COMMIT, files)
        found = hub.fetch("hf://me/net")
        assert found.path.name == "pytorch_model.bin"
        assert found.config == {}
        assert found.sha256 == sha256

    def test_a_file_in_a_folder(self, cache):
        files = {
            "config.json": (b'{"not": "this"}', "a" * 40),
            "deep/er/x.safetensors": (WEIGHTS, SHA256),
            "deep/er/config.json": (CONFIG_BYTES, "b" * 40),
        }
        cache_by_hand(cache, "me/net", COMMIT, files)
        found = hub.fetch("hf://me/net/deep/er/x.safetensors")
        assert found.revision == COMMIT
        assert found.config == CONFIG

    def test_not_there(self, cache):
        with pytest.raises(ConnectionError) as caught:
            hub.fetch("hf://me/net")
        message = str(caught.value)
        assert "hf://me/net is not in the cache" in message
        assert str(cache) in message
        assert "no 'model.safetensors' nor 'pytorch_model.bin'" in message
        assert "Load it once with a network and without HF_HUB_OFFLINE" in message

    def test_a_changed_file(self, cache):
        """One bit, in a number."""
        changed = WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 0x80])
        folder = cache_by_hand(
            cache, "me/net", COMMIT, {"model.safetensors": (changed, SHA256)}
        )
        with pytest.raises(ValueError, match=f"{SHA256} on the hub. Delete") as caught:
            hub.fetch("hf://me/net")
        assert f"Delete {folder / 'blobs' / SHA256} to" in str(caught.value)

    def test_a_small_file_has_no_sum(self, cache):
        """The hub gives SHA-256 of large files only."""
        files = {"model.safetensors": (WEIGHTS, etag(WEIGHTS, large=False))}
        cache_by_hand(cache, "me/net", COMMIT, files)
        assert hub.fetch("hf://me/net").sha256 == SHA256

    def test_a_blob_that_is_a_link(self, cache):
        """To a store that several repositories share, under another sum of its own."""
        folder = cache_by_hand(
            cache, "me/net", COMMIT, {"model.safetensors": (WEIGHTS, SHA256)}
        )
        blob = folder / "blobs" / SHA256
        blob.rename(cache / ("f" * 64))
        blob.symlink_to(cache / ("f" * 64))
        assert hub.fetch("hf://me/net").sha256 == SHA256
        (cache / ("f" * 64)).write_bytes(b"changed")
        with pytest.raises(ValueError, match=f"Delete .*{'f' * 64} to fetch it again"):
            hub.fetch("hf://me/net")

    def test_a_system_without_links(self, cache):
        """The file itself lies in the snapshot."""
        folder = cache_by_hand(
            cache, "me/net", COMMIT, {"model.safetensors": (WEIGHTS, SHA256)}
        )
        link = folder / "snapshots" / COMMIT / "model.safetensors"
        (folder / "blobs" / SHA256).replace(link)
        assert hub.fetch("hf://me/net").sha256 == SHA256

    def test_a_wrong_config(self, cache):
        files = {
            "model.safetensors": (WEIGHTS, SHA256),
            "config.json": (b"[]", "a" * 40),
        }
        cache_by_hand(cache, "me/net", COMMIT, files)
        with pytest.raises(ValueError, match="config.json must be a JSON object"):
            hub.fetch("hf://me/net")


class TestServer:
    def test_fetched_once(self, server, cache, library, monkeypatch):
        found = hub.fetch("hf://me/net")
        assert found.path.read_bytes() == WEIGHTS
        assert found.config == CONFIG
        assert found.revision == LocalHub.COMMIT
        assert found.sha256 == SHA256
        assert found.path.resolve().name == SHA256
        server.asked.clear()
        assert hub.fetch("hf://me/net") == found
        assert all(method == "HEAD" for method, *_ in server.asked)
        monkeypatch.setattr(library.constants, "HF_HUB_OFFLINE", True)
        server.asked.clear()
        assert hub.fetch("hf://me/net") == found
        assert server.asked == []

    def test_a_commit_needs_no_network(self, server):
        address = f"hf://me/net@{LocalHub.COMMIT}"
        found = hub.fetch(address)
        server.asked.clear()
        assert hub.fetch(address) == found
        assert server.asked == []

    def test_the_second_default(self, server):
        found = hub.fetch("hf://me/old")
        assert found.path.name == "pytorch_model.bin"
        assert found.path.read_bytes() == b"a pickle"

    def test_no_config(self, server):
        """That there is none is remembered."""
        assert hub.fetch("hf://me/old").config == {}
        server.asked.clear()
        assert hub.fetch("hf://me/old").config == {}
        assert "config.json" not in [file for *_, file in server.asked]

    def test_a_file_in_a_folder(self, server):
        found = hub.fetch("hf://me/net@v1/sub/other.safetensors")
        assert found.path.read_bytes() == WEIGHTS
        assert found.revision == LocalHub.COMMIT
        assert found.config == {}

    def test_a_changed_file_is_fetched_again(self, server):
        found = hub.fetch("hf://me/net")
        blob = found.path.resolve()
        blob.write_bytes(b"changed")
        with pytest.raises(ValueError, match=f"Delete {blob} to fetch it again"):
            hub.fetch("hf://me/net")
        blob.unlink()
        assert hub.fetch("hf://me/net").path.read_bytes() == WEIGHTS

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("hf://me/no", "no such repository or revision as hf://me/no,.*hf auth"),
            ("hf://me/net@v2", "no such repository or revision as hf://me/net@v2"),
            ("hf://me/net/x.bin", "'me/net' has no 'x.bin' at the revision 'main'"),
            (
                "hf://me/none",
                "no 'model.safetensors' nor 'pytorch_model.bin' .*Name a file",
            ),
        ],
    )
    def test_not_there(self, server, address, message):
        with pytest.raises(FileNotFoundError, match=message):
            hub.fetch(address)

    @pytest.mark.parametrize(
        ("status", "code", "kind", "message"),
        [
            (401, "RepoNotFound", FileNotFoundError, "log in: hf auth login"),
            (403, "GatedRepo", PermissionError, "Ask for that.*hf auth login"),
            (403, None, OSError, "hf://me/net"),
            (500, None, ConnectionError, "cannot be reached"),
            (418, None, OSError, "hf://me/net"),
        ],
    )
    def test_refusals(self, server, status, code, kind, message):
        server.errors["me/net"] = (status, code)
        with pytest.raises(kind, match=message):
            hub.fetch("hf://me/net")

    def test_a_download_that_breaks_off(self, server, cache):
        server.sent_bytes = 10
        with pytest.raises(OSError, match="hf://me/net"):
            hub.fetch("hf://me/net")
        server.sent_bytes = None
        assert hub.fetch("hf://me/net").path.read_bytes() == WEIGHTS


class TestConfig:
    def write(self, folder, content):
        (folder / "config.json").write_bytes(content)
        return hub.read_config(folder / "model.safetensors")

    def test_beside_a_file(self, tmp_path):
        assert hub.read_config(tmp_path / "model.safetensors") == {}
        assert self.write(tmp_path, CONFIG_BYTES) == CONFIG

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "config.json is no JSON file"),
            (b"{", "is no JSON file"),
            (b'{"a": "\xff"}', "is no JSON file"),
            (b"[" * 100_000, "is no JSON file"),
            (b'["a"]', "must be a JSON object. Received: list"),
            (b'"' + b"a" * hub.MAX_CONFIG + b'"', "is 1,048,578 bytes large"),
        ],
    )
    def test_damage(self, tmp_path, content, message):
        with pytest.raises(ValueError, match=message) as caught:
            self.write(tmp_path, content)
        assert str(tmp_path / "config.json") in str(caught.value)
