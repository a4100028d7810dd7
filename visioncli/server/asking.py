"""One input of a request on its way: measured, decoded and preprocessed here, batched in a lane, postprocessed here.

    begin -> [room for its pixels] -> prepare -> lane -> answer -> the asker

Runs in the service's threads; the asker's event loop is told at the end, whatever happens. What an input holds in
memory, from its pixels to what the device gives, is counted in the room. Knows nothing of requests or dialects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from visioncli.errors import PredictError, VisioncliError
from visioncli.io.decode import Decoded, DecodeOptions, decode, measure
from visioncli.models import Predictor
from visioncli.samples import Facts, ImageRef, Sample
from visioncli.server.caught import caught
from visioncli.server.lane import Lane
from visioncli.server.payloads import Picture, Text
from visioncli.server.refusals import ClientLeft
from visioncli.server.room import Room
from visioncli.server.waiting import Item, Output

PIXEL_BYTES = 12  # while a picture is decoded: as it is stored, as Pillow's RGB (four), and twice as an array's

Submit = Callable[..., object]  # runs a function in a thread


@dataclass(frozen=True, slots=True)
class Way:
    """What inputs pass on their way."""

    lane: Lane
    room: Room
    submit: Submit


@dataclass(eq=False, kw_only=True)
class Told:
    """Who waits for something, and how many bytes of the room are held for it meanwhile."""

    loop: asyncio.AbstractEventLoop
    room: Room
    held: int = 0
    future: asyncio.Future[Any] = field(init=False)  # a result, or a VisioncliError as a value

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    def enter(self, size: int, call: Callable[[], object]) -> bool:
        """Hold `size` bytes now and return True; or return False, and `call` when they are held."""

        def taken() -> None:
            self.held = size
            call()

        is_in = self.room.enter(self, size, taken)
        if is_in:
            self.held = size
        return is_in

    def hold(self, size: int) -> None:
        """Hold so many bytes from now on."""
        by, self.held = size - self.held, size
        if by:
            self.room.change(by)

    def settle(self, result: Any) -> None:
        """Tell who waits, and hold nothing; from any thread."""
        self.hold(0)
        if not self.future.cancelled():
            with suppress(RuntimeError):  # the loop has ended, and whoever waited with it
                self.loop.call_soon_threadsafe(self._settle, result)

    def drop(self) -> bool:
        """Wait no longer; return whether it was not told yet."""
        self.future.cancel()
        if self.future.cancelled():
            self.room.forget(self)
        return self.future.cancelled()

    def refuse_if_gone(self) -> None:
        """Raises ClientLeft."""
        if self.future.cancelled():
            raise ClientLeft("nobody waits for it any more")

    def _settle(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)


@dataclass(eq=False, kw_only=True)
class Asked(Told):
    """One input of a question."""

    given: Picture | Text
    predictor: Predictor[Any, Any]
    options: Any
    decode: DecodeOptions

    def drop(self) -> bool:
        is_dropped = super().drop()
        self.given = Text("")  # its turn may be long to come
        return is_dropped


def begin(asked: Asked, way: Way) -> None:
    """Prepare an input that the lane expects, a picture as soon as there is room for its pixels."""
    given = asked.given
    if isinstance(given, Text):
        prepare(asked, way)
        return
    size = caught(partial(_size, asked, given, asked.decode))
    if isinstance(size, VisioncliError):
        way.lane.expect(-1)
        asked.settle(size)
    elif asked.enter(size, partial(_resume, asked, way)):
        prepare(asked, way)
    else:
        way.lane.expect(-1)  # until there is room: the device should not wait for it


def _resume(asked: Asked, way: Way) -> None:
    way.lane.expect(1)
    way.submit(prepare, asked, way)


def prepare(asked: Asked, way: Way) -> None:
    """Decode and preprocess an input that the lane expects, and put it there; or settle it with what is wrong."""
    item = caught(partial(_item, asked, way))
    if isinstance(item, VisioncliError):
        way.lane.expect(-1)
        asked.settle(item)
        return
    asked.hold(_bytes(item.inputs))
    refused = caught(partial(way.lane.put, item))
    if refused is not None:
        asked.settle(refused)


def answer(asked: Asked, item: Item, output: Any) -> None:
    """Postprocess what the device gave, and tell the asker."""
    asked.settle(caught(partial(_result, asked, item, output)))


def look(told: Told, picture: Picture, options: DecodeOptions, at: Callable[[Decoded], Any], submit: Submit) -> None:
    """Decode a picture when there is room, and tell what `at` makes of it."""

    def looked() -> None:
        told.settle(caught(lambda: at(decode(picture.data, options))))

    size = caught(partial(_size, told, picture, options))
    if isinstance(size, VisioncliError):
        told.settle(size)
    elif told.enter(size, partial(submit, looked)):
        looked()


def _size(told: Told, picture: Picture, options: DecodeOptions) -> int:
    """Raises DecodeError, ClientLeft."""
    told.refuse_if_gone()
    height, width = measure(picture.data, options)
    return height * width * PIXEL_BYTES


def _item(asked: Asked, way: Way) -> Item:
    """Without the picture's pixels, of which nobody behind the device needs more than the size. Raises RowError."""
    given = asked.given  # read before the look: whoever drops it lets go of it afterwards
    asked.refuse_if_gone()
    sample = _sample(asked, given)
    inputs = _inputs(asked, sample)
    light = replace(sample, image=None)
    return Item(asked.predictor, asked.options, light, inputs, partial(_finish, asked, way), asked.future.cancelled)


def _finish(asked: Asked, way: Way, item: Item, output: Output) -> None:
    """Postprocess in a thread of the service's: the device must not wait."""
    if isinstance(output, VisioncliError):
        asked.settle(output)
    else:
        asked.hold(_bytes(output))
        way.submit(answer, asked, item, output)


def _result(asked: Asked, item: Item, output: Any) -> Any:
    asked.refuse_if_gone()
    (result,) = asked.predictor.postprocess([output], [item.sample], asked.options)
    return result


def _sample(asked: Asked, given: Picture | Text) -> Sample:
    """Raises DecodeError."""
    if isinstance(given, Text):
        column = getattr(asked.options, "text_column", None) or "text"
        return Sample(ImageRef(0, "", None, {column: given.text}), Facts(), None)
    decoded = decode(given.data, asked.decode, asked.predictor.decode_size)
    facts = Facts(None, len(given.data), None, decoded.size, decoded.exif)
    return Sample(ImageRef(0, "", None), facts, decoded.image)


def _inputs(asked: Asked, sample: Sample) -> Any:
    """Raises RowError."""
    try:
        return asked.predictor.preprocess(sample, asked.options)
    except MemoryError as error:
        raise PredictError("out_of_memory", "there was not enough memory to prepare the picture") from error
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise PredictError("preprocess_failed", f"preprocessing failed: {error}") from error


def _bytes(given: Any) -> int:
    return int(getattr(given, "nbytes", 0))
