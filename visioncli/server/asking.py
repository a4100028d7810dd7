"""One input of a request on its way: decoded and preprocessed here, batched in a lane, postprocessed here.

Runs in the service's threads; the asker's event loop is told at the end. Knows nothing of requests or dialects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from visioncli.errors import PredictError, VisioncliError
from visioncli.io.decode import DecodeOptions, decode
from visioncli.models import Predictor
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.server.lane import Item, Lane, Output
from visioncli.server.payloads import Picture, Text

Submit = Callable[["Asked", Item, Output], object]  # runs `answer_one` in a thread


@dataclass(eq=False)
class Asked:
    """One input and who waits for it."""

    given: Picture | Text
    predictor: Predictor[Any, Any]
    options: Any
    decode: DecodeOptions
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any] = field(init=False)  # a result, or a VisioncliError as a value

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    def settle(self, result: Any) -> None:
        """Tell the asker; from any thread."""
        self.loop.call_soon_threadsafe(self._settle, result)

    def _settle(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)


def prepare(asked: Asked, lane: Lane, submit: Submit) -> None:
    """Decode and preprocess an input that `lane` expects, and put it there; or settle it with what is wrong."""
    try:
        if asked.future.cancelled():
            raise PredictError("input_missing", "nobody waits for it")
        sample = _sample(asked)
        inputs = _inputs(asked, sample)
    except VisioncliError as error:
        lane.expect(-1)
        asked.settle(error)
        return

    def finish(item: Item, output: Output) -> None:
        if isinstance(output, VisioncliError):
            asked.settle(output)
        else:
            submit(asked, item, output)

    try:
        lane.put(Item(asked.predictor, asked.options, sample, inputs, finish, asked.future.cancelled))
    except VisioncliError as error:
        asked.settle(error)


def answer_one(asked: Asked, item: Item, output: Output) -> None:
    """Postprocess what the device gave, and tell the asker."""
    try:
        asked.settle(asked.predictor.postprocess([output], [item.sample], asked.options)[0])
    except MemoryError:
        asked.settle(PredictError("out_of_memory", "there was not enough memory for the picture's result"))
    except VisioncliError as error:
        asked.settle(error)


def _sample(asked: Asked) -> Sample:
    """Raises DecodeError."""
    if isinstance(asked.given, Text):
        column = getattr(asked.options, "text_column", None) or "text"
        return Sample(ImageRef(0, "", None, {column: asked.given.text}), Facts(), None)
    data = asked.given.data
    decoded = decode(data, asked.decode, asked.predictor.decode_size)
    facts = Facts(None, len(data), None, decoded.size, decoded.exif)
    return Sample(ImageRef(0, "", None), facts, decoded.image)


def _inputs(asked: Asked, sample: Sample) -> Any:
    """Raises RowError."""
    try:
        return asked.predictor.preprocess(sample, asked.options)
    except MemoryError as error:
        raise PredictError("out_of_memory", "there was not enough memory to prepare the picture") from error
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise PredictError("preprocess_failed", f"preprocessing failed: {error}") from error
