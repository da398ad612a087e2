"""Fetch weight files from the Hugging Face hub, once: after that they are in its cache.

Where the cache is, and whether the network is used (`HF_HUB_OFFLINE=1`), is
huggingface_hub's to say.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_attention import extras

DEFAULT_FILES = ("model.safetensors", "pytorch_model.bin")
CONFIG = "config.json"
MAX_CONFIG = 1 << 20
ADDRESS = "hf://owner/name[@revision][/file]"
_ADDRESS = re.compile(
    r"hf://(?P<repository>[\w.-]+/[\w.-]+)"
    r"(@(?P<revision>refs/pr/\d+|[^/@\s]+))?"
    r"(/(?P<file>[^\\\s]+))?",
    re.ASCII,
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """A file of the hub.

    Args:
        path: where it lies.
        config: the `config.json` beside it; empty where there is none, or where it is
            not in the cache and the network is not there.
        repository: "owner/name".
        revision: the commit that the file is of, whatever was asked for.
        sha256: of the file.
    """

    path: Path
    config: dict
    repository: str
    revision: str
    sha256: str


def fetch(address: str) -> Fetched:
    """Fetch a file from the hub, or from the cache where it has been fetched before.

    Without a network, what is in the cache is found, after some tries that
    `HF_HUB_OFFLINE=1` saves. A file that is stored as a large one, as weights are, is
    held against the SHA-256 that the hub gave for it; others have none.

    Args:
        address: `hf://owner/name[@revision][/file]`. The file is by default
            `model.safetensors`, or `pytorch_model.bin` where there is none.

    Raises:
        ValueError: no such address can be, the file in the cache is not what was
            fetched, or its `config.json` is wrong.
        FileNotFoundError: the hub has no such repository, revision or file.
        PermissionError: the repository is there for some users only.
        ConnectionError: it is not in the cache and the hub cannot be reached.
        ImportError: huggingface_hub is not installed.
    """
    repository, revision, file = parse_address(address)
    hub = _library(f"The address {address}")
    files = (file,) if file else DEFAULT_FILES
    path, file = _download(hub, address, repository, revision, files)
    commit = path.parents[file.count("/")].name
    _fetch_config(hub, address, repository, commit, file)
    return Fetched(
        path=path,
        config=read_config(path),
        repository=repository,
        revision=commit,
        sha256=_checked_sha256(path),
    )


def parse_address(address: str) -> tuple[str, str, str | None]:
    """Repository, revision ("main" by default) and file, or None, of an address.

    Raises:
        ValueError: it is none.
    """
    match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    file = match["file"] if match else None
    if match is None or (file and {"", ".", ".."} & set(file.split("/"))):
        raise ValueError(f"An address of the hub is {ADDRESS}. Received: {address!r}")
    return match["repository"], match["revision"] or "main", file


def read_config(path: str | Path) -> dict:
    """The `config.json` beside a weight file; empty where there is none.

    Raises:
        ValueError: it is too large, or no JSON object.
    """
    config = Path(path).parent / CONFIG
    if not config.is_file():
        return {}
    size = config.stat().st_size
    if size > MAX_CONFIG:
        raise ValueError(
            f"{config} is {size:,} bytes large. A description of a network has up to "
            f"{MAX_CONFIG:,}"
        )
    try:
        content = json.loads(config.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{config} is no JSON file: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{config} must be a JSON object. Received: {type(content).__name__}"
        )
    return content


def _library(purpose: str):
    # The package imports its modules when they are first used by name, but not these.
    for module in ("huggingface_hub.errors", "huggingface_hub.constants"):
        extras.require(module, extra="hub", purpose=purpose)
    return extras.require("huggingface_hub", extra="hub", purpose=purpose)


def _download(hub, address, repository, revision, files) -> tuple[Path, str]:
    """Path and name of the first of some files that there is."""
    unreachable = None
    for file in files:
        try:
            with _told(hub, address):
                path = hub.hf_hub_download(
                    repository,
                    file,
                    revision=revision,
                    # After one failure, only the cache is asked: a second would
                    # take as long.
                    local_files_only=unreachable is not None,
                )
            return Path(path), file
        except hub.errors.LocalEntryNotFoundError as error:
            unreachable = unreachable or error
        except hub.errors.EntryNotFoundError:
            continue
    names = " nor ".join(map(repr, files))
    if unreachable is None:
        raise FileNotFoundError(
            f"The hub's {repository!r} has no {names} at the revision {revision!r}. "
            f"Name a file: {ADDRESS}"
        )
    raise ConnectionError(
        f"{address} is not in the cache, {hub.constants.HF_HUB_CACHE} (no {names}), "
        "and the hub cannot be reached. Load it once with a network and without "
        "HF_HUB_OFFLINE, or give the path of a file that you have"
    ) from unreachable


@contextlib.contextmanager
def _told(hub, address: str) -> Iterator[None]:
    """Say what to do about the hub's errors, but for a file that is not there."""
    errors = hub.errors
    try:
        yield
    except errors.EntryNotFoundError:
        raise
    except errors.GatedRepoError as error:
        raise PermissionError(
            f"{address} is for users who were let in. Ask for that on the page of the "
            "repository, then log in: hf auth login"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise FileNotFoundError(
            f"The hub has no such repository or revision as {address}, or a private "
            "one; for one of your own, log in: hf auth login"
        ) from error
    except errors.HFValidationError as error:
        raise ValueError(f"{address} is no address of the hub: {error}") from error
    except errors.HfHubHTTPError as error:
        raise ConnectionError(f"The hub does not give {address}: {error}") from error
    except OSError:
        raise
    except Exception as error:
        # Of a connection that breaks off: its errors are of the library's client,
        # which is not the same one in all versions.
        raise ConnectionError(f"{address} could not be fetched: {error}") from error


def _fetch_config(hub, address, repository, commit, file) -> None:
    """Bring the `config.json` beside a file into the cache, if there is one."""
    config = f"{file.rpartition('/')[0]}/{CONFIG}".lstrip("/")
    if hub.try_to_load_from_cache(repository, config, revision=commit) is not None:
        return
    with contextlib.suppress(hub.errors.EntryNotFoundError), _told(hub, address):
        hub.hf_hub_download(repository, config, revision=commit)


def _checked_sha256(path: Path) -> str:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    # In the cache, a file is a link to one that is called what the hub said its sum
    # is: SHA-256 for large files, another for small ones. Where a system has no links,
    # the name is not kept.
    wanted = Path(os.readlink(path)).name if path.is_symlink() else ""
    if _SHA256.fullmatch(wanted) and found != wanted:
        raise ValueError(
            f"The weight file {path} has the SHA-256 {found}, and {wanted} on the "
            f"hub. Delete {path.resolve()} to fetch it again"
        )
    return found
