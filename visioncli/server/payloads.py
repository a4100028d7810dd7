"""What a request holds of pictures: base64, a data URI, a URL, raw bytes -> an encoded file, within limits.

Nothing is decoded to pixels here: the service does that once, with the one decoder. Knows nothing of dialects.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
from dataclasses import dataclass

from visioncli.errors import FetchError, RowError
from visioncli.io.address import parse_url
from visioncli.io.fetch import Fetched, FetchOptions
from visioncli.io.web import Client, Resolver, open_client

log = logging.getLogger("visioncli.server")

OFF_LOOP = 512 * 2**10  # characters: a longer text is read in a thread, for the loop has others to answer (1 ms each)
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")  # RFC 3986, 3.1; base64 has no colon
_DATA = re.compile(r"\s*data:[^,]*,", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Picture:
    data: bytes  # an encoded file, JPEG say


@dataclass(frozen=True, slots=True)
class Text:
    text: str


def unpack(given: str, max_bytes: int) -> Picture:
    """Return the picture of a base64 text, with or without `data:...;base64,` before it.

    Line breaks and missing padding pass, as with the decoders of most languages.
    Raises RowError: base64_invalid, empty_file, too_many_bytes.
    """
    text = given[match.end() :] if (match := _DATA.match(given)) else given
    if len(text) * 3 // 4 > max_bytes + max_bytes // 16:  # line breaks are at most one in 64 characters
        raise FetchError("too_many_bytes", f"the picture has more than the {max_bytes} bytes allowed")
    try:
        data = _decoded(text)
    except (binascii.Error, ValueError) as error:
        raise FetchError("base64_invalid", "the picture is no base64") from error
    if not data:
        raise FetchError("empty_file", "the picture has no bytes")
    return _capped(data, max_bytes)


def _decoded(text: str) -> bytes:
    packed = text.encode("ascii")
    if packed.isalnum() or not packed.isspace():
        try:
            return base64.b64decode(packed, validate=True)
        except binascii.Error:
            pass  # blanks, the URL alphabet or no padding: looked at again below
    packed = _BLANKS.sub("", text).rstrip("=").replace("-", "+").replace("_", "/").encode("ascii")
    return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)


def _capped(data: bytes, max_bytes: int) -> Picture:
    if len(data) > max_bytes:
        raise FetchError("too_many_bytes", f"the picture has more than the {max_bytes} bytes allowed")
    return Picture(data)


class Payloads:
    """One dialect's way to its pictures. Belongs to one event loop; `close` when it ends."""

    def __init__(self, options: FetchOptions, resolver: Resolver | None = None) -> None:
        self._options, self._resolver = options, resolver
        self._client: Client | None = None

    async def picture(self, given: str) -> Picture:
        """Return what `given` names (an http or https URL) or holds (base64, a data URI).

        Any other scheme is refused, paths are never read. Raises RowError.
        """
        scheme = match[1].lower() if (match := _SCHEME.match(given[:64])) else None
        if scheme is not None and scheme != "data":
            return await self.fetch(given)
        return await self.unpack(given)

    async def unpack(self, given: str) -> Picture:
        """Return the picture of a base64 text or a data URI. Raises RowError."""
        limit = self._options.max_bytes
        return unpack(given, limit) if len(given) < OFF_LOOP else await asyncio.to_thread(unpack, given, limit)

    def raw(self, data: bytes) -> Picture:
        """Return a body that is the picture itself. Raises RowError."""
        if not data:
            raise FetchError("empty_file", "the picture has no bytes")
        return _capped(data, self._options.max_bytes)

    async def fetch(self, url: str) -> Picture:
        """Fetch a URL, guarded as the settings say, within their time-out: waiting for its host's turn, too.

        Raises RowError.
        """
        if self._client is None:
            self._client = await open_client(self._options, self._resolver)
        uri, seconds = url.encode("utf-8", "surrogatepass"), self._options.timeout_s
        try:
            async with asyncio.timeout(seconds):
                fetched = await self._client.fetch(uri, None)
        except TimeoutError as error:
            raise FetchError("fetch_timeout", f"no complete answer within {seconds:g} s") from error
        except FetchError as error:
            if error.code != "url_refused":
                raise
            log.info("a picture's URL was refused: %s", error)  # with the address that a name of the inside has
            raise FetchError(error.code, f"{parse_url(uri).host} does not lead to a public address") from error
        if not isinstance(fetched, Fetched):
            raise RowError("http_304", "the server answered 304 without having been asked")
        return Picture(fetched.data)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
