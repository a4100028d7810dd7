"""What a server was told, as one frozen value; and what each dialect does where nothing was said.

Knows nothing of flags, files or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from visioncli.errors import UsageError
from visioncli.io.decode import DecodeOptions
from visioncli.io.fetch import FetchOptions
from visioncli.models.runtime import HailoRequest, is_hailo, refuse_half_a_hailo

ROLES: dict[str, dict[str, str]] = {  # dialect -> role -> task
    "runpod": {"classify": "classify", "embed": "embed"},
    "hf-endpoint": {"classify": "classify", "embed": "embed"},
    "vision-models": {"segment": "segment", "detect": "detect", "depth": "depth", "features": "embed"},
    "hailo-clip": {"classify": "classify", "embed": "embed"},
    "sagemaker-clip": {"classify": "classify"},
}
HAILO_MODEL = "clip-resnet-50x4"  # hailo-clip.md's name for what is timm/resnet50x4_clip.openai on the hub
DEFAULT_MODELS: dict[str, dict[str, str]] = {  # as the documents name them
    "runpod": dict.fromkeys(ROLES["runpod"], "google/siglip-base-patch16-224"),
    "hf-endpoint": dict.fromkeys(ROLES["hf-endpoint"], "google/siglip2-base-patch16-512"),
    "vision-models": {
        "segment": "facebook/sam3",
        "detect": "IDEA-Research/grounding-dino-base",
        "depth": "depth-anything/DA3-BASE",
        "features": "facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
    },
    "hailo-clip": dict.fromkeys(ROLES["hailo-clip"], HAILO_MODEL),
    "sagemaker-clip": {"classify": "openai/clip-vit-base-patch32"},
}
QUEUES = {"hailo-clip": 10}  # "Max queue size: 10 concurrent requests", hailo-clip.md
QUEUE = 256  # requests at once, where the document says nothing
LAZY = frozenset({"vision-models"})  # "By default, models are auto-loaded on first inference request", vision-models.md
BODY_BYTES = {
    "runpod": 20 * 10**6,  # of /runsync; /run has 10 MB (docs.runpod.io)
    "sagemaker-clip": 6 * 2**20,  # SageMaker's hosting contract
}
BODY = 64 * 2**20  # bytes, where the document says nothing: a few large pictures in base64
FETCH_S = {"runpod": 30.0}  # the worker's own
FETCH = 10.0  # seconds, as in the original handlers
FETCHES = FetchOptions(guard=True, retries=0, max_bytes=32 * 10**6)  # nobody waits for a second try
PIXELS = DecodeOptions(upright=False, alpha="drop", exact=True)  # the originals' plain convert("RGB")
_KEY = re.compile(r"[!-~]([ -~]*[!-~])?")


ON_HAILO = frozenset({"classify", "embed"})  # tasks


def refuse_other_tasks(device: str, dialects: Iterable[str]) -> None:
    """Raise UsageError where an API asks a Hailo accelerator for what no HEF answers."""
    for dialect in dialects:
        others = sorted(set(ROLES[dialect].values()) - ON_HAILO)
        if is_hailo(device) and others:
            raise UsageError(f"--device hailo can classify and embed; {dialect} needs {', '.join(others)} as well")


@dataclass(frozen=True, slots=True)
class HailoOptions:
    """What the documented Hailo file says beyond the other settings."""

    apply_softmax: bool = False  # true: the behaviour of a later version of the service
    logit_scale: float = 100.0  # of that softmax
    number: int | None = None  # of the device
    frames: int = 1  # pictures a job of the device


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Everything a server was told. Raises UsageError for what cannot be."""

    models: Mapping[tuple[str, str], str] = field(
        default_factory=dict
    )  # (dialect, role) -> model, as a person types it
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    fidelity: str = "document"  # or "original": what the replaced code does where the document says otherwise
    api_keys: tuple[str, ...] = ()
    max_batch: int | None = None  # pictures; None: the runtime's own choice
    max_wait_s: float = 0.005  # for pictures that are being decoded; an idle device starts at once where there are none
    max_queue: int | None = None  # requests at once for each dialect; None: QUEUES
    max_jobs: int = 4096  # that wait, of each dialect that has them
    deadline_s: float = 600.0  # of one request
    hang_after_s: float = 300.0  # a step of a batch that takes longer is given up, and its device thread with it
    grace_s: float = 30.0  # for what runs when the server ends
    idle_unload_s: float | None = None
    preload: bool | None = None  # None: as the originals do
    auto_load: bool = True  # of LAZY APIs; the others have no way to be told
    jobs_db: Path | None = None  # None: the user's state folder
    max_body_bytes: int | None = None  # None: BODY_BYTES
    fetch: FetchOptions = FETCHES  # `timeout_s` is FETCH_S's
    decode: DecodeOptions = PIXELS
    cors_origins: tuple[str, ...] | None = None  # None: as documented
    strict_device: bool = False
    hailo: HailoOptions = field(default_factory=HailoOptions)
    hailo_files: HailoRequest | None = None  # what a Hailo accelerator runs

    def __post_init__(self) -> None:
        refuse_half_a_hailo(self.device, self.hailo_files)
        for flag, seconds in (("--request-timeout", self.deadline_s), ("--hang-after", self.hang_after_s)):
            if not seconds > 0:
                raise UsageError(f"{flag}: {seconds:g} s leaves no time for an answer")
        for key in self.api_keys:
            if not _KEY.fullmatch(key):
                raise UsageError("--api-key: a key is visible ASCII characters, for a header holds no others safely")
        if self.fidelity not in ("document", "original"):
            raise UsageError(f"unknown fidelity {self.fidelity!r}; known: document, original")
        for dialect, role in self.models:
            if role not in ROLES.get(dialect, {}):
                raise UsageError(f"{dialect} has no model for {role}")

    def model_of(self, dialect: str, role: str) -> str:
        return self.models.get((dialect, role)) or DEFAULT_MODELS[dialect][role]

    def queue_of(self, dialect: str) -> int:
        return QUEUES.get(dialect, QUEUE) if self.max_queue is None else self.max_queue

    def body_of(self, dialect: str) -> int:
        return BODY_BYTES.get(dialect, BODY) if self.max_body_bytes is None else self.max_body_bytes

    def fetch_of(self, dialect: str) -> FetchOptions:
        return replace(self.fetch, timeout_s=FETCH_S.get(dialect, FETCH))

    def preloads(self, dialect: str) -> bool:
        return dialect not in LAZY if self.preload is None else self.preload

    def auto_loads(self, dialect: str) -> bool:
        """Whether a request loads a model that is not there: one that lay idle, say."""
        return self.auto_load or dialect not in LAZY
