"""One dialect on a real socket, with the bundled models; and what transformers itself answers from the same files."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from numpy.typing import NDArray
from PIL import Image

import visioncli
from tests.models import oracle
from visioncli.io.fetch import FetchOptions
from visioncli.io.web import Resolver
from visioncli.models import Predictor, load_all
from visioncli.models.runtime import RuntimeRequest
from visioncli.provenance import Checkpoint
from visioncli.server import create_app
from visioncli.server.service import Service
from visioncli.server.settings import ROLES, ServeSettings
from visioncli.server.shelf import Load

ROOT = Path(visioncli.__file__).parents[1]
DEMO = Checkpoint("demo", ROOT / "visioncli/models/demo/siglip", "files:demo")
DEMO_LENGTH = 16  # tokens
KEY = "let-me-in"
LOOPBACK = FetchOptions(guard=True, retries=0, max_bytes=32 * 10**6, allow_hosts=("127.0.0.1",))


def settings_of(dialect: str, model: str = "demo", *, guarded: bool = False, **more: Any) -> ServeSettings:
    """The dialect's every role on one model. `guarded`: no address of this machine is fetched from."""
    models = {(dialect, role): model for role in ROLES[dialect]}
    fetch = replace(LOOPBACK, allow_hosts=()) if guarded else LOOPBACK
    return ServeSettings(models=models, dtype="float32", offline=True, fetch=fetch, grace_s=2.0, **more)


@functools.cache
def _loaded(checkpoint: Checkpoint) -> dict[str, Predictor[Any, Any]]:
    return load_all(checkpoint, RuntimeRequest(dtype="float32"))


def load_once(checkpoint: Checkpoint, request: RuntimeRequest) -> dict[str, Predictor[Any, Any]]:
    """Several servers of one test run share a model: what they differ in is not in it."""
    return _loaded(checkpoint)


@contextmanager
def serving(
    dialect: str,
    settings: ServeSettings | None = None,
    *,
    start: bool = True,
    resolver: Resolver | None = None,
    load: Load = load_once,
) -> Iterator[str]:
    """Yield the base URL. With `start` false the models are never loaded: a server that is not ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    settings = settings or settings_of(dialect)
    ended = threading.Event()
    begun: list[uvicorn.Server] = []

    async def run() -> None:
        service = Service(settings, load, resolver)
        if start:
            await service.start([dialect])
        server = uvicorn.Server(uvicorn.Config(create_app(dialect, service), log_level="warning", lifespan="off"))
        begun.append(server)
        try:
            await server.serve(sockets=[listener])
        finally:
            await service.close()

    def work() -> None:
        try:
            asyncio.run(run())
        finally:
            ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not (begun and begun[0].started):
        assert not ended.wait(0.01), "the server did not start"
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        begun[0].should_exit = True
        thread.join()
        listener.close()


@dataclass(frozen=True)
class Truth:
    images: NDArray[np.float64]  # (N, D) unit vectors
    texts: NDArray[np.float64]  # (L, D)
    scale: float
    bias: float

    @property
    def cosines(self) -> NDArray[np.float64]:
        return self.images @ self.texts.T

    @property
    def softmax(self) -> NDArray[np.float64]:
        return softmax(self.cosines * self.scale + self.bias)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def truth(checkpoint: Checkpoint, files: Sequence[bytes], texts: Sequence[str], length: int) -> Truth:
    """What transformers' own model answers, in float32."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(checkpoint.directory, local_files_only=True, dtype=torch.float32).eval()
    pictures = [Image.open(BytesIO(file)).convert("RGB") for file in files]
    pixels = oracle.processor(checkpoint)(pictures, return_tensors="pt")["pixel_values"]
    ids = torch.tensor(oracle.token_ids(checkpoint, tuple(texts), length))
    with torch.inference_mode():
        answer = model(input_ids=ids, pixel_values=pixels)
    bias = getattr(model, "logit_bias", None)
    return Truth(
        _unit(answer.image_embeds),
        _unit(answer.text_embeds),
        float(model.logit_scale.detach().exp()),
        0.0 if bias is None else float(bias.detach()),
    )


def _unit(vectors: torch.Tensor) -> NDArray[np.float64]:
    found = vectors.numpy().astype(np.float64)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def sample(number: int) -> bytes:
    """A picture of sample_data/images/animals: 101 is a cat, 102 a dog, 103 a bird (catalog.csv)."""
    return (ROOT / f"sample_data/images/animals/{number:05d}.jpg").read_bytes()
