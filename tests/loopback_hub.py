"""A hub on loopback: enough of the Hugging Face hub's HTTP for huggingface_hub to list and download a repository.

Follows what huggingface_hub 2.4 sends: GET /api/models/{id}[/revision/{rev}]?blobs=true, and HEAD and GET
/{id}/resolve/{rev}/{file}. Files of LARGE bytes and more are shown as LFS files. Counts every request.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import pytest

LARGE = 1000  # bytes
TOKEN = "hf_let_me_in"


@dataclass
class Repository:
    """What the hub holds under one id. `commits` maps a commit to its files; `refs` a branch or tag to a commit."""

    id: str
    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str]
    gated: str | bool = False
    licence: str | None = None
    sent_instead: dict[str, bytes] = field(default_factory=dict)  # a broken mirror: other bytes than it announces


@dataclass
class LoopbackHub:
    endpoint: str
    repositories: list[Repository] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)  # "GET /api/models/..."
    status: int | None = None  # answer everything with it

    def find(self, hub_id: str) -> Repository | None:
        return next((one for one in self.repositories if one.id.lower() == hub_id.lower()), None)


def git_blob(data: bytes) -> str:
    return hashlib.sha1(b"blob " + str(len(data)).encode() + b"\0" + data).hexdigest()


def sibling(name: str, data: bytes) -> dict[str, object]:
    shown: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git_blob(data)}
    if len(data) >= LARGE:
        shown["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return shown


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"  # one request a connection: a hub that is down has no open ones left
    hub: ClassVar[LoopbackHub]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.status:
            self._send(self.hub.status, b"")
        elif path.startswith("/api/models/"):
            self._describe(*path.removeprefix("/api/models/").partition("/revision/")[::2])
        elif "/resolve/" in path:
            hub_id, _, rest = path[1:].partition("/resolve/")
            self._resolve(hub_id, *rest.split("/", 1))
        else:
            self._send(404, b"")

    def _describe(self, hub_id: str, revision: str) -> None:
        repository = self.hub.find(hub_id)
        commit = repository.refs.get(revision or "main", revision) if repository else ""
        if not repository:
            self._refuse(401, "RepoNotFound")  # as the hub does for those who are not signed in
        elif commit not in repository.commits:
            self._refuse(404, "RevisionNotFound")
        else:
            self._send_description(repository, commit)

    def _send_description(self, repository: Repository, commit: str) -> None:
        files = repository.commits[commit]
        card = {"license": repository.licence} if repository.licence else {}
        described = {"id": repository.id, "sha": commit, "gated": repository.gated, "cardData": card}
        described["siblings"] = [sibling(name, data) for name, data in files.items()]
        self._send(200, json.dumps(described).encode(), {"Content-Type": "application/json"})

    def _resolve(self, hub_id: str, revision: str, name: str) -> None:
        repository = self.hub.find(hub_id)
        commit = repository.refs.get(revision, revision) if repository else ""
        if not repository or commit not in repository.commits:
            self._refuse(404, "RevisionNotFound" if repository else "RepoNotFound")
        elif repository.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(401, "GatedRepo")
        elif name not in repository.commits[commit]:
            self._refuse(404, "EntryNotFound")
        else:
            self._send_file(repository, commit, name)

    def _send_file(self, repository: Repository, commit: str, name: str) -> None:
        data = repository.commits[commit][name]
        digest = hashlib.sha256(data).hexdigest() if len(data) >= LARGE else git_blob(data)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{digest}"'}
        if len(data) >= LARGE:
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
        self._send(200, repository.sent_instead.get(name, data), headers)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ((headers or {}) | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def loopback_hub(*repositories: Repository) -> Iterator[LoopbackHub]:
    """Serve `repositories` on a free port of 127.0.0.1 until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {}))
    hub = LoopbackHub(f"http://127.0.0.1:{server.server_port}", list(repositories))
    server.RequestHandlerClass.hub = hub  # type: ignore[attr-defined]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def live_here(monkeypatch: pytest.MonkeyPatch, home: Path, endpoint: str = "http://127.0.0.1:9") -> None:
    """Give a test its own caches, no token, no proxy, and `endpoint` for a hub (port 9 refuses)."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "own"))
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # read at import, which was long ago
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "no token"))


WEIGHTS = bytes(range(256)) * 20
FILES = {
    "config.json": b'{"model_type": "siglip"}',
    "preprocessor_config.json": b"{}",
    "tokenizer.json": b'{"model": {}}' * 200,
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickle" * 500,
    "flax_model.msgpack": b"flax",
    "README.md": b"# a card",
    "onnx/model.onnx": b"onnx",
}
NEEDED = ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


def tiny(hub_id: str = "Toys/Tiny-SigLIP", **more: Any) -> Repository:
    """A repository of two commits: OLD, tagged v1, and NEW, which main names; they differ in the weights."""
    old = FILES | {"model.safetensors": WEIGHTS[::-1]}
    return Repository(hub_id, {OLD: old, NEW: dict(FILES)}, {"main": NEW, "v1": OLD}, **more)
