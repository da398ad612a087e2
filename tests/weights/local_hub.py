"""A hub on this machine: as much of the real one's protocol as a download needs."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LocalHub:
    """Serves files at one commit, large ones as LFS does, with their SHA-256.

    Args:
        files: {"owner/name/file": bytes}.
    """

    COMMIT = "c0ffee" + "0" * 34

    def __init__(self, files):
        self.files = files
        self.asked = []
        # {start of a path: (status, code of the error)}.
        self.errors = {}
        # Of the files sent, in place of all.
        self.sent_bytes = None
        self.large = (".safetensors", ".bin", ".keras", ".h5")
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                hub.answer(self, with_body=False)

            def do_GET(self):
                hub.answer(self, with_body=True)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request, with_body):
        name, _, rest = request.path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        self.asked.append((request.command, name, revision, file))
        status, code = self._status(name, revision, file)
        content = self.files.get(f"{name}/{file}", b"") if status == 200 else b""
        request.send_response(status)
        request.send_header("X-Repo-Commit", self.COMMIT)
        if code:
            request.send_header("X-Error-Code", code)
        request.send_header("ETag", f'"{etag(content, file.endswith(self.large))}"')
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if with_body:
            request.wfile.write(content[: self.sent_bytes])

    def _status(self, name, revision, file):
        for start, error in self.errors.items():
            if name.startswith(start):
                return error
        if not any(known.startswith(f"{name}/") for known in self.files):
            return 404, "RepoNotFound"
        if revision not in ("main", "v1", self.COMMIT):
            return 404, "RevisionNotFound"
        if f"{name}/{file}" not in self.files:
            return 404, "EntryNotFound"
        return 200, None


def etag(content, large):
    """SHA-256 of large files, Git's SHA-1 of small ones."""
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def cache_by_hand(cache, repository, commit, files, ref="main"):
    """A cache as the hub's library leaves it: a link in a snapshot, to a blob.

    Args:
        cache: the folder of all repositories.
        files: {name: (bytes, name of the blob)}.
    """
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / ref).write_text(commit)
    (folder / "blobs").mkdir(exist_ok=True)
    for name, (content, blob) in files.items():
        (folder / "blobs" / blob).write_bytes(content)
        link = folder / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (2 + name.count("/"))
        link.symlink_to(f"{up}blobs/{blob}")
    return folder
